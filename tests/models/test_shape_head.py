import jax
import numpy as np

from hpof_jax.models.shape_head import ShapeHead

FEATURES = np.random.default_rng(0).normal(size=(2, 7, 16)).astype(np.float32)
SEEN = np.arange(7) < np.array([[7], [4]])


def betas(head, features, seen):
    params = head.init(jax.random.key(0), FEATURES, SEEN)
    return np.asarray(head.apply(params, features, seen))


def test_one_shape_of_the_seen_frames_in_any_order():
    found = betas(ShapeHead(), FEATURES, SEEN)
    assert found.shape == (2, 1, 10)
    garbage = np.where(SEEN[..., None], FEATURES, 99.0).astype(np.float32)
    np.testing.assert_allclose(betas(ShapeHead(), garbage, SEEN), found, atol=1e-7)
    order = [3, 0, 2, 1, 6, 4, 5]
    np.testing.assert_allclose(betas(ShapeHead(), FEATURES[:, order], SEEN[:, order]), found, atol=1e-7)


def test_a_clip_in_which_nobody_is_seen_has_a_finite_shape():
    assert np.isfinite(betas(ShapeHead(), FEATURES, np.zeros_like(SEEN))).all()


def test_a_shape_for_each_frame():
    found = betas(ShapeHead(per_frame=True), FEATURES, SEEN)
    assert found.shape == (2, 7, 10)
    alone = betas(ShapeHead(), FEATURES[:, 2:3], SEEN[:, 2:3])
    np.testing.assert_allclose(found[:, 2:3], alone, atol=1e-6)
