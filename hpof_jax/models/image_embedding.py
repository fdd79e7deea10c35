"""Image features as the encoder takes them."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class ImageEmbedding(nn.Module):
    """A normalised linear map of a ResNet's features, and whether they are known.

    Where they are unknown the embedding is 0. The encoder's first layer then adds to the flag its own learned vector.
    """

    channels: int = 256

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """(..., 2048 + 1), the flag last -> (..., channels + 1)."""
        features, known = image[..., :-1], image[..., -1:]
        x = nn.Dense(self.channels, name="project")(nn.LayerNorm(name="norm")(features))
        return jnp.concatenate([x * known, known], axis=-1)
