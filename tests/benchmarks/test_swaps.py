import types

import numpy as np
import pytest

from benchmarks import swaps
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, BLAZEPOSE_MIRROR, SMPL_LIMBS

FRAMES, FOCAL = 60, 1000.0


@pytest.fixture
def clip():
    """A made-up person who sways, seen without error."""
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(-0.4, 0.4, (1, 33, 3)) + 0.02 * np.sin(np.arange(FRAMES) / 5)[:, None, None]
    landmarks -= landmarks[:, [23, 24]].mean(axis=1, keepdims=True)
    joints = np.zeros((FRAMES, 24, 3))
    joints[:, SMPL_LIMBS] = landmarks[:, BLAZEPOSE_LIMBS] + (0, 0, 3)
    pixels = (landmarks + (0, 0, 3))[..., :2] / (landmarks + (0, 0, 3))[..., 2:] * FOCAL + (640, 360)
    return {
        "joints": joints,
        "landmarks_2d": np.float32(np.concatenate([pixels, np.ones((FRAMES, 33, 1))], axis=-1)),
        "landmarks_3d": np.float32(landmarks),
        "seen": np.ones(FRAMES, bool),
        "image_size": np.array([720, 1280]),
        "true_focal_length": np.float32(FOCAL),
        "focal_length": np.float32(FOCAL),
        "fps": np.float32(30),
    }


def test_swapped_landmarks_have_an_advantage_in_their_group(clip):
    true, pixels = swaps.true_limbs(clip)
    points = clip["landmarks_2d"], clip["landmarks_3d"]
    assert np.all(swaps.advantage(*points, true, pixels) < -swaps.MARGIN)
    legs = np.isin(np.arange(33), swaps.LEGS)[:, None]
    swapped = [np.where(legs, array[:, BLAZEPOSE_MIRROR], array) for array in points]
    gain = swaps.advantage(*swapped, true, pixels)
    assert np.all(gain[:, 0] > swaps.MARGIN) and np.all(gain[:, 1] < -swaps.MARGIN)


def test_injected_swaps_are_reported_where_they_are(clip, monkeypatch):
    monkeypatch.setattr(swaps, "RATE", 0.05)
    changed, injected = swaps.with_swaps(clip, np.random.default_rng(1))
    assert 0 < injected.mean() < 1
    gain = swaps.advantage(changed["landmarks_2d"], changed["landmarks_3d"], *swaps.true_limbs(clip))
    np.testing.assert_array_equal(gain > 0, injected)


def test_a_clip_without_swaps_is_kept_and_injected_ones_are_hits(clip, monkeypatch):
    joints = np.float32(clip["joints"])
    monkeypatch.setattr(swaps, "lift", lambda *_, undo_swaps: types.SimpleNamespace(joints=joints))
    cells, errors = swaps.score(clip, None, ())
    assert cells.tolist() == [0, 0, 0, 2 * FRAMES]
    np.testing.assert_allclose(errors, 0, atol=0.1)
    monkeypatch.setattr(swaps, "RATE", 0.03)
    hits, alarms, misses, _ = swaps.score(clip, np.random.default_rng(5), ())[0]
    assert hits > 10 and alarms == misses == 0


def test_the_summary_of_counts():
    wrong, after, precision, recall, alarms, before, corrected, worst = swaps.summary(
        np.array([6, 2, 4, 88]), np.array([[80.0, 70.0], [60.0, 65.0]])
    )
    assert (wrong, after) == (10, 6)
    assert (precision, recall, alarms) == (0.75, 0.6, pytest.approx(100 * 2 / 90))
    assert (before, corrected, worst) == (70, 67.5, 5)
