"""The errors of motion laboratories, on motions whose error is known by construction."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.training import clinical_metrics as metrics

RNG = np.random.default_rng(0)
TRUE = np.cumsum(RNG.normal(scale=0.02, size=(40, 12, 3)), axis=0) + RNG.normal(size=(12, 3))
TURN = Rotation.from_rotvec([0.4, -1.0, 0.3]).as_matrix()


def test_alignment_takes_away_what_it_should():
    moved = 1.1 * TRUE @ TURN.T + [1, 2, 3]
    points, scales, rotations = metrics.aligned(moved, TRUE)
    np.testing.assert_allclose(points, TRUE, atol=1e-9)
    np.testing.assert_allclose(scales, 1 / 1.1)
    np.testing.assert_allclose(rotations, np.broadcast_to(TURN.T, rotations.shape), atol=1e-9)
    rigid, scale = metrics.in_world(TRUE @ TURN.T + [1, 2, 3], TRUE)
    np.testing.assert_allclose(rigid, TRUE, atol=1e-9)
    assert scale == 1
    rigid, _ = metrics.in_world(moved, TRUE)
    assert metrics.distance(rigid, TRUE).mean() > 10
    scaled, scale = metrics.in_world(moved, TRUE, scaled=True)
    np.testing.assert_allclose(scaled, TRUE, atol=1e-9)
    assert scale == pytest.approx(1 / 1.1)


def test_constant_offsets_in_turning_segments_are_found():
    """Joints that are off by a fixed vector of their segment: all of the error is constant."""
    turns = Rotation.from_rotvec(RNG.normal(size=(40 * 12, 3))).as_matrix().reshape(40, 12, 3, 3)
    offsets = RNG.normal(scale=0.03, size=(12, 3))
    pred = TRUE - np.einsum("tkij,kj->tki", turns, offsets)
    found, left = metrics.constant_offsets(pred, TRUE, turns)
    assert metrics.distance(metrics.aligned(pred, TRUE)[0], TRUE).mean() > 20
    assert left.mean() < 0.5
    np.testing.assert_allclose(found, offsets, atol=2e-3)


def test_noise_is_not_constant():
    turns = Rotation.from_rotvec(RNG.normal(size=(40 * 12, 3))).as_matrix().reshape(40, 12, 3, 3)
    pred = TRUE + RNG.normal(scale=0.03, size=TRUE.shape)
    before = metrics.distance(metrics.aligned(pred, TRUE)[0], TRUE).mean()
    offsets, left = metrics.constant_offsets(pred, TRUE, turns)
    assert 0.9 * before < left.mean() <= before
    assert np.linalg.norm(offsets, axis=-1).mean() < 0.012


def test_angles():
    true = np.linspace(0, 60, 61)
    errors = metrics.angle_errors(true + 5, true)
    assert errors == pytest.approx(dict(rmse=5, mae=5, offset=5, rmse_without_offset=0, range=60))
    errors = metrics.angle_errors(np.where(np.arange(61) % 2, true + 363, true - 3), true)
    assert errors["rmse"] == pytest.approx(3) and errors["rmse_without_offset"] == pytest.approx(3, abs=0.01)
    assert np.isnan(metrics.angle_errors(true, true * np.nan)["rmse"])
    uneven = metrics.angle_errors(np.array([1.0, 2, 3, 6]), np.zeros(4))
    assert uneven == pytest.approx(
        dict(rmse=np.sqrt(12.5), mae=3, offset=3, rmse_without_offset=np.sqrt(3.5), range=0)
    )
    gap = np.where(np.arange(61) < 30, np.nan, true)
    assert metrics.angle_errors(true + 2, gap)["mae"] == pytest.approx(2)


def test_bend_of_three_points():
    points = [np.array([[0.0, y, 0.0]]) for y in (2.0, 1.0, 0.0)]
    assert metrics.bend(*points)[0] == pytest.approx(0, abs=1e-6)
    points[2] = np.array([[1.0, 1.0, 0.0]])
    assert metrics.bend(*points)[0] == pytest.approx(90)
