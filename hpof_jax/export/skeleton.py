"""What the formats share: joint names, the y-up frame and the body at rest. NumPy."""

import numpy as np
from scipy.spatial.transform import Rotation

from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.errors import UserError
from hpof_jax.geometry.numpy_rotations import Y_UP
from hpof_jax.world import WorldMotion

COLOR = (0.26, 0.38, 0.56)  # of the body, linear RGB; a neutral blue, as in the overlay
INFLUENCES = 4  # joints per vertex, which is what engines read
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


def camera_to_y_up(motion: WorldMotion) -> np.ndarray:
    """The place of the video's camera in a world with y up, for cameras that look along -z with y up.

    (4, 4), or (T, 4, 4) if the camera moves.
    """
    matrices = np.linalg.inv(motion.world_to_camera) @ np.diag([1.0, -1.0, -1.0, 1.0])
    matrices[..., :3, :] = Y_UP @ matrices[..., :3, :]
    return matrices


def influences(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The joints (V, 4) uint8 that move each vertex most, and their weights (V, 4), which add up to 1."""
    joints = np.argsort(-weights, axis=1)[:, :INFLUENCES]
    weights = np.take_along_axis(weights, joints, axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    # The specification wants joint 0 where a weight is 0.
    return np.where(weights > 0, joints, 0).astype(np.uint8), weights.astype(np.float32)
