"""What the model has to beat, with the same inputs, outputs and training."""

import flax.linen as nn
import jax.numpy as jnp

from hpof_jax.body.model import BodyModel
from hpof_jax.geometry.rotations import sixd_to_matrix
from hpof_jax.models.hpof import HPOF, Prediction
from hpof_jax.models.inputs import Inputs


class MeanPose(nn.Module):
    """One learned body for everybody and every frame, turned and placed by what a per-frame MLP sees."""

    channels: int = 256

    @nn.compact
    def __call__(self, inputs: Inputs, body: BodyModel, *, deterministic: bool = True) -> Prediction:
        pointer = HPOF(self.channels, kernel_size=1, dilations=(1, 1), name="pointer")
        placed = pointer(inputs, body, deterministic=deterministic)
        sixd = jnp.array([1.0, 0, 0, 0, 1, 0]) + self.param("body_pose", nn.initializers.zeros, (23, 6))
        body_pose = jnp.broadcast_to(sixd_to_matrix(sixd), placed.rotations[..., 1:, :, :].shape)
        rotations = jnp.concatenate([placed.rotations[..., :1, :, :], body_pose], axis=-3)
        betas = self.param("betas", nn.initializers.zeros, (body.num_betas,))
        return Prediction(jnp.broadcast_to(betas, placed.betas.shape), rotations, placed.cam)
