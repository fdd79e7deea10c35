"""Anatomical joint centres: hips, knees, ankles, shoulders, elbows and wrists as motion laboratories define them.

SMPL's joints lie elsewhere. The centres are computed from landmarks on the skin, as a laboratory does from markers:

| centre | from | moves with |
|---|---|---|
| hip | regression of Harrington et al. (J. Biomech. 2007) on ASIS and PSIS, or of Bell et al. (J. Biomech. 1990) | pelvis |
| knee | middle of the femoral epicondyles | thigh |
| ankle | middle of the malleoli | shank |
| shoulder | 17 % of the distance of the acromia below the acromion (Rab et al., Gait & Posture 2002) | clavicle |
| elbow | middle of the humeral epicondyles | upper arm |
| wrist | middle of the styloids of radius and ulna | forearm |

The shoulder is the usual simplification of the regression of Meskers et al. (J. Biomech. 1998), which needs five
landmarks on the scapula. On a body, a centre is computed in the rest pose, is linearised in betas, and moves rigidly
with one joint. `docs/free_body.md` says how the landmarks were found.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel, KeypointBasis
from hpof_jax.body.skeletons import LIMB_JOINTS, SMPL_JOINTS
from hpof_jax.errors import UserError

ANATOMICAL_CENTRES = LIMB_JOINTS
SHOULDER_DROP = 0.17  # of the distance of the acromia
SIDES = ("left", "right")

# Metres, of the left side at the mean shape, as `body/build/landmarks.py` finds them.
FREE_BODY_LANDMARKS = {
    "knee_lateral": (0.1712, -0.4877, 0.0117),
    "knee_medial": (0.0547, -0.4877, -0.0011),
    "ankle_lateral": (0.1515, -0.9013, -0.0119),
    "ankle_medial": (0.0899, -0.9013, -0.0072),
    "acromion": (0.1886, 0.4694, 0.0150),
    "wrist_radial": (0.7011, 0.4091, 0.0132),
    "wrist_ulnar": (0.7011, 0.4130, -0.0421),
    "elbow_lateral": (0.4505, 0.4422, 0.0063),
    "elbow_medial": (0.4505, 0.3593, -0.0096),
    "psis": (0.0476, 0.0177, -0.0697),
    "asis": (0.1191, -0.0078, 0.0895),
}
# Published vertices of SMPL: legs, pelvis (one sacral point for both PSIS) and acromia as in Horsak's converter of
# CameraHMR's results to markers (2025), elbows and wrists as in the marker set of MoSh++ (Mahmood et al., ICCV 2019).
SMPL_LANDMARKS = {
    "asis": (3156, 6573),
    "psis": (3159, 3159),
    "knee_lateral": (1010, 4495),
    "knee_medial": (1148, 4634),
    "ankle_lateral": (3327, 6727),
    "ankle_medial": (3433, 6833),
    "acromion": (1239, 4724),
    "elbow_lateral": (1666, 5135),
    "elbow_medial": (1725, 5194),
    "wrist_radial": (2112, 5573),
    "wrist_ulnar": (2108, 5568),
}
_PAIRS = {
    "knee": ("knee_lateral", "knee_medial"),
    "ankle": ("ankle_lateral", "ankle_medial"),
    "elbow": ("elbow_lateral", "elbow_medial"),
    "wrist": ("wrist_radial", "wrist_ulnar"),
}
# Centre -> the joint whose rotation moves it, with the side of the centre.
CARRIERS = {
    "hip": "pelvis",
    "knee": "hip",
    "ankle": "knee",
    "shoulder": "collar",
    "elbow": "shoulder",
    "wrist": "elbow",
}
_ON_SKIN = 0.003  # metres; points farther from the skin lie inside the body
_FARTHEST = 0.12  # metres between a centre and SMPL's joint of its name; more is another vertex order


def anatomical_basis(model: BodyModel) -> KeypointBasis:
    """The `ANATOMICAL_CENTRES` on a body, in their order, for `model.keypoints`.

    Raises:
      UserError: the body's vertices are in an unknown order.
    """
    shapes = np.concatenate(
        [np.zeros((1, model.num_betas)), np.eye(model.num_betas), -np.eye(model.num_betas)]
    )
    landmarks = landmarks_of_shapes(model, shapes)
    found = centres_of_landmarks(landmarks)
    centres = np.stack([found[name] for name in ANATOMICAL_CENTRES], axis=1)  # (1 + 2 B, 12, 3)
    _check(centres[0], model)
    rest = np.zeros((len(model.basis), len(ANATOMICAL_CENTRES), 3))
    rest[0] = centres[0]
    rest[1 : 1 + model.num_betas] = (centres[1 : 1 + model.num_betas] - centres[1 + model.num_betas :]) / 2
    return KeypointBasis(
        jnp.asarray(rest.reshape(len(rest), -1), jnp.float32),
        jnp.ones(len(ANATOMICAL_CENTRES), jnp.float32),
        jnp.eye(len(ANATOMICAL_CENTRES), dtype=jnp.float32),
        tuple(SMPL_JOINTS.index(carrier(name)) for name in ANATOMICAL_CENTRES),
    )


def carrier(centre: str) -> str:
    """The name of the joint of SMPL with which a centre moves."""
    side, part = centre.split("_")
    above = CARRIERS[part]
    return above if above == "pelvis" else f"{side}_{above}"


def centres_of_landmarks(landmarks: Mapping[tuple[str, str], np.ndarray]) -> dict[str, np.ndarray]:
    """Centre -> (..., 3), from all landmarks.

    Args:
      landmarks: (name, side) -> (..., 3) metres, the names those of `SMPL_LANDMARKS`.
    """
    found = {
        f"{side}_{part}": (landmarks[one, side] + landmarks[other, side]) / 2
        for part, (one, other) in _PAIRS.items()
        for side in SIDES
    }
    pelvis = [landmarks[name, side] for name in ("asis", "psis") for side in ("right", "left")]
    found |= dict(zip(("right_hip", "left_hip"), harrington_hips(*pelvis)))
    down = (found["left_hip"] + found["right_hip"]) / 2
    found |= dict(
        zip(("right_shoulder", "left_shoulder"), rab_shoulders(*_both(landmarks, "acromion"), down))
    )
    return found


def harrington_hips(
    right_asis: np.ndarray, left_asis: np.ndarray, right_psis: np.ndarray, left_psis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Right and left hip centre, (..., 3) metres, from pelvic width and depth (Harrington et al. 2007, eq. without leg length)."""
    origin, axes, width, depth = _pelvis(right_asis, left_asis, right_psis, left_psis)
    forwards, up, side = -0.24 * depth - 9.9e-3, -0.30 * width - 10.9e-3, 0.33 * width + 7.3e-3
    return tuple(origin + forwards * axes[0] + up * axes[1] + sign * side * axes[2] for sign in (1, -1))


def bell_hips(
    right_asis: np.ndarray, left_asis: np.ndarray, right_psis: np.ndarray, left_psis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Right and left hip centre, (..., 3) metres, from pelvic width alone (Bell et al. 1990)."""
    origin, axes, width, _ = _pelvis(right_asis, left_asis, right_psis, left_psis)
    return tuple(
        origin - 0.19 * width * axes[0] - 0.30 * width * axes[1] + sign * 0.36 * width * axes[2]
        for sign in (1, -1)
    )


def rab_shoulders(
    right_acromion: np.ndarray, left_acromion: np.ndarray, middle_of_hips: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Right and left shoulder centre, (..., 3): below the acromion, towards the hips (Rab et al. 2002)."""
    width = np.linalg.norm(right_acromion - left_acromion, axis=-1, keepdims=True)
    down = _unit(middle_of_hips - (right_acromion + left_acromion) / 2)
    return tuple(acromion + SHOULDER_DROP * width * down for acromion in (right_acromion, left_acromion))


def _pelvis(right_asis, left_asis, right_psis, left_psis):
    """The middle of the ASIS, axes (forwards, up, right), width and depth of the pelvis (ISB, Wu et al. 2002)."""
    origin, behind = (right_asis + left_asis) / 2, (right_psis + left_psis) / 2
    right = _unit(right_asis - left_asis)
    forwards = origin - behind
    forwards = _unit(forwards - (forwards * right).sum(-1, keepdims=True) * right)
    width = np.linalg.norm(right_asis - left_asis, axis=-1, keepdims=True)
    depth = np.linalg.norm(origin - behind, axis=-1, keepdims=True)
    return origin, (forwards, np.cross(right, forwards), right), width, depth


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def _both(landmarks, name):
    return landmarks[name, "right"], landmarks[name, "left"]


def landmarks_of_shapes(model: BodyModel, betas: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """The landmarks (name, side) of shapes (N, B) in the rest pose, (N, 3) metres each.

    Raises:
      UserError: the body's vertices are in an unknown order.
    """
    template, shapes = np.asarray(model.v_template, np.float64), np.asarray(model.shapedirs, np.float64)
    if len(template) != 6890:
        raise UserError(
            f"The anatomical landmarks of {model.name!r} are unknown, because it does not have SMPL's 6890 vertices: "
            "use the free body or an SMPL file."
        )
    rows: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}  # vertices and their weights
    if model.name == "free_body":
        for name, place in FREE_BODY_LANDMARKS.items():
            for side, sign in zip(SIDES, (1, -1)):
                rows[name, side] = _barycentric(
                    template, np.asarray(model.faces), np.array(place) * [sign, 1, 1]
                )
    else:
        for name, pair in SMPL_LANDMARKS.items():
            rows |= {(name, side): (np.array([vertex]), np.ones(1)) for side, vertex in zip(SIDES, pair)}
    return {
        key: weights @ template[vertices] + np.einsum("v,vcb,nb->nc", weights, shapes[vertices], betas)
        for key, (vertices, weights) in rows.items()
    }


def _barycentric(vertices: np.ndarray, faces: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and weights of the point of the skin that is `point`; inside the body, of the skin in front and behind it."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    shares = _shares(a, b, c, point)
    clipped = np.clip(shares, 0.0, None)
    clipped /= np.maximum(clipped.sum(axis=1, keepdims=True), 1e-9)
    gaps = np.linalg.norm(np.einsum("fk,fkc->fc", clipped, vertices[faces]) - point, axis=1)
    best = int(gaps.argmin())
    if gaps[best] < _ON_SKIN:
        return faces[best], clipped[best]
    flat = np.array([1.0, 1.0, 0.0])
    shares = _shares(a * flat, b * flat, c * flat, point * flat)
    hit = np.flatnonzero((shares >= 0).all(axis=1))
    depth = np.einsum("fk,fk->f", shares[hit], vertices[faces[hit], 2])
    back, front = hit[depth.argmin()], hit[depth.argmax()]
    share = (point[2] - depth.min()) / (depth.max() - depth.min())
    return np.concatenate([faces[back], faces[front]]), np.concatenate(
        [(1 - share) * shares[back], share * shares[front]]
    )


def _shares(a: np.ndarray, b: np.ndarray, c: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Barycentric coordinates (F, 3) of a point's projection onto the planes of triangles (F, 3); -1 for slivers."""
    one, other, to = b - a, c - a, point - a
    uu, uv, vv = (one * one).sum(1), (one * other).sum(1), (other * other).sum(1)
    up, vp, area = (one * to).sum(1), (other * to).sum(1), uu * vv - uv * uv
    safe = np.where(area > 1e-14, area, 1.0)
    second, third = (vv * up - uv * vp) / safe, (uu * vp - uv * up) / safe
    shares = np.stack([1 - second - third, second, third], axis=1)
    return np.where(area[:, None] > 1e-14, shares, [-1.0, -1.0, -1.0])


def _check(centres: np.ndarray, model: BodyModel) -> None:
    """Refuses a mesh in another vertex order: the centres would be far from the joints."""
    joints = np.asarray(model.J_template)[[SMPL_JOINTS.index(name) for name in ANATOMICAL_CENTRES]]
    if np.linalg.norm(centres - joints, axis=-1).max() > _FARTHEST:
        raise UserError(
            f"The anatomical landmarks of {model.name!r} are far from its joints, so its vertices are not in SMPL's "
            "order: use the free body or an SMPL file."
        )
