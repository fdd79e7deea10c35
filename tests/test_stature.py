"""A known stature gives the body its size, and the person's distance."""

import numpy as np
import pytest

from hpof_jax.body import forward, load_body
from hpof_jax.errors import UserError
from hpof_jax.stature import stature, with_stature
from hpof_jax.world import with_world


def pixels(motion):
    return motion.joints[..., :2] / motion.joints[..., 2:] * motion.focal_length


@pytest.mark.parametrize("metres", [1.55, 1.83, 2.0])
def test_the_body_is_as_tall_as_the_person_and_stays_in_its_place_of_the_picture(small_motion, metres):
    body = load_body()
    tall = with_stature(small_motion, body, metres)
    assert abs(stature(tall.betas, body) - metres) < 1e-4
    ratio = metres / stature(small_motion.betas, body)
    np.testing.assert_allclose(tall.joints[:, 0] / small_motion.joints[:, 0], ratio, rtol=0.05)
    assert np.abs(pixels(tall) - pixels(small_motion)).max() < 0.05 * np.ptp(pixels(tall)[..., 1])
    # Its numbers, put through the body, give its joints.
    _, joints = forward(body, tall.betas, tall.global_orient, tall.body_pose, tall.trans)
    np.testing.assert_allclose(joints, tall.joints, atol=1e-4)


def test_the_world_grows_with_the_person(small_motion):
    body = load_body()
    (motion,) = with_world([small_motion], body, camera_pitch=-5, camera_roll=1)
    tall = with_stature(motion, body, 2.0)
    old, new = motion.to_world(body), tall.to_world(body)
    assert np.abs(old.joints[..., 2].min() - new.joints[..., 2].min()) < 0.05  # the floor stays at 0
    np.testing.assert_array_equal(tall.world_to_camera[:3, :3], motion.world_to_camera[:3, :3])


def test_a_stature_that_nobody_has_gives_one_sentence(small_motion):
    for metres in (0.5, float("nan"), 183):
        with pytest.raises(UserError, match=r"The height is .* metres: give the person's stature"):
            with_stature(small_motion, load_body(), metres)
