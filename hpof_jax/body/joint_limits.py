"""Anatomical limits of SMPL's joints."""

import numpy as np

from hpof_jax.body.skeletons import SMPL_JOINTS

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
