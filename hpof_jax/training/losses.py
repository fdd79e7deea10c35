"""The training losses: pure functions, unreduced over clips and frames, each named like its key in the config.

Distances are robust where detectors err (a Charbonnier norm, `sqrt(d^2 + eps^2) - eps`) and squared where they do not.
`masked_sum` is what the training step adds up over devices.
"""

import jax
import jax.numpy as jnp


def keypoints_2d(pred: jax.Array, target: jax.Array, confidence: jax.Array) -> jax.Array:
    """Robust reprojection error.

    Args:
      pred, target: (..., K, 2) in units of half the person's box. confidence: (..., K) weights in [0, 1].

    Returns:
      (...,) mean over keypoints.
    """
    return jnp.mean(confidence * charbonnier(pred - target, 0.01), axis=-1)


def keypoints_3d(pred: jax.Array, target: jax.Array, confidence: jax.Array) -> jax.Array:
    """Robust distance of pelvis-relative points, metres: (..., K, 3), (..., K, 3), (..., K) -> (...,)."""
    return jnp.mean(confidence * charbonnier(pred - target, 0.005), axis=-1)


def body_pose(pred: jax.Array, target: jax.Array) -> jax.Array:
    """Squared Frobenius distance of rotation matrices, mean over joints: (..., J, 3, 3) twice -> (...,)."""
    return jnp.mean(jnp.sum(jnp.square(pred - target), axis=(-1, -2)), axis=-1)


def betas(pred: jax.Array, target: jax.Array) -> jax.Array:
    """Squared distance of shapes, mean over components: (..., B) twice -> (...,)."""
    return jnp.mean(jnp.square(pred - target), axis=-1)


def smoothness(pred: jax.Array, target: jax.Array) -> jax.Array:
    """How far the acceleration of the points is from the true one, metres/frame^2: (..., T, K, 3) -> (..., T - 2).

    Pass zeros as the target where the motion is not known: then it asks for little acceleration.
    """
    return jnp.mean(charbonnier(acceleration(pred) - acceleration(target), 0.001), axis=-1)


def acceleration(points: jax.Array) -> jax.Array:
    """Second difference over time: (..., T, K, D) -> (..., T - 2, K, D)."""
    return points[..., 2:, :, :] - 2.0 * points[..., 1:-1, :, :] + points[..., :-2, :, :]


def charbonnier(difference: jax.Array, eps: float) -> jax.Array:
    """sqrt(|d|^2 + eps^2) - eps over the last axis: a norm with a finite gradient at zero (Charbonnier et al. 1994)."""
    return jnp.sqrt(jnp.sum(jnp.square(difference), axis=-1) + eps * eps) - eps


def masked_sum(values: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum of the values in the mask and their number; what is outside, NaN included, does not count."""
    return jnp.sum(jnp.where(mask, values, 0.0)), jnp.sum(mask.astype(values.dtype))
