import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.observe.lens import check_fov, check_one_given, find_lens
from hpof_jax.observe.video import VideoInfo


def info(focal_length=None):
    return VideoInfo(30.0, (60, 80), 10, "dance.mp4", focal_length=focal_length)


def test_the_focal_length_is_given_or_from_the_metadata_or_assumed():
    for given, stated, found, source in (
        (90.0, 70.0, 90.0, "given"),
        (None, 70.0, 70.0, "metadata"),
        (None, None, 75.0, "assumed"),
        (None, 1e9, 75.0, "assumed"),  # metadata that make no sense
    ):
        lens = find_lens(info(stated), given)
        assert lens["focal_length"] == pytest.approx(found) and lens["focal_length_source"] == source
        np.testing.assert_array_equal(lens["image_size"], [60, 80])


@pytest.mark.parametrize("focal_length", [0, -1, 1e-3, 1e12, float("nan"), float("inf")])
def test_wrong_focal_length(focal_length):
    with pytest.raises(UserError, match=r"the focal length .* is out of range: give \d+ to \d+ pixels"):
        find_lens(info(), focal_length)


def test_a_wrong_field_of_view():
    check_fov(60.0)
    for fov in (0.5, 171.0, float("nan")):
        with pytest.raises(UserError, match="give one between 1 and 170"):
            check_fov(fov)
    check_one_given(900.0, None)
    with pytest.raises(UserError, match="Both a focal length and a field of view were given"):
        check_one_given(900.0, 60.0)
