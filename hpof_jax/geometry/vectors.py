"""Norms with finite gradients everywhere."""

import jax
import jax.numpy as jnp


def safe_norm(vectors: jax.Array) -> jax.Array:
    """Euclidean norm over the last axis, (..., D) -> (...); its gradient at zero is zero."""
    square = jnp.sum(jnp.square(vectors), axis=-1)
    zero = square == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def normalise(vectors: jax.Array) -> jax.Array:
    """Unit vectors (..., D); those shorter than 1e-6 are scaled by 1e6."""
    return vectors * jax.lax.rsqrt(jnp.maximum(jnp.sum(vectors * vectors, axis=-1, keepdims=True), 1e-12))
