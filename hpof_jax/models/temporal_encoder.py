"""The temporal encoder: residual dilated convolutions, after VideoPose3D (Pavllo et al., CVPR 2019)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax


class TemporalEncoder(nn.Module):
    """Features of each frame, with `border` frames of context on each side; before it alone if `causal`.

    The length of the clip stays the same. Nothing is normalised over time, so each output depends on its own
    window only, and overlapping chunks give exactly the result of the whole clip. Frames outside `mask` act
    like the zero padding beyond the ends of the clip.
    """

    channels: int = 256
    kernel_size: int = 3
    dilations: Sequence[int] = (1, 3, 9, 27)
    dropout: float = 0.0
    causal: bool = False  # no context after a frame: what streams frame by frame equals the whole clip's pass
    dtype: Any = None  # of the matrix products, such as jnp.bfloat16; None: that of the features

    @property
    def border(self) -> int:
        """Frames of context on each side."""
        reaches = ((self.kernel_size - 1) * dilation for dilation in self.dilations)
        return sum(reach if self.causal else (reach + 1) // 2 for reach in reaches)

    @nn.compact
    def __call__(self, features: jax.Array, mask: jax.Array, *, deterministic: bool = True) -> jax.Array:
        """Encodes a batch of clips.

        Args:
          features: (B, T, D). mask: (B, T) bool, true where there is a frame.
          deterministic: no dropout; otherwise an rng named "dropout" is needed.

        Returns:
          (B, T, channels), zero outside `mask`.
        """
        inside = mask[..., None].astype(features.dtype)
        x = nn.Dense(self.channels, dtype=self.dtype, name="embed")(features)
        for index, dilation in enumerate(self.dilations):
            reach = (
                self.kernel_size - 1
            ) * dilation  # "SAME", written out: ONNX would pad dilated kernels wrongly
            before = reach if self.causal else reach // 2
            y = nn.Conv(
                self.channels,
                kernel_size=(self.kernel_size,),
                kernel_dilation=(dilation,),
                padding=[(before, reach - before)],
                dtype=self.dtype,
                name=f"conv_{index}",
            )(x * inside)
            # At initialisation a frame's feature has no context. With random context from the start, training
            # on one kind of motion does not transfer to another (docs/experiments.md).
            zeros = nn.initializers.zeros
            mix = nn.Dense(self.channels, dtype=self.dtype, kernel_init=zeros, name=f"mix_{index}")
            y = mix(nn.gelu(y))
            x = x + nn.Dropout(self.dropout)(y, deterministic=deterministic)
        # The sum of the residuals is normalised in the precision of the features.
        return nn.LayerNorm(dtype=self.dtype and features.dtype, name="norm")(x) * inside
