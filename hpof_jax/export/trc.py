"""TRC: marker positions for OpenSim. y up, millimetres, a constant frame rate.

Markers are keypoints in the body or, in OpenCap's set, vertices of its skin. They carry the reconstruction's errors.
"""

import os

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body import keypoint_basis, keypoints
from hpof_jax.body.files import FREE_BODY
from hpof_jax.body.model import BodyModel, fold_regressor
from hpof_jax.body.skeletons import SMPL_JOINTS, keypoint_names
from hpof_jax.errors import UserError
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import Y_UP
from hpof_jax.geometry.numpy_rotations import to_matrix
from hpof_jax.world import WorldMotion

MARKER_SETS = ("openpose25", "smpl24", "opencap")

# OpenCap's anatomical markers (Uhlrich et al., PLOS Comput. Biol. 2023) on the free body: the nearest vertices to
# where they are on Rajagopal's model, scaled to the free body's bones; right and left. Names without "_study".
_OPENCAP_VERTICES = {
    "ASIS": (1950, 5393),
    "PSIS": (2049, 5479),
    "knee": (2206, 5642),
    "mknee": (3204, 6683),
    "ankle": (3181, 6657),
    "mankle": (3222, 6701),
    "toe": (3277, 6764),
    "5meta": (3032, 6504),
    "calc": (3140, 6618),
    "shoulder": (542, 3926),
    "lelbow": (1377, 4789),
    "melbow": (1375, 4806),
    "lwrist": (1606, 5134),
    "mwrist": (1497, 4924),
    "thigh1": (2107, 5543),
    "thigh2": (2142, 5576),
    "thigh3": (2081, 5524),
    "sh1": (2303, 5743),
    "sh2": (2342, 5801),
    "sh3": (2334, 5779),
}
_C7 = 499
_FACE = ("Nose", "REye", "LEye", "REar", "LEar")  # of BODY_25, and not of OpenCap's


def write(path: str | os.PathLike, motion: WorldMotion, body: BodyModel, markers: str = "openpose25") -> None:
    """Writes one person. Times that vary are resampled; see `constant_rate.at_constant_rate`.

    Args:
      markers: 'openpose25', which is BODY_25, named as in Pose2Sim's OpenSim models; 'smpl24', SMPL's joints; or
        'opencap', OpenCap's 20 video keypoints and 43 anatomical markers.

    Raises:
      UserError: the file cannot be written, the body's vertices are in an unknown order, or OpenCap's markers are
        wanted on another body than the free one.
    """
    motion = at_constant_rate(motion, body)
    points = _opencap(motion, body) if markers == "opencap" else _named(motion, body, markers)
    write_markers(path, motion.times, {name: place @ Y_UP.T for name, place in points.items()}, motion.fps)


def write_markers(
    path: str | os.PathLike, times: np.ndarray, points: dict[str, np.ndarray], fps: float
) -> None:
    """Writes markers of any kind.

    Args:
      times: (T,) seconds at the constant rate `fps`.
      points: name -> (T, 3) metres, y up.

    Raises:
      UserError: the file cannot be written.
    """
    names, frames = tuple(points), len(times)
    values = 1000.0 * np.stack([*points.values()], axis=1).reshape(frames, -1)
    rate = f"{fps:.6g}"
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{os.path.basename(path)}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{frames}\t{len(names)}\tmm\t{rate}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ"),
        "",
    ]
    values = np.column_stack([np.arange(1, frames + 1), times, values])
    formats = ["%d", "%.6f"] + ["%.4f"] * (3 * len(names))
    with (
        replacing(path, "The TRC file") as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, values, fmt=formats, delimiter="\t")


def _named(motion: WorldMotion, body: BodyModel, markers: str) -> dict[str, np.ndarray]:
    """The points of a keypoint set by name, (T, 3) each, z up; BODY_25's names are RBigToe, CHip and so on."""
    points, _ = keypoints(
        body, keypoint_basis(body, markers), motion.betas, to_matrix(motion.pose), motion.transl
    )
    names = keypoint_names(markers)
    if markers == "openpose25":
        names = map(_short, names)
    return dict(zip(names, np.moveaxis(np.asarray(points, np.float64), 1, 0), strict=True))


def _opencap(motion: WorldMotion, body: BodyModel) -> dict[str, np.ndarray]:
    """OpenCap's markers by name, (T, 3) each, z up."""
    if body.name != FREE_BODY.stem:
        raise UserError(
            f"OpenCap's markers are known on the free body alone, not on '{body.name}': write 'trc' instead."
        )
    found = {
        "midHip" if name == "CHip" else name: place
        for name, place in _named(motion, body, "openpose25").items()
        if name not in _FACE
    }
    vertices = {"C7_study": _C7}
    for side, prefix in enumerate("rL"):
        for name, pair in _OPENCAP_VERTICES.items():
            joiner = "." if name.endswith("SIS") else "_"
            vertices[f"{prefix}{joiner}{name}_study"] = pair[side]
    rows = np.eye(len(body.v_template))[list(vertices.values())]
    basis = fold_regressor(body.basis, body.lbs_weights, rows)
    points, joints = keypoints(body, basis, motion.betas, to_matrix(motion.pose), motion.transl)
    found |= dict(zip(vertices, np.moveaxis(np.asarray(points, np.float64), 1, 0), strict=True))
    for side in ("right", "left"):
        found[f"{side[0].upper()}HJC_study"] = motion.joints[:, SMPL_JOINTS.index(f"{side}_hip")]
    return found


def _short(name: str) -> str:
    if name == "mid_hip":
        return "CHip"
    side, _, part = name.partition("_")
    words = f"{side[0]}_{part}" if side in ("left", "right") else name
    return "".join(word.capitalize() for word in words.split("_"))
