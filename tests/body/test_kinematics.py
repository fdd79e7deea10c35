import jax
import numpy as np

from hpof_jax.body.kinematics import FEW, forward_kinematics
from hpof_jax.geometry.rotations import axis_angle_to_matrix

along = jax.jit(forward_kinematics)


def test_a_turned_joint_carries_its_descendants():
    rest = np.zeros((24, 3), np.float32)
    rest[:, 0] = np.arange(24)
    turned = np.tile(np.eye(3, dtype=np.float32), (24, 1, 1))
    turned[4] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # the left knee by 90 degrees about z
    world, joints = along(rest, turned)
    below = [4, 7, 10]  # knee, ankle, foot
    np.testing.assert_allclose(world[np.array(below)], np.tile(turned[4], (3, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(joints[np.array(below)], [[4, 0, 0], [4, 3, 0], [4, 6, 0]], atol=1e-6)
    rest_of_body = [joint for joint in range(24) if joint not in below]
    np.testing.assert_allclose(joints[np.array(rest_of_body)], rest[rest_of_body], atol=1e-6)


def test_few_and_many_bodies_take_the_same_tree():
    rng, shape = np.random.default_rng(12), (FEW + 1, 24, 3)
    rest = rng.normal(size=shape).astype(np.float32)
    rotations = jax.jit(axis_angle_to_matrix)(rng.normal(size=shape).astype(np.float32))
    along = jax.jit(forward_kinematics)
    many = along(rest, rotations)
    for body in range(FEW + 1):
        for few, all_ in zip(along(rest[body], rotations[body]), many):
            np.testing.assert_allclose(few, all_[body], atol=1e-5)
