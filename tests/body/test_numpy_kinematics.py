"""Forward kinematics in NumPy gives what the body model gives."""

import numpy as np

from hpof_jax.body import forward, load_body
from hpof_jax.body.model import rest_joints
from hpof_jax.body.numpy_kinematics import global_rotations, posed_joints


def test_joints_are_those_of_the_body_model(small_motion):
    body = load_body()
    rest = np.asarray(rest_joints(body, small_motion.betas))
    joints = posed_joints(rest, global_rotations(small_motion.pose), small_motion.trans + rest[0])
    arguments = small_motion.global_orient, small_motion.body_pose, small_motion.trans
    _, expected = forward(body, small_motion.betas, *arguments)
    np.testing.assert_allclose(joints, expected, atol=1e-4)
