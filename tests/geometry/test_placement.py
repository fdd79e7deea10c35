import numpy as np
import pytest

from hpof_jax.geometry.placement import acceleration_bands, place

SIZE, FOCAL = np.array([720, 1280]), 1400.0
TIMES = np.arange(60) / 30


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    points = rng.normal(0, [0.3, 0.6, 0.2], (60, 33, 3))
    time = TIMES
    path = np.stack([0.5 * time - 0.5, 0.1 * np.sin(time), 5 + 0.3 * time], axis=-1)
    placed = points + path[:, None]
    pixels = FOCAL * placed[..., :2] / placed[..., 2:] + SIZE[::-1] / 2
    keypoints = np.concatenate([pixels, np.ones((60, 33, 1))], axis=-1)
    guess = path + rng.normal(0, [0.1, 0.1, 0.3], path.shape)
    return points, keypoints, np.full(60, 500.0), guess, path


def test_exact_keypoints_give_the_path_back(scene):
    points, keypoints, box, guess, path = scene
    found = place(points, keypoints, box, guess, FOCAL, SIZE, TIMES)
    assert np.abs(guess - path).max() > 0.5
    np.testing.assert_allclose(found[:, :2], path[:, :2], atol=0.01)
    np.testing.assert_allclose(found[:, 2], path[:, 2], atol=0.08)


def test_outliers_and_gaps_are_bridged(scene):
    points, keypoints, box, guess, path = scene
    keypoints[::7, :8, :2] += 300
    keypoints[20:30] = 0
    found = place(points, keypoints, box, guess, FOCAL, SIZE, TIMES)
    assert np.linalg.norm(found - path, axis=-1).max() < 0.2
    jerky = np.abs(np.diff(guess, 2, axis=0)).mean()
    assert np.abs(np.diff(found, 2, axis=0)).mean() < 0.05 * jerky


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips(scene, frames):
    points, keypoints, box, guess, path = (x[:frames] for x in scene)
    assert np.isfinite(place(points, keypoints, box, guess, FOCAL, SIZE, TIMES[:frames])).all()


def test_one_frame_is_placed_like_the_same_frame_twice(scene):
    one = place(*(x[:1] for x in scene[:4]), FOCAL, SIZE, TIMES[:1])
    two = place(*(x[[0, 0]] for x in scene[:4]), FOCAL, SIZE, TIMES[:2])
    np.testing.assert_allclose(two, one[[0, 0]], atol=1e-6)


def test_the_frames_true_times_count():
    """A steady walk, filmed at a varying frame rate, is no acceleration."""
    times = np.cumsum(np.where(np.arange(40) % 10 < 5, 1 / 60, 1 / 15))
    path = np.stack([1.5 * times - 1, 0 * times, 5 + 0.5 * times], axis=-1)
    bands = acceleration_bands(times)
    energy = bands[0] @ path**2
    for offset in (1, 2):
        energy += 2 * bands[offset, :-offset] @ (path[offset:] * path[:-offset])
    np.testing.assert_allclose(energy, 0, atol=1e-4)


@pytest.mark.parametrize("rate", [1.0, 30.0])
def test_the_bands_are_those_of_the_second_difference(rate):
    difference = np.diff(np.eye(9), 2, axis=0) * rate**2
    want, bands = difference.T @ difference, acceleration_bands(np.arange(9) / rate)
    for offset in range(3):
        np.testing.assert_allclose(np.diag(want, -offset), bands[offset, : 9 - offset], rtol=1e-9)
