"""Stature, gravity, planted feet and the world, in one call."""

import dataclasses

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.grounding import ground, log
from hpof_jax.stature import stature


def test_a_person_of_known_height_stands_on_the_floor(gliding_motion, caplog):
    body = load_body()
    (motion,) = ground([gliding_motion], body, height=1.83)
    assert abs(stature(motion.betas, body) - 1.83) < 1e-3
    assert motion.world_to_camera is not None and motion.gravity_source == "estimated"
    with caplog.at_level("INFO"):
        log(motion)
    assert "m above the floor; its pitch is" in caplog.text and "estimated to about" in caplog.text
    ankle = motion.to_world(body).joints[:, 7]
    assert np.abs(np.diff(ankle, axis=0)).max() < 1e-3 and 0.03 < ankle[0, 2] < 0.15


def test_feet_are_locked_only_if_wanted_and_if_the_camera_stands_still(gliding_motion):
    body = load_body()
    panned = dataclasses.replace(gliding_motion, camera_motion="rotating")
    for motion, options in ((panned, {}), (gliding_motion, dict(foot_lock=False))):
        (same,) = ground([motion], body, **options)
        np.testing.assert_array_equal(same.trans, motion.trans)


def test_one_height_cannot_be_that_of_several_people(gliding_motion):
    with pytest.raises(UserError, match="A height is given, but there are several people: choose one"):
        ground([gliding_motion, gliding_motion], load_body(), height=1.8)
