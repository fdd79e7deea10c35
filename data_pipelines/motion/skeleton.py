"""The free body's rest skeleton: joint positions, the floor under the feet, and poses within joint limits.

World frame: y up, metres. NumPy.
"""

import functools

import numpy as np

from hpof_jax.body.files import load_body
from hpof_jax.body.joint_limits import JOINT_LIMITS
from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.geometry.numpy_rotations import to_matrix


@functools.cache
def rest_skeleton() -> np.ndarray:
    """(24, 3) joints of the free body's mean shape at rest, the pelvis near the origin. Metres."""
    return np.asarray(load_body().J_template, np.float64)


@functools.cache
def sole_height() -> float:
    """Height of the free body's lowest vertex at rest, metres."""
    return float(np.asarray(load_body().v_template)[:, 1].min())


def joint_positions(pose: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """Joints of the mean shape by forward kinematics, in the precision of `pose`.

    Args:
      pose: (..., 24, 3) axis-angle, the root first. transl: (3,) or (..., 3) the pelvis, metres.

    Returns:
      (..., 24, 3) metres, in the world frame.
    """
    rest, local = rest_skeleton().astype(pose.dtype), np.moveaxis(to_matrix(pose), -3, 0)
    turns, places = [local[0]], [np.broadcast_to(transl, (*pose.shape[:-2], 3))]
    for joint, parent in enumerate(SMPL_PARENTS[1:], start=1):
        places.append(places[parent] + turns[parent] @ (rest[joint] - rest[parent]))
        # The rotation of a joint without a child moves no joint.
        turns.append(turns[parent] @ local[joint] if joint in SMPL_PARENTS else local[joint])
    return np.stack(places, axis=-2)


def on_floor(pose: np.ndarray, transl: np.ndarray, percentile: float = 5.0) -> np.ndarray:
    """Shifts a motion as a whole so that its soles are on the floor, y = 0, in its low frames.

    Args:
      pose: (T, 24, 3). transl: (T, 3) the pelvis.
      percentile: of the lowest sole over the frames. Jumps stay above the floor, a few noisy frames may be
      below.

    Returns:
      transl (T, 3).
    """
    feet = np.array([7, 8, 10, 11])
    soles = joint_positions(pose, transl)[:, feet, 1] - (rest_skeleton()[feet, 1] - sole_height())
    return transl - np.array([0.0, np.percentile(soles.min(axis=1), percentile), 0.0])


def clamp_to_limits(pose: np.ndarray) -> np.ndarray:
    """Axis-angle (..., 24, 3) with each component clipped to `JOINT_LIMITS`; the root is unchanged."""
    limited = np.clip(pose, JOINT_LIMITS[..., 0], JOINT_LIMITS[..., 1])
    return np.concatenate([pose[..., :1, :], limited[..., 1:, :]], axis=-2).astype(pose.dtype)
