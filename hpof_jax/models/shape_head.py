"""The shape head: body shape, before any pose (the first step of HPOF's decomposition)."""

import flax.linen as nn
import jax

from hpof_jax.models.pooling import masked_mean


class ShapeHead(nn.Module):
    """Two-layer MLP from encoder features to betas; the mean body at initialisation.

    By default the features are first averaged over the clip, so that a clip has one shape.
    """

    num_betas: int = 10
    hidden: int = 128
    per_frame: bool = False  # one shape for each frame instead: an ablation

    @nn.compact
    def __call__(self, features: jax.Array, seen: jax.Array) -> jax.Array:
        """Betas of a batch of clips.

        Args:
          features: (B, T, C) of the encoder.
          seen: (B, T) bool, the frames to average over.

        Returns:
          (B, 1, num_betas), or (B, T, num_betas) if `per_frame`.
        """
        x = features if self.per_frame else masked_mean(features, seen)[:, None]
        x = nn.gelu(nn.Dense(self.hidden, name="hidden")(x))
        return nn.Dense(self.num_betas, kernel_init=nn.initializers.normal(1e-3), name="betas")(x)
