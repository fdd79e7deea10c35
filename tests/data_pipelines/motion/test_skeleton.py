import numpy as np
import pytest

from data_pipelines.motion.skeleton import clamp_to_limits, joint_positions, on_floor
from hpof_jax.body.files import load_body
from hpof_jax.body.model import posed_joints
from hpof_jax.geometry.rotations import axis_angle_to_matrix


def test_the_rest_pose_stands_on_the_floor():
    pose, transl = np.zeros((4, 24, 3)), np.full((4, 3), 7.0)
    transl = on_floor(pose, transl)
    feet = joint_positions(pose, transl)[:, 10:12, 1]
    assert np.all(feet > 0) and np.all(feet < 0.05)
    np.testing.assert_array_equal(transl[:, [0, 2]], 7.0)


def test_clamping_keeps_what_is_inside_the_limits():
    pose = np.zeros((2, 24, 3), np.float32)
    pose[0, 4, 0], pose[1, 4, 0], pose[:, 0] = 1.0, -1.0, 3.0
    clamped = clamp_to_limits(pose)
    np.testing.assert_array_equal(clamped[0], pose[0])
    assert clamped[1, 4, 0] == pytest.approx(np.radians(-5)) and clamped.dtype == np.float32


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-6)])
def test_joints_are_those_of_the_body_model(dtype, tolerance):
    rng = np.random.default_rng(0)
    pose, transl = rng.normal(0, 0.5, (3, 24, 3)).astype(dtype), rng.normal(0, 1, (3, 3)).astype(dtype)
    joints = joint_positions(pose, transl)
    assert joints.dtype == dtype
    body = load_body()
    rotations = axis_angle_to_matrix(pose.astype(np.float32))
    expected = posed_joints(body, np.zeros(10, np.float32), rotations, transl - body.J_template[0])
    np.testing.assert_allclose(joints, expected, atol=max(tolerance, 2e-6))
