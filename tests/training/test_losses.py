import jax
import numpy as np
import pytest

from hpof_jax.training import losses

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 2, 5, 7, 3)).astype(np.float32)  # (B, T, K, 3)
CONFIDENCE = RNG.uniform(size=(2, 5, 7)).astype(np.float32)


def robust(difference, eps):
    return np.sqrt((difference**2).sum(-1) + eps**2) - eps


def second(points):
    return np.diff(points, n=2, axis=1)


ROTATIONS_A, ROTATIONS_B = RNG.normal(size=(2, 2, 5, 23, 3, 3)).astype(np.float32)
BETAS_A, BETAS_B = RNG.normal(size=(2, 4, 10)).astype(np.float32)
CASES = {
    "keypoints_2d": (
        (A[..., :2], B[..., :2], CONFIDENCE),
        (CONFIDENCE * robust(A[..., :2] - B[..., :2], 0.01)).mean(-1),
    ),
    "keypoints_3d": ((A, B, CONFIDENCE), (CONFIDENCE * robust(A - B, 0.005)).mean(-1)),
    "body_pose": ((ROTATIONS_A, ROTATIONS_B), ((ROTATIONS_A - ROTATIONS_B) ** 2).sum((-1, -2)).mean(-1)),
    "betas": ((BETAS_A, BETAS_B), ((BETAS_A - BETAS_B) ** 2).mean(-1)),
    "smoothness": ((A, B), robust(second(A) - second(B), 0.001).mean(-1)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_the_written_formula_for_every_clip_and_frame(name):
    arguments, expected = CASES[name]
    found = jax.jit(getattr(losses, name))(*arguments)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_exact_predictions_cost_nothing_and_have_a_finite_gradient(name):
    (pred, _, *rest), _ = CASES[name]
    loss = getattr(losses, name)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: loss(x, pred, *rest).sum()))(pred)
    assert abs(float(value)) < 1e-5
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


@pytest.mark.parametrize("name", ["keypoints_2d", "keypoints_3d", "body_pose", "smoothness"])
def test_shapes_that_differ_raise(name):
    (pred, target, *rest), _ = CASES[name]
    with pytest.raises(AssertionError, match="equal shape|[Ss]hapes"):
        getattr(losses, name)(pred, target[:1], *rest)


def test_smoothness_ignores_place_and_speed():
    time = np.arange(5, dtype=np.float32)[None, :, None, None]
    moved = B + 3.0 + 0.5 * time
    assert float(jax.jit(losses.smoothness)(moved, B).max()) < 1e-4
    assert float(jax.jit(losses.smoothness)(B + 0.5 * time**2, B).min()) > 0.5


def test_what_is_outside_the_mask_does_not_count():
    values = np.array([[1.0, np.nan], [3.0, np.inf]], np.float32)
    mask = np.array([[True, False], [True, False]])
    total, count = jax.jit(losses.masked_sum)(values, mask)
    assert (float(total), float(count)) == (4.0, 2.0)
    total, count = jax.jit(losses.masked_sum)(values, np.zeros_like(mask))
    assert (float(total), float(count)) == (0.0, 0.0)
