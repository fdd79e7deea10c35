import jax
import numpy as np

from hpof_jax.models.baselines import MeanPoseHead, MeanShapeHead

FEATURES = np.random.default_rng(0).normal(size=(2, 3, 16)).astype(np.float32)


def test_one_pose_that_only_turns(disturb):
    head, rest = MeanPoseHead(hidden=8), np.zeros((2, 1, 24, 3))
    params = disturb(jax.jit(head.init)(jax.random.key(0), FEATURES, rest))
    rotations = np.asarray(jax.jit(head.apply)(params, FEATURES, rest))
    assert rotations.shape == (2, 3, 24, 3, 3)
    assert np.ptp(rotations[:, :, 1:], axis=(0, 1)).max() == 0
    assert np.ptp(rotations[:, :, 0], axis=1).max() > 1e-3


def test_one_shape(disturb):
    head, seen = MeanShapeHead(), np.ones((2, 3), bool)
    params = disturb(head.init(jax.random.key(0), FEATURES, seen))
    betas = np.asarray(head.apply(params, FEATURES, seen))
    assert betas.shape == (2, 1, 10) and np.ptp(betas, axis=0).max() == 0
