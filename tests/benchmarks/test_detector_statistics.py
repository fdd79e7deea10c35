import numpy as np
import pytest

from benchmarks.detector_statistics import CURVES, FIGURES, LAGS, plot, statistics, summarise


@pytest.fixture
def walk():
    """A made-up clip of 20 frames: joints (T, 12, 3) before a camera, and their pixels."""
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 0.3, (1, 12, 3)) + 0.05 * rng.normal(size=(20, 12, 3)) + (0, 0, 4)
    return joints, 1000 * joints[..., :2] / joints[..., 2:] + 500


def observed(joints, pixels):
    return joints, np.concatenate([pixels, np.full((20, 12, 1), 0.9)], axis=-1)


def test_a_perfect_detector_has_no_error(walk):
    figures = statistics(*observed(*walk), *walk, seen=np.arange(20) < 15)
    assert tuple(figures) == FIGURES + CURVES
    for figure in ("pa_mpjpe", "n_mpjpe", "accel", "tilt", "error_2d", "swapped"):
        assert figures[figure] == pytest.approx(0, abs=0.1), figure
    assert figures["slope"] == pytest.approx(1, abs=1e-4)
    assert figures["visibility"] == pytest.approx(90, abs=1e-3) and figures["seen"] == 75


def test_each_error_shows_in_its_figure(walk):
    joints, pixels = walk
    always = np.ones(20, bool)
    flat = (joints - joints.mean(axis=1, keepdims=True)) * (1, 1, 0.5)
    assert statistics(*observed(flat, pixels), *walk, always)["slope"] == pytest.approx(0.5, abs=1e-3)
    larger = statistics(*observed(2 * joints, pixels), *walk, always)
    assert larger["pa_mpjpe"] < 0.1 and larger["n_mpjpe"] < 0.1 and larger["accel"] > 10
    mirrored = np.arange(12).reshape(-1, 2)[:, ::-1].ravel()
    swapped = statistics(
        *observed(joints, np.where(np.arange(20)[:, None, None] < 5, pixels[:, mirrored], pixels)),
        *walk,
        always,
    )
    assert 10 < swapped["swapped"] <= 25 and swapped["error_2d"] > 1


def test_persistence_of_errors_and_errors_by_visibility(walk, tmp_path):
    joints, pixels = walk
    always, rng = np.ones(20, bool), np.random.default_rng(1)
    slow = 30 * np.sin(np.arange(20) / 5)[:, None, None] + np.zeros((20, 12, 2))
    fast = 30 * rng.normal(size=(20, 12, 2))
    lasting, brief = (statistics(*observed(joints, pixels + error), *walk, always) for error in (slow, fast))
    assert lasting["persists"] > 0.8 and abs(brief["persists"]) < 0.4
    assert lasting["persistence"].shape == (LAGS + 1,) and lasting["persistence"][0] == pytest.approx(1)

    mirrored = np.arange(12).reshape(-1, 2)[:, ::-1].ravel()
    now = np.isin(np.arange(20), (3, 4, 5, 6, 11, 12))[:, None, None]
    assert (
        statistics(*observed(joints, np.where(now, pixels[:, mirrored], pixels)), *walk, always)["lasts"] == 3
    )

    found_joints, found = observed(joints, pixels.copy())
    found[:, 4, :2] += 40
    found[:, 4, 2] = 0.3
    found[:, 5, 2] = 0.95
    figures = statistics(found_joints, found, *walk, always)
    assert figures["sure"] == pytest.approx(0, abs=1e-6) and figures["unsure"] > 0.3
    assert np.argmax(figures["error_of_joint"]) == 4 and np.nanargmax(figures["error_at_confidence"]) == 1

    group = summarise("a group", [lasting, brief, figures])
    plot({"a": group, "b": group}, tmp_path / "errors.png")
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
