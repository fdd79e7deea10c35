"""Errors of shape on bodies whose lengths are known."""

import numpy as np
import pytest

from benchmarks import shape
from hpof_jax.body import load_body


def test_lengths_of_the_mean_and_a_tall_body():
    mean, tall = np.zeros(10), np.eye(10)[0]
    found = shape.lengths(load_body(), np.stack([mean, tall]))
    assert (
        found["stature"][0] == pytest.approx(1702, abs=2) and found["stature"][1] > found["stature"][0] + 50
    )
    assert found["hips"][0] == pytest.approx(169, abs=2)
    assert [*found] == ["stature", *shape.BONES]


def test_figures_of_a_biased_prediction():
    true = np.array([1600.0, 1700.0, 1800.0])
    row = shape.compare(true + 10, true, 1700.0)
    assert row["error"] == row["bias"] == 10 and row["r"] == pytest.approx(1)
    assert row["mean shape"] == pytest.approx(200 / 3)
    assert shape.compare(true * 0, true, 1700.0)["r"] == 0


def test_a_folder_of_clips(tmp_path, monkeypatch):
    """The model's answer is replaced by a known one."""
    betas = np.eye(10)[:3]
    for number, row in enumerate(betas):
        arrays = {key: np.zeros(1) for key in shape.OBSERVED}
        np.savez(tmp_path / f"clip_{number:06d}.npz", **arrays | {"betas": row, "seen": np.ones(1, bool)})
    answers = iter(betas + 0.5)

    class Lifted:
        def __init__(self, found):
            self.betas = found

    monkeypatch.setattr(shape, "Observations", lambda **arrays: None)
    monkeypatch.setattr(shape, "load_weights", lambda path: None)
    monkeypatch.setattr(shape, "lift", lambda observations, weights, body: Lifted(next(answers)))
    found = shape.measure(tmp_path, None, load_body())
    assert found["clips"] == 3
    assert all(row["bias"] == pytest.approx(0.5) for row in found["betas"])
