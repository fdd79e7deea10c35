"""What proportions alone tell about the stature."""

import numpy as np
import pytest

from benchmarks import shape_limit
from hpof_jax.body import load_body


def test_a_feature_that_tells_everything_and_one_that_tells_nothing(monkeypatch):
    monkeypatch.setattr(shape_limit, "HELD_OUT", 200)
    rng = np.random.default_rng(0)
    target = rng.normal(1700, 90, 600)
    told = np.stack([0.001 * target, rng.normal(size=600) * 0], axis=1)
    assert shape_limit.limit(told, target, 0.0, rng)["error"] == pytest.approx(0, abs=1e-6)
    size_only = np.stack([0.001 * target, 0.001 * target], axis=1)
    assert shape_limit.limit(size_only, target, 1.0, rng)["error"] > 60, "the common size is not seen"


def test_a_heavier_body_is_wider():
    mean, heavy = shape_limit.widths(load_body(), np.stack([np.zeros(10), 2 * np.eye(10)[1]]))
    assert (heavy > 1.05 * mean).all() and (mean > 0.2).all()
