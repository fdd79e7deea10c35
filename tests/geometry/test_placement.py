import numpy as np
import pytest

from hpof_jax.geometry.placement import _acceleration_bands, place

SIZE, FOCAL = np.array([720, 1280]), 1400.0


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    points = rng.normal(0, [0.3, 0.6, 0.2], (60, 33, 3))
    time = np.arange(60) / 30
    path = np.stack([0.5 * time - 0.5, 0.1 * np.sin(time), 5 + 0.3 * time], axis=-1)
    placed = points + path[:, None]
    pixels = FOCAL * placed[..., :2] / placed[..., 2:] + SIZE[::-1] / 2
    keypoints = np.concatenate([pixels, np.ones((60, 33, 1))], axis=-1)
    guess = path + rng.normal(0, [0.1, 0.1, 0.3], path.shape)
    return points, keypoints, np.full(60, 500.0), guess, path


def test_exact_keypoints_give_the_path_back(scene):
    points, keypoints, box, guess, path = scene
    found = place(points, keypoints, box, guess, FOCAL, SIZE, 30)
    assert np.abs(guess - path).max() > 0.5
    np.testing.assert_allclose(found[:, :2], path[:, :2], atol=0.01)
    np.testing.assert_allclose(found[:, 2], path[:, 2], atol=0.08)


def test_outliers_and_gaps_are_bridged(scene):
    points, keypoints, box, guess, path = scene
    keypoints[::7, :8, :2] += 300
    keypoints[20:30] = 0
    found = place(points, keypoints, box, guess, FOCAL, SIZE, 30)
    assert np.linalg.norm(found - path, axis=-1).max() < 0.2
    jerky = np.abs(np.diff(guess, 2, axis=0)).mean()
    assert np.abs(np.diff(found, 2, axis=0)).mean() < 0.05 * jerky


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips(scene, frames):
    points, keypoints, box, guess, path = (x[:frames] for x in scene)
    assert np.isfinite(place(points, keypoints, box, guess, FOCAL, SIZE, 30)).all()


def test_the_bands_are_those_of_the_second_difference():
    difference = np.diff(np.eye(9), 2, axis=0)
    want, bands = difference.T @ difference, _acceleration_bands(9)
    for offset in range(3):
        np.testing.assert_allclose(np.diag(want, -offset), bands[offset, : 9 - offset])
