import jax
import numpy as np
import pytest

from hpof_jax.body.skeletons import SMPL_PARENTS, tree_levels
from hpof_jax.models.kinematic_head import FACING, KinematicHead

HEAD = KinematicHead(hidden=8)
apply = jax.jit(HEAD.apply)


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def rest(body):
    return np.broadcast_to(np.asarray(body.J_template), (2, 1, 24, 3))


@pytest.fixture(scope="module")
def fresh(features, rest):
    return jax.jit(HEAD.init)(jax.random.key(0), features, rest)


@pytest.fixture(scope="module")
def params(fresh, disturb):
    return disturb(fresh)


def changed(a, b):
    """The joints whose rotation differs."""
    return set(np.flatnonzero(np.abs(np.asarray(a - b)).max(axis=(0, 1, 3, 4)) > 1e-6).tolist())


def test_a_joint_depends_on_its_ancestors_and_on_no_other(params, features, rest):
    rotations = apply(params, features, rest)
    assert rotations.shape == (2, 3, 24, 3, 3)
    knee = 4
    depth = next(i for i, level in enumerate(tree_levels(SMPL_PARENTS)) if knee in level)
    row = list(tree_levels(SMPL_PARENTS)[depth]).index(knee)
    bent = jax.tree.map(np.array, params)
    bent["params"][f"bias_{depth}"][row] += 0.3
    assert changed(apply(bent, features, rest), rotations) == {4, 7, 10}, "the knee, the ankle and the foot"


def test_a_bone_changes_the_rotations_at_its_end_and_below(params, features, rest):
    longer = rest.copy()
    longer[:, :, [7, 10], 1] -= 0.3  # a longer shin: the ankle and the foot are lower
    moved = changed(apply(params, features, longer), apply(params, features, rest))
    assert moved and moved <= {7, 10}


def test_a_shape_for_each_frame_is_used_frame_by_frame(params, features, rest):
    each = np.repeat(rest, 3, axis=1)
    np.testing.assert_allclose(apply(params, features, each), apply(params, features, rest), atol=1e-6)
    each[:, 1, 7] += 0.3
    moved = np.abs(np.asarray(apply(params, features, each) - apply(params, features, rest)))
    assert (moved.max(axis=(0, 2, 3, 4)) > 1e-6).tolist() == [False, True, False]


def test_at_initialisation_the_body_faces_the_camera_in_its_rest_pose(fresh, features, rest):
    rotations = np.asarray(apply(fresh, features, rest))
    np.testing.assert_allclose(rotations[:, :, 0], np.broadcast_to(FACING, (2, 3, 3, 3)), atol=0.2)
    np.testing.assert_allclose(rotations[:, :, 1:], np.broadcast_to(np.eye(3), (2, 3, 23, 3, 3)), atol=0.2)


@pytest.mark.slow
def test_gradients_are_finite_where_a_bone_has_no_length(params, features):
    gradient = jax.jit(jax.grad(lambda rest: HEAD.apply(params, features, rest).sum()))
    assert np.isfinite(gradient(np.zeros((2, 1, 24, 3), np.float32))).all()
