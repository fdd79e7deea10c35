"""Anatomical joint angles in degrees, named and signed as the coordinates of OpenSim's full-body models.

Names, signs and orders are those of Rajagopal et al. (IEEE TBME 2016), which follow the ISB (Wu et al., J. Biomech.
2002 and 2005) and, at the knee, Grood and Suntay (J. Biomech. Eng. 1983). All angles are 0 in the anatomical position:
upright, arms down, palms forward. That is SMPL's T-pose but for the arms; there, `arm_add` is -90 and `pro_sup` 90.

| angles | of | about, in this order | positive |
|---|---|---|---|
| `pelvis_rotation`, `_list`, `_tilt` | pelvis in the world | y, x, z (Baker, 2001) | turn left, right side down, backwards |
| `lumbar_extension`, `_bending`, `_rotation` | thorax on pelvis | z, x, y | backwards, to the right, turn left |
| `neck_extension`, `_bending`, `_rotation` | head on thorax | z, x, y | backwards, to the right, turn left |
| `hip_flexion`, `_adduction`, `_rotation` | thigh on pelvis | z, x, y | forwards, inwards, internal |
| `knee_angle`, `knee_adduction`, `_rotation` | shank on thigh | -z, x, y | flexion, inwards, internal |
| `ankle_angle`, `subtalar_angle`, `ankle_rotation` | foot on shank | z, x, y | dorsiflexion, inversion, internal |
| `mtp_angle` | toes on foot | -z | flexion |
| `arm_flex`, `arm_add`, `arm_rot` | upper arm on thorax | z, x, y | forwards, inwards, internal |
| `shoulder_plane`, `_elevation`, `_rotation` | upper arm on thorax | y, -x, y (ISB) | towards the front, up, internal |
| `elbow_flex` | forearm on upper arm | z | flexion |
| `pro_sup` | forearm on upper arm | y | pronation |
| `wrist_flex`, `wrist_dev` | hand on forearm | z, x | to the palm, to the little finger |

x points forwards, y up and z to the person's right; on the left side, x and y angles count in the mirror image. The
names of the limbs end in `_r` or `_l`.

Gimbal lock: Cardan angles are not unique where the second one is +-90. Of those above, this happens to `arm_flex` and
`arm_rot` when the arm is held out to the side, and to the pelvis when the person lies on the side. Of the ISB's
angles, it happens to `shoulder_plane` and `shoulder_rotation` when the arm hangs down. Near these poses the two
angles are ill-conditioned; their sum or difference is not.
"""

import numpy as np

from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.geometry.euler import cardan_angles, continuous_cardan_angles, yxy_angles
from hpof_jax.geometry.numpy_rotations import Y_UP, to_matrix

PELVIS = ("pelvis_tilt", "pelvis_list", "pelvis_rotation")
TRUNK = tuple(
    f"{part}_{motion}" for part in ("lumbar", "neck") for motion in ("extension", "bending", "rotation")
)
LIMBS = (
    *("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "knee_adduction", "knee_rotation"),
    *("ankle_angle", "subtalar_angle", "ankle_rotation", "mtp_angle", "arm_flex", "arm_add", "arm_rot"),
    *("shoulder_plane", "shoulder_elevation", "shoulder_rotation", "elbow_flex", "pro_sup"),
    *("wrist_flex", "wrist_dev"),
)
JOINT_ANGLES = (*PELVIS, *TRUNK, *(f"{name}_{side}" for side in "rl" for name in LIMBS))

# From SMPL's axes (left, up, forward) to those of the segments (forward, up, right).
_SEGMENT = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
# What turns the right arm of the T-pose down, and then the palm forward.
_ARM_DOWN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_PALM_FORWARD = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]) @ _ARM_DOWN


def joint_angles(pose: np.ndarray) -> dict[str, np.ndarray]:
    """The `JOINT_ANGLES` of a motion in degrees, each (T,) float64, without jumps of 360 from frame to frame.

    `pelvis_rotation` is 0 where the person faces along the world's x.

    Args:
      pose: (T, 24, 3) SMPL's axis-angle, the root in a world with z up.
    """
    if not len(pose):
        return {name: np.zeros(0) for name in JOINT_ANGLES}
    # Radians of an axis-angle keep their meaning under a change of axes: only the vector is turned.
    turns = np.asarray(pose, np.float64) @ _SEGMENT.T
    pelvis = _pelvis(pose)
    # Baker's order keeps tilt and list those of the person, whatever the direction that the person faces.
    rotation, list_, tilt = _continuous(cardan_angles(pelvis, "yxz")).T
    angles = dict(zip(PELVIS, (tilt, list_, rotation), strict=True))
    lumbar = _chain(turns, "spine1", "spine2", "spine3")
    trunk = np.stack([lumbar, _chain(turns, "neck", "head")], axis=1)
    trunk = _continuous(cardan_angles(trunk, "zxy")).reshape(-1, 6)
    angles |= dict(zip(TRUNK, trunk.T, strict=True))
    angles |= {f"{name}_r": angle for name, angle in _limbs(turns, "right").items()}
    # The mirror image of the left side is a right side. Axis-angles are mirrored against the plane z = 0.
    angles |= {f"{name}_l": angle for name, angle in _limbs(turns * (-1, -1, 1), "left").items()}
    return {name: angles[name] for name in JOINT_ANGLES}


def opensim_pelvis_angles(pose: np.ndarray) -> dict[str, np.ndarray]:
    """The angles of `PELVIS` in the order of OpenSim's models (tilt, list, rotation), (T,) degrees each.

    They are what a model needs to stand as the person does. Unlike those of `joint_angles`, `pelvis_tilt` turns
    about the world's axis and not the person's. The ground is y up: x of the world, its z, and minus its y.

    Args:
      pose: as in `joint_angles`.
    """
    return dict(zip(PELVIS, _continuous(cardan_angles(_pelvis(pose), "zxy")).T, strict=True))


def _pelvis(pose: np.ndarray) -> np.ndarray:
    """(T, 3, 3) from the pelvis's axes (forward, up, right) to a world with y up."""
    return Y_UP @ to_matrix(np.asarray(pose[:, 0], np.float64)) @ _SEGMENT.T


def _chain(turns: np.ndarray, *joints: str) -> np.ndarray:
    """The rotation (T, 3, 3) of the last joint relative to the parent of the first."""
    product = np.eye(3)
    for joint in joints:
        product = product @ to_matrix(turns[:, SMPL_JOINTS.index(joint)])
    return product


def _limbs(turns: np.ndarray, side: str) -> dict[str, np.ndarray]:
    """The angles of `LIMBS` on one side, (T,) each; `turns` (T, 24, 3) as if it were the right side."""
    hip, knee, ankle, foot = (_chain(turns, f"{side}_{part}") for part in ("hip", "knee", "ankle", "foot"))
    upper_arm = _chain(turns, f"{side}_collar", f"{side}_shoulder") @ _ARM_DOWN.T
    elbow = _ARM_DOWN @ _chain(turns, f"{side}_elbow") @ _ARM_DOWN.T
    wrist = _PALM_FORWARD @ _chain(turns, f"{side}_wrist") @ _PALM_FORWARD.T
    joints = np.stack([hip, knee, ankle, foot, upper_arm, elbow], axis=1)
    hip, knee, ankle, foot, arm, elbow = _continuous(cardan_angles(joints, "zxy")).transpose(1, 2, 0)
    shoulder = _whole_turns(np.degrees(np.unwrap(yxy_angles(upper_arm), axis=0))).T
    twist, wrist_flex, wrist_dev = _continuous(cardan_angles(wrist, "yzx")).T
    knee = (-knee[0], knee[1], knee[2])
    # SMPL's elbow and wrist share the rotation of the forearm. The T-pose's palms, which face down, are pronated.
    pro_sup = 90.0 + elbow[2] + twist
    return dict(
        zip(LIMBS, (*hip, *knee, *ankle, -foot[0], *arm, *shoulder, elbow[0], pro_sup, wrist_flex, wrist_dev))
    )


def _continuous(angles: np.ndarray) -> np.ndarray:
    return _whole_turns(np.degrees(continuous_cardan_angles(angles)))


def _whole_turns(angles: np.ndarray) -> np.ndarray:
    """Degrees (T, ...), shifted by whole turns so that the median over time is within 180 of 0."""
    return angles - 360.0 * np.round(np.median(angles, axis=0) / 360.0)
