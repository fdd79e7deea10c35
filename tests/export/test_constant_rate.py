import dataclasses

import numpy as np

from hpof_jax.body import load_body
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.world import to_world


def test_uneven_times_are_resampled_and_even_ones_are_not(small_motion):
    body = load_body()
    world = to_world(small_motion, body)
    even = at_constant_rate(world, body)
    np.testing.assert_allclose(even.times, [1.0, 1.04, 1.08, 1.12, 1.16])
    np.testing.assert_allclose(even.fps, 25)
    np.testing.assert_allclose(even.joints[[0, 1, 3, 4]], world.joints[[0, 1, 3, 4]], atol=1e-5)
    between = world.joints[1] + (world.joints[2] - world.joints[1]) * (2 / 3)
    np.testing.assert_allclose(even.joints[2], between, atol=0.01)  # an arc, not a line

    jitter = dataclasses.replace(world, times=np.array([1.0, 1.0404, 1.08, 1.1196, 1.16]))
    np.testing.assert_array_equal(at_constant_rate(jitter, body).joints, world.joints)
    alone = dataclasses.replace(world, transl=world.transl[:1])
    assert at_constant_rate(alone, body) is alone


def test_the_poses_of_a_camera_that_moves_are_resampled_too(small_motion):
    body = load_body()
    world = to_world(small_motion, body)
    places = np.tile(np.eye(4), (5, 1, 1))
    places[:, 0, 3] = np.arange(5)
    even = at_constant_rate(dataclasses.replace(world, world_to_camera=np.linalg.inv(places)), body)
    found = np.linalg.inv(even.world_to_camera)[:, 0, 3]
    np.testing.assert_allclose(found, [0, 1, 1 + 2 / 3, 3, 4], atol=1e-2)
