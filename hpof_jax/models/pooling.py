"""Means over the frames of a clip."""

import jax
import jax.numpy as jnp


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over the frames in `mask`: (B, T, D) and (B, T) -> (B, D); zero where the mask is empty."""
    weight = mask[..., None].astype(x.dtype)
    return jnp.sum(x * weight, axis=-2) / jnp.maximum(jnp.sum(weight, axis=-2), 1.0)
