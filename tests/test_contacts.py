"""Which parts of the body rest on the floor."""

import dataclasses

import numpy as np

from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS
from hpof_jax.contacts import POINTS, contact_points, find_contacts

NAMES = list(POINTS)
UP = np.array([0.0, -1.0, 0.0])


def test_a_foot_that_stands_is_in_contact_until_it_is_lifted(gliding_motion):
    found = find_contacts(gliding_motion, load_body(), UP)
    assert found.shape == (60, 9) and found.dtype == bool
    of = {name: found[:, column] for column, name in enumerate(NAMES)}
    assert of["left_heel"].all() and of["left_toe"].all()
    assert of["right_toe"][:25].all() and not of["right_toe"][40:].any()
    assert not any(of[name].any() for name in ("left_hand", "left_knee", "seat"))


def test_nothing_is_in_contact_in_the_air_or_where_nobody_is_seen(gliding_motion):
    body, times = load_body(), gliding_motion.times
    leap = np.stack([0 * times, -2.0 * times, 0 * times], axis=1).astype(np.float32)  # upwards, 2 m/s
    flying = dataclasses.replace(
        gliding_motion, trans=gliding_motion.trans + leap, joints=gliding_motion.joints + leap[:, None]
    )
    assert not find_contacts(flying, body, UP)[2:-2].any()
    unseen = dataclasses.replace(gliding_motion, keypoints_2d=np.zeros((60, 33, 3)))
    assert not find_contacts(unseen, body, UP).any()


def test_heels_and_toes_are_the_landmarks_of_the_body(gliding_motion):
    body = load_body()
    points = contact_points(gliding_motion, body)
    vertices = gliding_motion.vertices(body, np.array([0, 50]))
    for name, landmark in (("left_heel", "left_heel"), ("right_toe", "right_foot_index")):
        row = np.asarray(body.landmark_regressor)[BLAZEPOSE_LANDMARKS.index(landmark)]
        np.testing.assert_allclose(points[[0, 50], NAMES.index(name)], row @ vertices, atol=0.005)


def test_a_motion_without_frames_has_no_contact(small_motion):
    arrays = (
        "poses trans joints keypoints_2d cam box confidence frame_index times camera_rotation camera_position"
    )
    empty = dataclasses.replace(small_motion, **{n: getattr(small_motion, n)[:0] for n in arrays.split()})
    assert find_contacts(empty, load_body(), UP).shape == (0, 9)
