"""Forward kinematics in NumPy, in double precision, for results that are changed after the reconstruction."""

import numpy as np

from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.geometry.numpy_rotations import to_matrix


def global_rotations(pose: np.ndarray) -> np.ndarray:
    """Axis-angle relative to the parents (T, 24, 3) -> absolute rotations (T, 24, 3, 3)."""
    turns: list[np.ndarray] = []
    for parent, local in zip(SMPL_PARENTS, np.moveaxis(to_matrix(pose.astype(np.float64)), 1, 0)):
        turns.append(local if parent < 0 else turns[parent] @ local)
    return np.stack(turns, axis=1)


def posed_joints(rest: np.ndarray, turns: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    """Joints (T, 24, 3) of a rest skeleton (24, 3) under absolute rotations (T, 24, 3, 3), with the pelvis (T, 3)."""
    joints = [np.asarray(pelvis, np.float64)]
    for joint, parent in enumerate(SMPL_PARENTS[1:], 1):
        joints.append(joints[parent] + turns[:, parent] @ (rest[joint] - rest[parent]))
    return np.stack(joints, axis=1)
