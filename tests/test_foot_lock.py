"""Planted feet stay in place."""

import dataclasses

import numpy as np

from hpof_jax.body import forward, load_body
from hpof_jax.contacts import FEET, contact_points, speeds
from hpof_jax.foot_lock import lock_feet


def slide(motion):
    """Speed of the heels and toes, m/s, while both feet stand."""
    return speeds(contact_points(motion, load_body())[:, :FEET], motion.times, 1)[:25]


def pixels(motion):
    return motion.joints[..., :2] / motion.joints[..., 2:] * motion.focal_length


def test_feet_that_glide_in_depth_stay_in_place_and_the_picture_stays_the_same(gliding_motion):
    locked = lock_feet(gliding_motion, load_body())
    assert slide(gliding_motion).mean() > 0.1
    assert slide(locked).mean() < 0.01
    assert np.abs(pixels(locked) - pixels(gliding_motion)).mean() < 1.5


def test_the_legs_close_what_the_path_cannot(gliding_motion):
    """The right foot glides by 2 cm to the side, while the left one stands."""
    body, pose = load_body(), gliding_motion.pose.copy()
    pose[:30, 2, 2] += 0.02 * np.sin(2 * np.pi * gliding_motion.times[:30])
    moved = dataclasses.replace(gliding_motion, poses=pose.reshape(-1, 72))
    _, joints = forward(body, moved.betas, moved.global_orient, moved.body_pose, moved.trans)
    moved = dataclasses.replace(moved, joints=joints)
    locked = lock_feet(moved, body)
    assert slide(locked).max() < 0.05
    # The numbers agree with each other, and the bones keep their lengths.
    _, again = forward(body, locked.betas, locked.global_orient, locked.body_pose, locked.trans)
    np.testing.assert_allclose(again, locked.joints, atol=1e-4)


def test_without_contacts_nothing_changes(gliding_motion, small_motion):
    none = np.zeros((60, 9), bool)
    assert lock_feet(gliding_motion, load_body(), none) is gliding_motion
    assert lock_feet(small_motion, load_body(), np.zeros((5, 9), bool)) is small_motion
