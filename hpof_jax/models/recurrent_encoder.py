"""The recurrent encoder: bidirectional GRUs, after VIBE (Kocabas et al., CVPR 2020). An ablation."""

import flax.linen as nn
import jax
import jax.numpy as jnp

LAYERS = 2


class RecurrentEncoder(nn.Module):
    """Features of each frame with the context of the whole clip, in place of `TemporalEncoder`.

    Two layers of GRUs in both directions, with a residual connection around them. With 2/3 of the channels in
    each direction they have 16 channels^2 parameters, as many as four dilated layers of kernel size 3. Frames
    outside `mask` leave the hidden state unchanged, so they have no influence.
    """

    channels: int = 256
    dropout: float = 0.0

    @property
    def border(self) -> None:
        """None: every frame depends on the whole clip."""
        return None

    @nn.compact
    def __call__(self, features: jax.Array, mask: jax.Array, *, deterministic: bool = True) -> jax.Array:
        """Encodes a batch of clips; arguments and result as for `TemporalEncoder`."""
        inside = mask[..., None]
        x = y = nn.Dense(self.channels, name="embed")(features)
        units = max(2 * self.channels // 3, 1)
        for layer in range(LAYERS):
            directions = [
                _run(nn.GRUCell(units, name=f"{name}_{layer}"), y, inside, reverse=name == "backward")
                for name in ("forward", "backward")
            ]
            y = nn.Dropout(self.dropout)(jnp.concatenate(directions, axis=-1), deterministic=deterministic)
        x = x + nn.Dense(self.channels, name="mix")(y)
        return nn.LayerNorm(name="norm")(x) * inside.astype(features.dtype)


def _run(cell: nn.GRUCell, features: jax.Array, inside: jax.Array, *, reverse: bool) -> jax.Array:
    """Hidden states, (B, T, D) and (B, T, 1) -> (B, T, units); `reverse` starts from the last frame."""

    def step(cell, state, frame):
        feature, there = frame
        state = jnp.where(there, cell(state, feature)[0], state)
        return state, state

    scan = nn.scan(
        step,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=1,
        out_axes=1,
        reverse=reverse,
    )
    start = jnp.zeros((len(features), cell.features), features.dtype)
    return scan(cell, start, (features, inside))[1]
