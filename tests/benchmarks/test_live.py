import numpy as np

from benchmarks import live
from hpof_jax.observe.clip import Observations


def test_a_clip_becomes_a_stream():
    landmarks, seen = np.arange(99.0, dtype=np.float32).reshape(1, 33, 3), np.array([True, False])
    rows = np.concatenate([landmarks, 0 * landmarks])
    clip = Observations(rows, 2 * rows, seen, np.float32([480, 640]), np.float32(600), np.float32(25))
    first, second = live.observed(clip)
    assert (first.time, second.time, first.seen, second.seen) == (0.0, 0.04, True, False)
    np.testing.assert_array_equal(first.landmarks_3d, 2 * landmarks[0])


def test_errors_count_only_frames_with_the_person():
    true = np.random.default_rng(0).normal(size=(6, 12, 3)).astype(np.float32)
    there = np.array([True, True, True, True, False, False])
    found = true + np.float32([0.0, 0.0, 1.0])
    found[4:] = 0.0
    sums = live.errors(found, true, there, 30.0)
    np.testing.assert_allclose(sums[:, 0], 0.0, atol=0.05)
    np.testing.assert_array_equal(sums[:, 1], [4, 4, 2])
