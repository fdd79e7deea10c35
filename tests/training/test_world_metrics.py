"""World metrics against SciPy and hand-worked cases."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from hpof_jax.training import world_metrics


@pytest.fixture
def walk():
    """A path of 250 frames, (250, 24, 3) metres, and a noisy prediction of it."""
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.normal([0.03, 0.01, 0.0], 0.01, (250, 3)), axis=0)
    true = steps[:, None] + rng.normal(size=(1, 24, 3), scale=0.4)
    return true + rng.normal(size=true.shape, scale=0.05), true


def turned(points, scale=1.0):
    turn = Rotation.from_euler("xyz", [20, 130, -40], degrees=True).as_matrix()
    return scale * points @ turn.T + [3.0, -1.0, 2.0]


def procrustes(source, target, scaled=True):
    """`source` aligned to `target`, by SciPy's rotation and an optimiser's scale."""
    a, b = source - source.mean(0), target - target.mean(0)
    rotation = Rotation.align_vectors(b, a)[0]
    a = rotation.apply(a)
    scale = minimize(lambda s: ((s * a - b) ** 2).sum(), 1.0).x[0] if scaled else 1.0
    return lambda points: scale * rotation.apply(points - source.mean(0)) + target.mean(0)


def test_world_errors_ignore_the_choice_of_the_world(walk):
    pred, true = walk
    for metric in (world_metrics.wa_mpjpe, world_metrics.w_mpjpe):
        errors = metric(pred, true)
        assert errors.shape == (250,) and errors.min() > 10
        np.testing.assert_allclose(metric(turned(pred, 0.7), true), errors, rtol=1e-8)
        np.testing.assert_allclose(metric(turned(true), true), 0.0, atol=1e-8)


@pytest.mark.parametrize(("metric", "aligned"), [(world_metrics.wa_mpjpe, 100), (world_metrics.w_mpjpe, 2)])
def test_segments_are_aligned_by_all_or_by_two_frames(walk, metric, aligned):
    pred, true = walk
    expected = []
    for start in (0, 100, 200):
        p, t = pred[start : start + 100], true[start : start + 100]
        align = procrustes(p[:aligned].reshape(-1, 3), t[:aligned].reshape(-1, 3))
        moved = align(p.reshape(-1, 3)).reshape(p.shape)
        expected.append(1000 * np.linalg.norm(moved - t, axis=-1).mean(-1))
    np.testing.assert_allclose(metric(pred, true), np.concatenate(expected), rtol=1e-4)


def test_drift_counts_more_after_an_alignment_of_two_frames(walk):
    _, true = walk
    drifting = true * [1.3, 1.0, 1.0]
    assert world_metrics.w_mpjpe(drifting, true).mean() > 2 * world_metrics.wa_mpjpe(drifting, true).mean()


def test_root_translation_error_is_a_share_of_the_path(walk):
    pred, true = walk[0][:, 0], walk[1][:, 0]
    length = sum(np.linalg.norm(b - a) for a, b in zip(true, true[1:], strict=False))
    moved = procrustes(pred, true, scaled=False)(pred)
    expected = 100 * np.linalg.norm(moved - true, axis=-1) / length
    np.testing.assert_allclose(world_metrics.root_translation_error(turned(pred), true), expected, rtol=1e-5)
    # 1 m of a straight path, of which the prediction sees 0.9: 5 % at the ends.
    straight = np.linspace([0.0, 0, 0], [1.0, 0, 0], 11)
    errors = world_metrics.root_translation_error(0.9 * straight, straight)
    np.testing.assert_allclose(errors[[0, 5, 10]], [5.0, 0.0, 5.0], atol=1e-9)
    assert np.isnan(world_metrics.root_translation_error(straight, 0 * straight)).all()


def test_feet_slide_where_the_true_ones_stand():
    true = np.zeros((4, 2, 3))
    true[2:, 1, 0] = 0.02  # the second foot steps between frames 1 and 2
    pred = np.zeros((4, 2, 3))
    pred[:, 0, 1] = [0.0, 0.003, 0.003, 0.007]
    sliding = world_metrics.foot_sliding(pred, true)
    np.testing.assert_allclose(sliding, [[3, 0], [0, np.nan], [4, 0]], atol=1e-9)


def test_jitter_is_the_third_derivative():
    time = np.arange(8) / 30
    joints = np.zeros((8, 2, 3))
    joints[:, 0, 2] = 5.0 * time**3  # a jerk of 30 m/s^3 of one joint in two
    np.testing.assert_allclose(world_metrics.jitter(joints), np.full(5, 1.5), rtol=1e-6)
    joints[:, :, 1] += 0.5 * 9.81 * time[:, None] ** 2
    np.testing.assert_allclose(world_metrics.jitter(joints), np.full(5, 1.5), rtol=1e-6)


def test_alignment_does_not_reflect(walk):
    _, true = walk
    assert world_metrics.wa_mpjpe(true * [-1, 1, 1], true).mean() > 50


def test_shapes_must_agree(walk):
    pred, true = walk
    with pytest.raises(ValueError, match="differ in shape"):
        world_metrics.wa_mpjpe(pred[1:], true)
