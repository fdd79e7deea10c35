"""The confidence: how measurements become a probability, and what it is where nobody is seen."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from hpof_jax import confidence
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS
from hpof_jax.motion import Motion

FRAMES, RATE, FOCAL, SIZE = 60, 30.0, 500.0, (400, 400)


@pytest.fixture
def points():
    """A body's landmarks four metres away, (T, 33, 3)."""
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, (33, 3))
    return np.tile(spread + (0, 0, 4), (FRAMES, 1, 1))


@pytest.fixture
def motion(points):
    """A motion that fits the detector's landmarks exactly."""
    pixels = points[..., :2] / points[..., 2:] * FOCAL + np.array(SIZE) / 2
    return Motion(
        poses=np.zeros((FRAMES, 72)),
        betas=np.zeros(10),
        trans=np.zeros((FRAMES, 3)),
        mocap_framerate=RATE,
        gender="neutral",
        joints=np.zeros((FRAMES, 24, 3)),
        keypoints_2d=np.dstack([pixels, np.ones((FRAMES, 33))]),
        cam=np.ones((FRAMES, 3)),
        box=np.full((FRAMES, 3), 200.0),
        frame_index=np.arange(FRAMES),
        confidence=np.zeros(FRAMES),
        image_size=SIZE,
        focal_length=FOCAL,
        body="free_body",
    )


def test_a_pose_that_misses_the_picture_or_its_mirror_image_is_not_trusted(motion, points):
    agree, differ = np.full(FRAMES, 0.01), np.full(FRAMES, 0.15)
    beside = points + [0.8, 0.0, 0.0]  # 100 pixels, half the box
    fits, misses = (confidence.of_motion(motion, where, agree) for where in (points, beside))
    assert fits.dtype == np.float32 and fits.min() > 0.9
    assert misses.max() < 0.5
    assert confidence.of_motion(motion, beside, differ).max() < misses.min()
    assert confidence.of_motion(motion, points, differ).max() < fits.min()
    usual = np.full(FRAMES, confidence.USUAL_DISAGREEMENT)
    np.testing.assert_array_equal(
        confidence.of_motion(motion, points), confidence.of_motion(motion, points, usual)
    )


def test_the_residual_is_that_of_the_limbs_in_shares_of_the_box(motion, points):
    landmarks = motion.keypoints_2d.copy()
    landmarks[10, BLAZEPOSE_LIMBS[0], :2] += [30.0, 40.0]  # 50 of 200 pixels, one of twelve limb joints
    landmarks[11, 0, :2] += 100.0  # the nose is no limb
    found = confidence.residuals(points, landmarks, motion.box, FOCAL, motion.image_size)
    np.testing.assert_allclose(found[[9, 10, 11]], [0, 50 / 200 / 12, 0], atol=1e-6)


def test_in_a_gap_the_confidence_is_low_and_falls(motion, points):
    landmarks = motion.keypoints_2d.copy()
    landmarks[20:41] = 0.0
    found = confidence.of_motion(dataclasses.replace(motion, keypoints_2d=landmarks), points)
    assert found[19] > 0.9 and found[41] > 0.9, "what is not seen does not count beside the gap"
    assert (
        found[20] < confidence.GAP < 0.5
        and np.all(np.diff(found[20:31]) < 0)
        and np.all(np.diff(found[30:41]) > 0)
    )
    expected = confidence.GAP * np.exp(-11 / RATE / confidence.GAP_DECAY)
    assert found[30] == pytest.approx(expected, rel=1e-5)


def test_beside_a_doubtful_pose_a_gap_is_as_doubtful():
    sure, seen = np.array([0.2, 0.2, 0.9, 0.9]), np.array([True, False, False, True])
    found = confidence.in_gaps(sure, seen, np.arange(4) / RATE)
    assert found[1] < 0.2 < found[2] < confidence.GAP
    np.testing.assert_array_equal(confidence.in_gaps(sure, np.zeros(4, bool), np.arange(4)), np.zeros(4))


def test_a_long_gap_takes_little_memory():
    frames = 20_000
    seen = np.random.default_rng(0).random(frames) < 0.5
    tracemalloc.start()
    found = confidence.in_gaps(np.full(frames, 0.9), seen, np.arange(frames) / RATE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    near = np.abs(np.arange(200)[:, None] - np.flatnonzero(seen)).min(axis=1) / RATE
    wanted = np.where(seen[:200], 0.9, confidence.GAP * np.exp(-near / confidence.GAP_DECAY))
    np.testing.assert_allclose(found[:200], wanted, rtol=1e-6)


def test_twice_the_usual_measurements_lower_the_probability():
    usual = np.array([confidence.USUAL_RESIDUAL]), np.array([confidence.USUAL_DISAGREEMENT])
    at_usual = confidence.probability(*usual)
    assert at_usual == pytest.approx(1 / (1 + np.exp(-confidence.LOGIT)))
    assert confidence.probability(2 * usual[0], usual[1]) < at_usual
    assert confidence.probability(usual[0], 2 * usual[1]) < at_usual
    assert np.isfinite(confidence.probability(np.array([0.0, 1e9]), np.array([0.0, 1e9]))).all()
