"""The training losses: pure functions, unreduced over clips and frames, named as in `config.losses`.

Distances to noisy targets are robust (Charbonnier), those to exact ones are squared. `masked_sum` reduces. The losses of
masks and optical flow are in `hpof_jax.geometry.picture_losses`.
"""

import chex
import jax
import jax.numpy as jnp

from hpof_jax.geometry.picture_losses import charbonnier, flow_silhouette, silhouette, vertex_flow

__all__ = [
    "acceleration",
    "betas",
    "body_pose",
    "charbonnier",
    "flow_silhouette",
    "keypoints_2d",
    "keypoints_3d",
    "masked_sum",
    "silhouette",
    "smoothness",
    "vertex_flow",
]


def keypoints_2d(pred: jax.Array, target: jax.Array, confidence: jax.Array) -> jax.Array:
    """Robust reprojection error.

    Args:
      pred, target: (..., K, 2) in units of half the person's box.
      confidence: (..., K) weight of each keypoint in [0, 1].

    Returns:
      (...,) mean over keypoints.
    """
    chex.assert_equal_shape([pred, target])
    return jnp.mean(confidence * charbonnier(pred - target, 0.01), axis=-1)


def keypoints_3d(pred: jax.Array, target: jax.Array, confidence: jax.Array) -> jax.Array:
    """Robust distance of pelvis-relative points in metres: (..., K, 3), (..., K, 3), (..., K) -> (...,)."""
    chex.assert_equal_shape([pred, target])
    return jnp.mean(confidence * charbonnier(pred - target, 0.005), axis=-1)


def body_pose(pred: jax.Array, target: jax.Array) -> jax.Array:
    """Squared Frobenius distance of rotation matrices, mean over joints: (..., J, 3, 3) twice -> (...,)."""
    chex.assert_equal_shape([pred, target])
    return jnp.mean(jnp.sum(jnp.square(pred - target), axis=(-1, -2)), axis=-1)


def betas(pred: jax.Array, target: jax.Array) -> jax.Array:
    """Squared distance of shapes, mean over components: (..., 10), (..., 10) -> (...,)."""
    return jnp.mean(jnp.square(pred - target), axis=-1)


def smoothness(pred: jax.Array, target: jax.Array) -> jax.Array:
    """Robust error of the accelerations in metres/frame^2: (..., T, K, 3) twice -> (..., T - 2).

    Where the motion is unknown, a target of zeros penalises all acceleration.
    """
    chex.assert_equal_shape([pred, target])
    return jnp.mean(charbonnier(acceleration(pred) - acceleration(target), 0.001), axis=-1)


def acceleration(points: jax.Array) -> jax.Array:
    """Second difference over time: (..., T, K, D) -> (..., T - 2, K, D)."""
    return points[..., 2:, :, :] - 2.0 * points[..., 1:-1, :, :] + points[..., :-2, :, :]


def masked_sum(values: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum and number of the values in the mask. Values outside may be NaN."""
    return jnp.sum(jnp.where(mask, values, 0.0)), jnp.sum(mask.astype(values.dtype))
