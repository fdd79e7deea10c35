import jax
import numpy as np
import pytest

from hpof_jax.models.flat_head import FlatHead

FEATURES = np.random.default_rng(0).normal(size=(2, 3, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def rest(body):
    return np.broadcast_to(np.asarray(body.J_template), (2, 1, 24, 3))


def test_the_shape_is_an_input_and_no_joint_depends_on_another(rest):
    head = FlatHead(hidden=8)
    apply = jax.jit(head.apply)
    params = jax.jit(head.init)(jax.random.key(0), FEATURES, rest)
    before = apply(params, FEATURES, rest)
    assert before.shape == (2, 3, 24, 3, 3)
    assert np.abs(apply(params, FEATURES, 1.2 * rest) - before).max() > 1e-4
    turned = jax.tree.map(np.array, params)
    turned["params"]["bias"][0] += 0.3
    moved = np.abs(np.asarray(apply(turned, FEATURES, rest) - before)).max(axis=(0, 1, 3, 4)) > 1e-6
    assert moved.tolist() == [True] + 23 * [False]


def test_without_the_shape(rest):
    head = FlatHead(hidden=8, use_shape=False)
    params = jax.jit(head.init)(jax.random.key(0), FEATURES, rest)
    apply = jax.jit(head.apply)
    np.testing.assert_array_equal(apply(params, FEATURES, rest), apply(params, FEATURES, 1.2 * rest))
