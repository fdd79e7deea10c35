"""What the formats share: joint names, the y-up frame and the body at rest. NumPy."""

import numpy as np
from scipy.spatial.transform import Rotation

from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.errors import UserError
from hpof_jax.geometry.numpy_rotations import Y_UP
from hpof_jax.world import WorldMotion

LEAVES = tuple(joint for joint in range(24) if joint not in SMPL_PARENTS)  # feet, head, hands

_MIXAMO = (
    "Hips LeftUpLeg RightUpLeg Spine LeftLeg RightLeg Spine1 LeftFoot RightFoot Spine2 LeftToeBase RightToeBase Neck "
    "LeftShoulder RightShoulder Head LeftArm RightArm LeftForeArm RightForeArm LeftHand RightHand LeftHandMiddle1 "
    "RightHandMiddle1"
).split()
JOINT_NAMES = {"smpl": SMPL_JOINTS, "mixamo": tuple(f"mixamorig:{name}" for name in _MIXAMO)}


def joint_names(names: str) -> tuple[str, ...]:
    """The 24 joints' names, in SMPL's order.

    Raises:
      UserError: `names` is neither 'smpl' nor 'mixamo'.
    """
    if names not in JOINT_NAMES:
        raise UserError(f"There are no joint names '{names}': choose one of {', '.join(JOINT_NAMES)}.")
    return JOINT_NAMES[names]


def rest_body(body: BodyModel, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shape in its T-pose on the floor, y = 0, facing z: joints (24, 3) and vertices (V, 3), metres, y up.

    The pelvis is above the origin.
    """
    blend = np.concatenate([[1.0], betas])
    vertices = (blend @ np.asarray(body.basis[: len(blend)], np.float64)).reshape(3, -1).T
    joints = np.asarray(body.J_template, np.float64) + np.tensordot(betas, body.J_shapedirs, axes=1)
    origin = np.array([joints[0, 0], vertices[:, 1].min(), joints[0, 2]])
    return joints - origin, vertices - origin


def y_up(motion: WorldMotion) -> tuple[Rotation, np.ndarray]:
    """Joint rotations (T * 24), relative to the parents, and the pelvis (T, 3), in metres, in a world with y up."""
    pose = motion.pose.copy()
    pose[:, 0] = (Rotation.from_matrix(Y_UP) * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    return Rotation.from_rotvec(pose.reshape(-1, 3)), motion.joints[:, 0] @ Y_UP.T
