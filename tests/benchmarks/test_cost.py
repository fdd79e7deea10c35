import numpy as np
import pytest

from benchmarks import cost


def test_a_curve_has_the_slope_of_its_growth_and_is_drawn(monkeypatch, tmp_path):
    def times(ways, rounds):
        return {name: {"cpu": [1e-3 * int(name) ** 2] * rounds} for name in ways}

    monkeypatch.setattr(cost, "interleaved", times)
    monkeypatch.setattr(cost, "silhouettes", lambda side: None)
    curve = cost.measure("picture", (32, 64, 128), "configs/hpof.py", rounds=3)
    assert curve["slope"] == pytest.approx(2) and curve["points"] == [32, 64, 128]
    cost.plot({"picture": curve}, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_the_silhouettes_that_are_measured_show_bodies():
    gradient = cost.silhouettes(16)()
    assert gradient.shape[0] == 8 and gradient.any(axis=(1, 2)).all()


@pytest.mark.slow
def test_a_training_step_of_each_size_runs():
    assert np.isfinite(cost.train_step("configs/tiny.py", clips=8, frames=8)()["total"]).all()
