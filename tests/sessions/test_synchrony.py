"""The time offset of recordings with other frame rates, starting times, gaps and noise."""

import numpy as np
import pytest

from hpof_jax.sessions import synchrony


def motion(times):
    return np.stack([np.sin(2.1 * times + k) + 0.5 * np.sin(5.3 * times + k * k) for k in range(3)], axis=-1)


@pytest.mark.parametrize("offset", [0.0, 0.137, -0.42, 3.2])
def test_the_offset_is_found_to_milliseconds(offset):
    rng = np.random.default_rng(0)
    times, other_times = np.arange(0, 8, 1 / 29.97), 2.0 + np.arange(0, 9, 1 / 100)
    other = motion(other_times - offset) + rng.normal(scale=0.05, size=(len(other_times), 3))
    other[50:80] = np.nan
    found, correlation = synchrony.find_offset(times, 0.8 * motion(times) + 0.3, other_times, other)
    assert abs(found - offset) < 0.004 and correlation > 0.95


def test_nothing_moves_or_nothing_overlaps():
    times = np.arange(0, 3, 0.03)
    assert synchrony.find_offset(times, motion(times), times, np.zeros((len(times), 3))) == (0.0, 0.0)
    assert synchrony.find_offset(times, motion(times), times, np.full((len(times), 3), np.nan)) == (0.0, 0.0)
    other = np.random.default_rng(0).normal(size=(len(times), 3))
    assert synchrony.find_offset(times, motion(times), times, other)[1] < synchrony.SURE


def test_resampling_keeps_gaps():
    values = synchrony.resample(
        np.array([0.0, 1.0, np.nan, 3.0]), np.arange(4.0), np.array([-1, 0.5, 1.5, 3.0])
    )
    np.testing.assert_array_equal(values, [np.nan, 0.5, np.nan, 3.0])


def test_distances_do_not_depend_on_the_frame_of_reference():
    points = np.random.default_rng(0).normal(size=(5, 4, 3))
    turned = points[..., [2, 0, 1]] + [1, 2, 3]
    assert synchrony.distances(points).shape == (5, 6)
    np.testing.assert_allclose(synchrony.distances(points), synchrony.distances(turned))
