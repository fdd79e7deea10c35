"""A body for comparisons of speed: the free body with everything that an SMPL file has."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from hpof_jax.body import load_body
from hpof_jax.body.model import BodyModel, fold_regressor


def body_with_pose_blend_shapes(seed: int = 0) -> BodyModel:
    """The free body with 207 random pose blend shapes of about a millimetre."""
    free = load_body()
    posedirs = np.random.default_rng(seed).normal(scale=1e-3, size=(207, free.basis.shape[1]))
    basis = np.concatenate([free.basis, posedirs.astype(np.float32)])
    landmarks = fold_regressor(basis, free.lbs_weights, free.landmark_regressor)
    return dataclasses.replace(free, basis=jnp.asarray(basis), landmarks=landmarks)
