"""A batch of made-up clips, and a model so small that compiling it takes no time."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.geometry.rotations import sixd_to_matrix
from hpof_jax.models.hpof import Prediction

CLIPS, FRAMES = 8, 6


class PerFrame(nn.Module):
    """One linear layer a frame, with the inputs and outputs of the real models."""

    @nn.compact
    def __call__(self, inputs, body, *, deterministic=True):
        there = inputs.mask[..., None]
        features = jnp.where(there, inputs.features, 0.0)
        pooled = jnp.sum(features, axis=-2) / jnp.maximum(jnp.sum(there, axis=-2), 1)
        out = nn.Dense(24 * 6 + 3, kernel_init=nn.initializers.normal(0.01))(features)
        sixd = out[..., 3:].reshape(*out.shape[:-1], 24, 6) + jnp.array([1.0, 0, 0, 0, 1, 0])
        cam = jnp.concatenate([jnp.exp(jnp.clip(out[..., :1], -2, 2)), out[..., 1:3]], axis=-1)
        return Prediction(nn.Dense(10)(pooled)[:, None], sixd_to_matrix(sixd), cam)

    def answers(self, *args, **options):
        return (self(*args, **options),)


@pytest.fixture(scope="session")
def body():
    return load_body()


@pytest.fixture(scope="session")
def model():
    return PerFrame()


@pytest.fixture
def batch():
    """Eight clips of six frames; nothing is padded."""
    rng = np.random.default_rng(0)
    size = np.tile(np.float32([480, 640]), (CLIPS, 1))
    confidence = rng.uniform(0.5, 1, (CLIPS, FRAMES, 33, 1))
    pose = rng.normal(0, 0.3, (CLIPS, FRAMES, 24, 3))
    pose[..., 0, 0] += np.pi  # upright
    arrays = {
        "landmarks_2d": np.concatenate([rng.uniform(100, 400, (CLIPS, FRAMES, 33, 2)), confidence], axis=-1),
        "landmarks_3d": rng.normal(0, 0.3, (CLIPS, FRAMES, 33, 3)),
        "image_size": size,
        "focal_length": np.linalg.norm(size, axis=1),
        "true_focal_length": np.full(CLIPS, 700.0),
        "betas": rng.normal(size=(CLIPS, 10)),
        "pose": pose,
        "transl": rng.normal(0, 0.1, (CLIPS, FRAMES, 3)) + [0.0, 0.0, 4.0],
    }
    batch = {key: np.asarray(value, np.float32) for key, value in arrays.items()}
    batch |= {key: np.ones((CLIPS, FRAMES), bool) for key in ("seen", "mask")}
    return batch | {key: np.ones(CLIPS, bool) for key in ("has_smpl", "has_3d")}
