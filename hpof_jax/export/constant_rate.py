"""A motion at a constant frame rate, for formats that have no time per frame."""

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from hpof_jax.body.model import BodyModel, posed_joints
from hpof_jax.geometry import temporal
from hpof_jax.geometry.numpy_rotations import to_matrix
from hpof_jax.world import WorldMotion

SAME_RATE = 1e-3  # seconds; frame times this close to a constant rate count as constant


def at_constant_rate(motion: WorldMotion, body: BodyModel) -> WorldMotion:
    """The motion at a constant frame rate.

    Times that are constant to a millisecond stay as they are, and only their rounding goes. Others are
    resampled at the most common rate: rotations by spherical, places by linear interpolation.
    """
    if len(motion) == 1:
        return motion
    start, span = motion.times[0], motion.times[-1] - motion.times[0]
    even = start + np.linspace(0.0, span, len(motion))
    if np.abs(motion.times - even).max() <= SAME_RATE:
        return dataclasses.replace(motion, times=even, fps=(len(motion) - 1) / span)
    step = np.median(np.diff(motion.times))
    times = start + step * np.arange(int(span / step + 1e-6) + 1)
    position = np.interp(times, motion.times, np.arange(len(motion)))
    pose, transl = temporal.slerp(motion.pose, position), temporal.linear(motion.transl, position)
    joints = posed_joints(body, motion.betas, to_matrix(pose), transl)
    return dataclasses.replace(
        motion,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:],
        transl=transl,
        joints=np.asarray(joints, np.float64),
        confidence=temporal.linear(motion.confidence, position),
        world_to_camera=_resampled(motion.world_to_camera, position),
        times=times,
        fps=float(1 / step),
    )


def _resampled(poses: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The camera's poses (T, 4, 4) at positions (N,) in frames; one pose (4, 4) as it is."""
    if poses.ndim == 2:
        return poses
    places = np.linalg.inv(poses)
    turns = temporal.slerp(Rotation.from_matrix(places[:, :3, :3]).as_rotvec(), position)
    found = np.tile(np.eye(4), (len(position), 1, 1))
    found[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix()
    found[:, :3, 3] = temporal.linear(places[:, :3, 3], position)
    return np.linalg.inv(found)
