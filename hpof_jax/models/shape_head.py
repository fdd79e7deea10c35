"""The shape: one `betas` for the whole clip, before any pose (HPOF's first step of the decomposition)."""

import flax.linen as nn
import jax


class ShapeHead(nn.Module):
    """From the clip's pooled feature (..., C) to its shape (..., num_betas); the mean body at initialisation."""

    num_betas: int = 10
    hidden: int = 128

    @nn.compact
    def __call__(self, pooled: jax.Array) -> jax.Array:
        x = nn.gelu(nn.Dense(self.hidden, name="hidden")(pooled))
        return nn.Dense(self.num_betas, kernel_init=nn.initializers.normal(1e-3), name="betas")(x)
