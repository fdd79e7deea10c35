"""What the panels of an overlay need to know of whole motions."""

import dataclasses

import numpy as np
import pytest

from hpof_jax.visualize import painter


def _moved(motion, offset):
    return dataclasses.replace(motion, joints=motion.joints + np.float32(offset))


def test_the_side_camera_shows_people_who_stand_far_apart(small_motion):
    middle, near = painter.side_camera([small_motion])
    people = [_moved(small_motion, (0, 0, -2)), _moved(small_motion, (0, 0, 2))]
    between, far = painter.side_camera(people)
    np.testing.assert_allclose(between, middle, atol=0.1)
    assert far > near + 1
    # The depth of the scene fits into the panel's width at that distance.
    assert 4 * painter.SIDE_DISTANCE / far < painter.SIDE_ASPECT * painter.SIDE_EXTENT


def test_the_speed_in_the_picture_is_never_zero(small_motion):
    still = dataclasses.replace(
        small_motion, joints=np.tile(small_motion.joints[:1], (len(small_motion), 1, 1))
    )
    assert painter.fastest(still) == 1
    steps = np.arange(len(small_motion))[:, None, None] * np.float32([0.1, 0, 0])
    depth = np.median(still.joints[0, :, 2])
    pixels = 0.1 * small_motion.focal_length / depth
    assert painter.fastest(_moved(still, steps)) == pytest.approx(max(pixels, 1), rel=0.15)
