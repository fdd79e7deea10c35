import numpy as np
import pytest
from scipy import stats

from hpof_jax.training.bootstrap import interval


def test_an_interval_around_the_mean_of_all_frames():
    rng = np.random.default_rng(0)
    counts = rng.integers(50, 400, 30)
    totals = np.stack([counts * rng.normal(60, 10, 30), counts], axis=1)
    low, high = interval(totals)
    assert low < totals[:, 0].sum() / totals[:, 1].sum() < high
    again = stats.bootstrap(
        (totals[:, 0], totals[:, 1]), lambda a, b, axis=-1: a.sum(axis) / b.sum(axis), paired=True,
        method="percentile", n_resamples=5000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx((again.low, again.high), abs=0.1 * (high - low))


def test_one_sequence_has_no_interval():
    assert np.isnan(interval(np.array([[600.0, 10.0]]))).all()
    assert np.isnan(interval(np.array([[600.0, 10.0], [0.0, 0.0]]))).all()


def test_equal_sequences_leave_no_doubt():
    assert interval(np.array([[600.0, 10.0], [1200.0, 20.0]])) == pytest.approx((60.0, 60.0))
