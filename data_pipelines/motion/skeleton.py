"""The free body's rest skeleton: joint positions, the floor under the feet, and anatomical joint limits.

World frame: y up, metres. NumPy.
"""

import functools

import numpy as np

from hpof_jax.body.files import load_body
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS
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


# Degrees about the axes of SMPL's rest pose: x to the left, y up, z forward. The right side mirrors the left.
# From the normal ranges of motion of the American Academy of Orthopaedic Surgeons (Joint Motion, 1965; Greene
# and Heckman, The Clinical Measurement of Joint Motion, 1994). SMPL's joints share the ranges of trunk and
# neck. Ranges are wider where a rotation vector couples the axes, as at a bent and twisted elbow.
_LIMITS = {
    "pelvis": ((-180, 180), (-180, 180), (-180, 180)),  # free
    "left_hip": ((-125, 30), (-45, 45), (-30, 50)),  # x: flexion is negative; z: abduction is positive
    "spine1": ((-15, 35), (-20, 20), (-20, 20)),  # x: bending forward is positive
    "left_knee": ((-5, 145), (-15, 15), (-15, 15)),  # x: flexion is positive
    "spine2": ((-15, 35), (-20, 20), (-20, 20)),
    "left_ankle": ((-30, 50), (-30, 30), (-35, 35)),  # x: the toes down is positive
    "spine3": ((-15, 35), (-20, 20), (-20, 20)),
    "left_foot": ((-70, 40), (-10, 10), (-10, 10)),
    "neck": ((-30, 35), (-40, 40), (-25, 25)),
    "left_collar": ((-20, 20), (-30, 25), (-15, 40)),  # y: forward is negative; z: up is positive
    "head": ((-30, 35), (-40, 40), (-25, 25)),
    "left_shoulder": ((-90, 90), (-135, 60), (-105, 95)),  # y: forward is negative; z: down is negative
    "left_elbow": ((-85, 85), (-150, 10), (-50, 50)),  # y: flexion is negative; x: turning the palm
    "left_wrist": ((-45, 45), (-40, 40), (-80, 75)),  # z: towards the palm is negative
    "left_hand": ((-20, 20), (-20, 20), (-30, 30)),
}


def _limit_table() -> np.ndarray:
    table = np.zeros((24, 3, 2))
    for joint, name in enumerate(SMPL_JOINTS):
        side, _, part = name.partition("_")
        table[joint] = _LIMITS[f"left_{part}" if side == "right" else name]
        if side == "right":
            table[joint, 1:] = -table[joint, 1:, ::-1]
    return np.radians(table)


# (24, 3, 2) lowest and highest value of each component of the joints' axis-angle, radians
JOINT_LIMITS = _limit_table()


def clamp_to_limits(pose: np.ndarray) -> np.ndarray:
    """Axis-angle (..., 24, 3) with each component clipped to `JOINT_LIMITS`; the root is unchanged."""
    limited = np.clip(pose, JOINT_LIMITS[..., 0], JOINT_LIMITS[..., 1])
    return np.concatenate([pose[..., :1, :], limited[..., 1:, :]], axis=-2).astype(pose.dtype)
