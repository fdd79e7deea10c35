"""Every metric against NumPy or SciPy, and what it is invariant to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.training import metrics


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pair(rng):
    """A prediction and the ground truth, (2, 5, 24, 3) metres, 4 m in front of the camera."""
    true = rng.normal(size=(2, 5, 24, 3), scale=0.4) + [0.3, -0.1, 4.0]
    return (true + rng.normal(size=true.shape, scale=0.05)).astype(np.float32), true.astype(np.float32)


def test_a_batch_from_errors_to_its_mean(pair):
    pred, true = pair
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    errors = metrics.mpjpe(pred, true)
    assert errors.shape == (2, 5)
    halves = metrics.total(errors[:1], mask[:1]) + metrics.total(errors[1:], mask[1:])
    np.testing.assert_allclose(metrics.mean(halves), np.asarray(errors)[mask].mean(), rtol=1e-5)


def test_mpjpe_is_root_aligned_and_in_millimetres(pair):
    pred, true = pair
    expected = 1000 * np.linalg.norm((pred - pred[:, :, 3:4]) - (true - true[:, :, 3:4]), axis=-1).mean(-1)
    np.testing.assert_allclose(metrics.mpjpe(pred + 1.5, true, root=3), expected, rtol=1e-4)
    hips = metrics.mpjpe(pred, true, root=(1, 2))
    assert hips[1, 3] == pytest.approx(
        1000
        * np.linalg.norm(
            pred[1, 3] - pred[1, 3, 1:3].mean(0) - true[1, 3] + true[1, 3, 1:3].mean(0), axis=-1
        ).mean(),
        rel=1e-4,
    )
    moved = true.copy()
    moved[..., 5, 1] += 0.024
    np.testing.assert_allclose(metrics.mpjpe(moved, true), 1.0, rtol=1e-3)


def test_pa_mpjpe_equals_scipys_rotation_with_the_best_scale(pair):
    pred, true = pair
    expected = np.empty(pred.shape[:2])
    for index in np.ndindex(expected.shape):
        p, t = (x[index] - x[index].mean(0) for x in (pred, true))
        p = Rotation.align_vectors(t, p)[0].apply(p)
        p *= (p * t).sum() / (p * p).sum()
        expected[index] = 1000 * np.linalg.norm(p - t, axis=-1).mean()
    np.testing.assert_allclose(metrics.pa_mpjpe(pred, true), expected, rtol=1e-3)


def test_pa_mpjpe_ignores_a_similarity_transform_and_nothing_more(pair, rng):
    pred, true = pair
    turn = Rotation.random(10, rng).as_matrix().reshape(2, 5, 3, 3)
    moved = 0.3 * np.einsum("btij,btkj->btki", turn, true) + rng.normal(size=(2, 5, 1, 3))
    np.testing.assert_allclose(metrics.pa_mpjpe(moved.astype(np.float32), true), 0.0, atol=0.01)
    moved = 0.3 * np.einsum("btij,btkj->btki", turn, pred) + rng.normal(size=(2, 5, 1, 3))
    np.testing.assert_allclose(
        metrics.pa_mpjpe(moved.astype(np.float32), true), metrics.pa_mpjpe(pred, true), rtol=1e-3
    )


def test_alignment_does_not_reflect(pair):
    _, true = pair
    assert np.all(np.asarray(metrics.pa_mpjpe(true * np.float32([-1, 1, 1]), true)) > 50)


@pytest.mark.parametrize("flat", [1, 2, 3])
def test_alignment_of_flat_straight_and_collapsed_bodies(pair, flat):
    pred, true = (x.copy() for x in pair)
    for x in (pred, true):
        x[..., 3 - flat :] = 0.0
    errors, gradient = jax.value_and_grad(lambda p: metrics.pa_mpjpe(p, true).sum())(pred)
    assert np.isfinite(errors) and np.isfinite(gradient).all()
    turned = true[..., [2, 0, 1]]  # a proper rotation
    np.testing.assert_allclose(metrics.pa_mpjpe(turned, true), 0.0, atol=0.01)
    # A prediction without extent is aligned to the mean of the ground truth.
    middle = 1000 * np.linalg.norm(true - true.mean(-2, keepdims=True), axis=-1).mean(-1)
    np.testing.assert_allclose(metrics.pa_mpjpe(np.zeros_like(true), true), middle, rtol=1e-4)


def test_n_mpjpe_ignores_scale_and_place_but_not_rotation(pair):
    pred, true = pair
    np.testing.assert_allclose(metrics.n_mpjpe(0.5 * true + 2, true), 0.0, atol=0.01)
    turn = Rotation.from_euler("x", 20, degrees=True).as_matrix().astype(np.float32)
    assert np.all(np.asarray(metrics.n_mpjpe(true @ turn, true)) > 50)
    p, t = (x - x[..., :1, :] for x in pair)
    scale = (p * t).sum((-2, -1), keepdims=True) / (p * p).sum((-2, -1), keepdims=True)
    expected = 1000 * np.linalg.norm(scale * p - t, axis=-1).mean(-1)
    np.testing.assert_allclose(metrics.n_mpjpe(pred, true, root=0), expected, rtol=1e-4)


def test_pve_with_and_without_roots(pair):
    pred, true = pair
    roots = pred[..., 0, :], true[..., 0, :]
    np.testing.assert_allclose(metrics.pve(pred, true, *roots), metrics.mpjpe(pred, true), rtol=1e-4)
    np.testing.assert_allclose(metrics.pve(true + np.float32([0.03, 0, 0]), true), 30.0, rtol=1e-3)
    with pytest.raises(ValueError, match="both roots"):
        metrics.pve(pred, true, roots[0])


def test_pck_counts_the_joints_within_the_threshold():
    true = np.zeros((1, 4, 3), np.float32)
    pred = true.copy()
    pred[0, 1:, 0] = [0.04, 0.1, 0.2]
    np.testing.assert_allclose(metrics.pck(pred, true), [75.0])
    np.testing.assert_allclose(metrics.pck(pred, true, threshold=50.0), [50.0])


def test_auc_is_the_mean_of_31_thresholds(pair):
    pred, true = pair
    errors = 1000 * np.linalg.norm((pred - pred[:, :, :1]) - (true - true[:, :, :1]), axis=-1)
    expected = np.mean([100 * (errors < threshold).mean(-1) for threshold in range(0, 151, 5)], axis=0)
    np.testing.assert_allclose(metrics.auc(pred, true), expected, rtol=1e-4)
    # An exact prediction is below every threshold but 0 mm.
    np.testing.assert_allclose(metrics.auc(true, true), 100 * 30 / 31, rtol=1e-5)


def test_acceleration_relative_to_the_root_is_tcmrs(pair):
    pred, true = (x - x[..., 1:3, :].mean(-2, keepdims=True) for x in pair)
    second = [x[:, :-2] - 2 * x[:, 1:-1] + x[:, 2:] for x in (pred, true)]
    expected = 1000 * np.linalg.norm(second[0] - second[1], axis=-1).mean(-1)
    found = metrics.relative_acceleration_error(*pair, root=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    falling = pair[0] + 0.1 * np.arange(5, dtype=np.float32)[:, None, None] ** 2
    np.testing.assert_allclose(
        metrics.relative_acceleration_error(falling, pair[1], root=(1, 2)), found, rtol=1e-3
    )


def test_acceleration_in_both_units():
    frames = np.arange(6, dtype=np.float32)
    falling = np.zeros((6, 2, 3), np.float32)
    falling[..., 1] = 0.5 * 0.01 * frames[:, None] ** 2  # 10 mm/frame^2
    still = np.zeros_like(falling)
    drifting = still + frames[:, None, None]
    np.testing.assert_allclose(metrics.acceleration_error(falling, drifting), np.full(4, 10.0), rtol=1e-3)
    np.testing.assert_allclose(metrics.acceleration(falling, fps=30), np.full(4, 9.0), rtol=1e-3)
    assert metrics.acceleration_error(falling[:2], still[:2]).shape == (0,)


def test_acceleration_needs_three_frames_in_a_row():
    mask = np.array([1, 1, 1, 0, 1, 1, 1, 1], bool)
    np.testing.assert_array_equal(metrics.acceleration_mask(mask), [1, 0, 0, 0, 1, 1])


def test_spread_is_the_standard_deviation_in_the_mask(rng):
    betas = rng.normal(size=(2, 6, 10)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0]], bool)
    betas[~mask] = np.nan
    expected = np.stack([betas[0, :4].std(0), np.zeros(10)])
    np.testing.assert_allclose(metrics.spread(betas, mask), expected, rtol=1e-4, atol=1e-6)


def test_bone_lengths_of_a_stretching_body(rng):
    body = rng.normal(size=(24, 3))
    stretch = 1 + 0.1 * np.sin(np.arange(7))
    joints = (stretch[:, None, None] * body).astype(np.float32)
    lengths = 1000 * np.linalg.norm(body[1:] - body[np.array(SMPL_PARENTS[1:])], axis=-1)
    spread = metrics.bone_length_spread(joints, SMPL_PARENTS)
    np.testing.assert_allclose(spread, stretch.std() * lengths, rtol=1e-3)


def test_masked_frames_reach_no_total(pair):
    pred, true = pair
    mask = np.ones((2, 5), bool)
    mask[0, 3:] = False
    clean = metrics.joint_totals(pred, true, mask)
    poisoned = np.where(mask[..., None, None], pred, np.nan)
    for name, value in metrics.joint_totals(poisoned, true, mask).items():
        np.testing.assert_array_equal(value, clean[name], err_msg=name)
        assert value[1] == (4 if name.startswith("acceleration") else 8), name
    nothing = metrics.joint_totals(pred, true, np.zeros((2, 5), bool))
    assert all(np.isnan(metrics.mean(value)) for value in nothing.values())


def test_totals_are_the_same_under_jit_and_vmap(pair):
    pred, true = pair
    eager = metrics.joint_totals(pred, true)
    each = jax.jit(jax.vmap(metrics.joint_totals))(pred, true)
    for name, value in eager.items():
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(each[name].sum(0), value, rtol=1e-4, err_msg=name)


def test_gradients_are_finite_where_the_prediction_is_exact(pair):
    _, true = pair

    def everything(pred):
        return (
            sum(value[0] for value in metrics.joint_totals(pred, true).values())
            + metrics.pve(pred, true).sum()
        )

    gradient = jax.jit(jax.grad(everything))(true)
    assert np.isfinite(gradient).all()


def test_wrong_shapes_are_named(pair):
    pred, true = pair
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.mpjpe(pred[..., :20, :], true)
    with pytest.raises(ValueError, match="mask has shape"):
        metrics.total(metrics.mpjpe(pred, true), np.ones(5, bool))
