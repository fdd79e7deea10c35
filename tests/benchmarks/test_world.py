"""The benchmark of gravity, contacts and foot lock."""

import numpy as np

from benchmarks.world import camera_turn, in_world, measure, table
from hpof_jax.body import load_body


def test_a_perfect_reconstruction_has_no_error_but_that_of_gravity(gliding_motion):
    """The ground truth is the motion itself, seen by a level camera 1.5 m above the origin of a world with y up."""
    pose = np.float32([[1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, -1, 0]])
    clip = {
        "world_to_camera": np.tile(pose, (60, 1, 1)),
        "pose": gliding_motion.pose,
        "betas": gliding_motion.betas,
        "transl": gliding_motion.trans,
        "joints": gliding_motion.joints,
    }
    assert camera_turn(clip) < 0.1
    np.testing.assert_allclose(in_world(np.zeros((60, 1, 3)), clip["world_to_camera"])[0, 0], [0, 1.5, 0])
    found = table([measure(clip, gliding_motion, load_body())])
    assert found["gravity"][0] < 8 and found["level"][0] < 1e-3
    assert found["pa_mpjpe before"][0] < 0.1 and found["contacts"]["precision"] > 0.5
    assert found["slide after"][1] <= found["slide before"][1]
    assert table([]) == {}
