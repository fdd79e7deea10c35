"""The recurrent encoder: bidirectional GRUs over a clip, as in VIBE (Kocabas et al., CVPR 2020), to compare with."""

import flax.linen as nn
import jax
import jax.numpy as jnp

LAYERS = 2


class RecurrentEncoder(nn.Module):
    """Per-frame features with the context of the whole clip, in the place of `TemporalEncoder`.

    Two layers of GRUs in both directions around which the embedded features are passed. With 2/3 of the channels in each
    direction there are 16 channels^2 weights besides the embedding: as many as in four dilated layers of kernel size 3.
    Frames outside `mask` leave the memory as it was: they influence nothing.
    """

    channels: int = 256
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
        inside = mask[..., None]
        x = y = nn.Dense(self.channels, name="embed")(features)
        units = max(2 * self.channels // 3, 1)
        for layer in range(LAYERS):
            directions = [
                _remember(nn.GRUCell(units, name=f"{name}_{layer}"), y, inside, reverse=name == "backward")
                for name in ("forward", "backward")
            ]
            y = nn.Dropout(self.dropout)(jnp.concatenate(directions, axis=-1), deterministic=deterministic)
        x = x + nn.Dense(self.channels, name="mix")(y)
        return nn.LayerNorm(name="norm")(x) * inside.astype(features.dtype)


def _remember(cell: nn.GRUCell, features: jax.Array, inside: jax.Array, *, reverse: bool) -> jax.Array:
    """The memory after each frame, (B, T, D), (B, T, 1) -> (B, T, units); from the last frame on if `reverse`."""

    def step(cell, memory, frame):
        feature, there = frame
        memory = jnp.where(there, cell(memory, feature)[0], memory)
        return memory, memory

    scan = nn.scan(
        step,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=1,
        out_axes=1,
        reverse=reverse,
    )
    empty = jnp.zeros((len(features), cell.features), features.dtype)
    return scan(cell, empty, (features, inside))[1]
