"""Joint centres from the markers of a laboratory or of a program: hips, knees, ankles, shoulders, elbows, wrists.

A centre is taken from the first of these that the file has:

1. the middle of two markers on either side of the joint: femoral epicondyles, malleoli, humeral epicondyles, and the
   styloids of radius and ulna, under OpenCap's names (`r_knee_study`), the same without `_study`, or Plug-in-Gait's
   with medial markers (`RKNE`, `RKNM`). The hip: a marker that is the centre itself (`RHJC_study`), or the
   regression of Harrington et al. (J. Biomech. 2007) on the markers of the pelvis. The shoulder: below the marker on
   the acromion (Rab et al., Gait & Posture 2002);
2. the keypoint of a detector (`RKnee`), as Pose2Sim and OpenCap triangulate it. That is no anatomical centre.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from hpof_jax.body.anatomical import ANATOMICAL_CENTRES, harrington_hips, rab_shoulders
from hpof_jax.errors import UserError

MARKERS = "markers"  # kinds of centres
KEYPOINTS = "keypoints of a detector"

# The two sides of a joint by the last part of the centre's name. Names are compared without case; {s} is r or l.
_PAIRS = {
    "knee": (("{s}_knee", "{s}_mknee"), ("{s}kne", "{s}knm"), ("{s}kne", "{s}mkne"), ("{s}lfc", "{s}mfc")),
    "ankle": (("{s}_ankle", "{s}_mankle"), ("{s}ank", "{s}med"), ("{s}ank", "{s}anm"), ("{s}lm", "{s}mm")),
    "elbow": (
        ("{s}_lelbow", "{s}_melbow"),
        ("{s}elb", "{s}elbm"),
        ("{s}lelb", "{s}melb"),
        ("{s}hle", "{s}hme"),
    ),
    "wrist": (("{s}_lwrist", "{s}_mwrist"), ("{s}wra", "{s}wrb"), ("{s}rsp", "{s}usp")),
}
_HIPS = ("{s}hjc", "{s}_hjc")
_PELVIS = (  # right and left ASIS, right and left PSIS
    ("r.asis", "l.asis", "r.psis", "l.psis"),
    ("rasi", "lasi", "rpsi", "lpsi"),
    ("rasis", "lasis", "rpsis", "lpsis"),
)
_ACROMIA = ("{s}_shoulder", "{s}sho", "{s}acr", "{s}ac")


def joint_centres(points: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The centres that the markers give.

    Args:
      points: name -> (T, 3) metres, NaN where missing.

    Returns:
      centres: name of `ANATOMICAL_CENTRES` -> (T, 3) metres; those that no marker gives are left out.
      kinds: name -> `MARKERS` or `KEYPOINTS`.

    Raises:
      UserError: fewer than four centres.
    """
    plain = {name.removesuffix("_study").lower(): place for name, place in points.items()}
    marked = _from_markers(plain)
    centres, kinds = {}, {}
    for name in ANATOMICAL_CENTRES:
        side, part = name.split("_")
        detected = plain.get(side[0] + part)
        place = marked.get(name)
        if place is not None or detected is not None:
            centres[name] = detected if place is None else place
            kinds[name] = KEYPOINTS if place is None else MARKERS
    if len(centres) < 4:
        known = ", ".join([*points][:8])
        raise UserError(
            f"The markers ({known}, ...) give only {len(centres)} joint centres: name them as OpenCap or Pose2Sim do, "
            "such as r_knee_study and r_mknee_study."
        )
    return centres, kinds


def _from_markers(plain: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    centres = {}
    for side in ("left", "right"):
        for part, pairs in _PAIRS.items():
            if places := _first(plain, pairs, side):
                centres[f"{side}_{part}"] = (places[0] + places[1]) / 2
        if places := _first(plain, [(name,) for name in _HIPS], side):
            centres[f"{side}_hip"] = places[0]
    pelvis = _first(plain, _PELVIS, "")
    if pelvis and not {"left_hip", "right_hip"} <= centres.keys():
        centres |= dict(zip(("right_hip", "left_hip"), harrington_hips(*pelvis)))
    acromia = [_first(plain, [(name,) for name in _ACROMIA], side) for side in ("right", "left")]
    if all(acromia) and {"left_hip", "right_hip"} <= centres.keys():
        hips = (centres["left_hip"] + centres["right_hip"]) / 2
        shoulders = rab_shoulders(acromia[0][0], acromia[1][0], hips)
        centres |= dict(zip(("right_shoulder", "left_shoulder"), shoulders))
    return centres


def _first(
    plain: Mapping[str, np.ndarray], choices: Iterable[tuple[str, ...]], side: str
) -> list[np.ndarray] | None:
    """The markers of the first choice of which the file has all."""
    for choice in choices:
        names = [name.format(s=side[:1]) for name in choice]
        if all(name in plain for name in names):
            return [plain[name] for name in names]
    return None
