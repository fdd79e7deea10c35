"""The temporal encoder: residual dilated convolutions over a clip (after VideoPose3D, Pavllo et al. 2019)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


class TemporalEncoder(nn.Module):
    """Per-frame features with the context of `receptive_field(kernel_size, dilations)` frames.

    The length stays the same and nothing is normalised over time, so that every output depends on its own window
    alone: a clip of any length goes through in one pass, and pieces with enough overlap give what the whole gives.
    Frames outside `mask` act like the emptiness beyond the clip's ends.
    """

    channels: int = 256
    kernel_size: int = 3
    dilations: Sequence[int] = (1, 3, 9, 27)
    dropout: float = 0.0

    @nn.compact
    def __call__(self, features: jax.Array, mask: jax.Array, *, deterministic: bool = True) -> jax.Array:
        """Encodes a batch of clips.

        Args:
          features: (B, T, D). mask: (B, T), true where there is a frame.
          deterministic: no dropout; otherwise an rng named "dropout" is needed.

        Returns:
          (B, T, channels).
        """
        inside = mask[..., None].astype(features.dtype)
        x = nn.Dense(self.channels, name="embed")(features)
        for index, dilation in enumerate(self.dilations):
            y = nn.Conv(
                self.channels,
                kernel_size=(self.kernel_size,),
                kernel_dilation=(dilation,),
                padding="SAME",
                name=f"conv_{index}",
            )(x * inside)
            # At first a frame says what it shows itself. With context mixed in at random from the start, what is
            # learned of one kind of motion does not carry over to another (docs/experiments.md).
            mix = nn.Dense(self.channels, kernel_init=nn.initializers.zeros, name=f"mix_{index}")
            y = mix(nn.gelu(y))
            x = x + nn.Dropout(self.dropout)(y, deterministic=deterministic)
        return nn.LayerNorm(name="norm")(x) * inside


def receptive_field(kernel_size: int, dilations: Sequence[int]) -> int:
    """Number of frames, odd, that one output frame of `TemporalEncoder` sees."""
    return 1 + (kernel_size - 1) * sum(dilations)


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over time of the frames in `mask`: (B, T, D) and (B, T) -> (B, D); zero where there is none."""
    weight = mask[..., None].astype(x.dtype)
    return jnp.sum(x * weight, axis=-2) / jnp.maximum(jnp.sum(weight, axis=-2), 1.0)
