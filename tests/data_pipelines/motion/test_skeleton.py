import numpy as np
import pytest

from data_pipelines.motion.skeleton import JOINT_LIMITS, clamp_to_limits, joint_positions, on_floor
from hpof_jax.body.skeletons import SMPL_MIRROR


def test_the_rest_pose_stands_on_the_floor():
    pose, transl = np.zeros((4, 24, 3)), np.full((4, 3), 7.0)
    transl = on_floor(pose, transl)
    feet = joint_positions(pose, transl)[:, 10:12, 1]
    assert np.all(feet > 0) and np.all(feet < 0.05)
    np.testing.assert_array_equal(transl[:, [0, 2]], 7.0)


def test_limits_are_mirrored_and_clamping_keeps_what_is_inside():
    signs = np.array([1.0, -1.0, -1.0])[:, None]
    mirrored = np.sort(JOINT_LIMITS[SMPL_MIRROR] * signs, axis=-1)
    np.testing.assert_allclose(mirrored[:, 1:], np.sort(JOINT_LIMITS, axis=-1)[:, 1:])
    assert np.all(JOINT_LIMITS[..., 0] <= 0) and np.all(JOINT_LIMITS[..., 1] >= 0)
    pose = np.zeros((2, 24, 3), np.float32)
    pose[0, 4, 0], pose[1, 4, 0], pose[:, 0] = 1.0, -1.0, 3.0
    clamped = clamp_to_limits(pose)
    np.testing.assert_array_equal(clamped[0], pose[0])
    assert clamped[1, 4, 0] == pytest.approx(np.radians(-5)) and clamped.dtype == np.float32
