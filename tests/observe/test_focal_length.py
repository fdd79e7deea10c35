import numpy as np
import pytest

from hpof_jax.observe.focal_length import find_focal_length
from tests.observe.test_camera_motion import FOCAL_LENGTH, IMAGE_SIZE, pan, seen


def test_a_pan_gives_the_focal_length():
    found = find_focal_length(seen(pan(60), np.random.default_rng(0)), IMAGE_SIZE)
    assert found == pytest.approx(FOCAL_LENGTH, rel=0.02)


def test_wrong_points_do_no_harm():
    found = find_focal_length(seen(pan(60), np.random.default_rng(0), wrong=0.2), IMAGE_SIZE)
    assert found == pytest.approx(FOCAL_LENGTH, rel=0.04)


@pytest.mark.parametrize("speed", [0.0, 0.05])
def test_a_camera_that_hardly_turns_does_not_tell(speed):
    assert find_focal_length(seen(pan(60, speed), np.random.default_rng(0)), IMAGE_SIZE) is None
