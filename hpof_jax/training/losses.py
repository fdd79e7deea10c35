"""The training losses: pure functions, unreduced over clips and frames, named as in `config.losses`.

Distances to noisy targets are robust (Charbonnier), those to exact ones are squared. `masked_sum` reduces.
"""

import chex
import jax
import jax.numpy as jnp

from hpof_jax.geometry.flow import sample, warp

FLOW_SCALE = 2.0  # pixels of a box; `vertex_flow` is quadratic below and linear above


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


def silhouette(pred: jax.Array, target: jax.Array, known: jax.Array) -> jax.Array:
    """One minus the soft IoU, 1 - sum pq / sum(p + q - pq) (SoftRas, Liu et al., ICCV 2019).

    Args:
      pred: (..., H, W) soft silhouette of the body in [0, 1].
      target: (..., H, W) the person's mask in [0, 1].
      known: (..., H, W) weight of each pixel in [0, 1]: 0 where the mask is unknown, as outside the frame.

    Returns:
      (...,) in [0, 1]; 0 where both are empty.
    """
    both = jnp.sum(known * pred * target, axis=(-1, -2))
    either = jnp.sum(known * (pred + target - pred * target), axis=(-1, -2))
    return 1.0 - (both + 1e-3) / (either + 1e-3)


def flow_silhouette(
    silhouettes: jax.Array, flow: jax.Array, valid: jax.Array, step: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Difference between the silhouettes of neighbouring frames, warped onto each other by the flow.

    The errors are |warp(S_{t+1}, F_{t -> t+1}) - S_t| and |warp(S_t, F_{t+1 -> t}) - S_{t+1}|. They measure
    only motion: a body with the same error in both frames costs nothing.

    Args:
      silhouettes: (..., T, R, R) soft silhouettes in [0, 1], each in the box of its frame.
      flow: (..., T - 1, 2, R, R, 2) from frame t to t + 1 and back, in pixels of the boxes.
      valid: (..., T - 1, 2, R, R) bool, where the flow is reliable.
      step: only every `step`-th row and column is compared, because the gradient of the warp is slow.

    Returns:
      The errors (..., T - 1, 2, R / step, R / step) and their mask, the arguments of `masked_sum`.
    """
    here, there = _both_ways(silhouettes, silhouettes.ndim - 3)
    flow, valid = flow[..., ::step, ::step, :], valid[..., ::step, ::step]
    flow = jnp.where(valid[..., None], flow, 0.0).astype(silhouettes.dtype)
    return jnp.abs(warp(there, flow, step) - here[..., ::step, ::step]), valid


def vertex_flow(
    points: jax.Array, flow: jax.Array, valid: jax.Array, visible: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Robust distance between the motion of the visible vertices and the flow (Tung et al., NeurIPS 2017).

    The place where the flow is sampled has no gradient: otherwise vertices would move to places where the
    flow fits.

    Args:
      points: (..., T, V, 2) the projected vertices, in pixels of each frame's box.
      flow, valid: as in `flow_silhouette`. A vertex counts where all pixels around it are valid. Where the
        person's mask is known, pass only its pixels as valid: interpolation at a limb's edge mixes in the
        background's flow.
      visible: (..., T, V) bool; a vertex counts where it is visible in both frames.

    Returns:
      The errors (..., T - 1, 2, V) in pixels and their mask, the arguments of `masked_sum`.
    """
    here, there = _both_ways(points, points.ndim - 3)
    seen, still_seen = _both_ways(visible, visible.ndim - 2)
    place = jax.lax.stop_gradient(here)
    flow = jnp.where(valid[..., None], flow, 0.0).astype(points.dtype)
    found = jax.vmap(sample, in_axes=(-1, None), out_axes=-1)(flow, place)
    all_valid = sample(valid.astype(points.dtype), place) > 0.999
    return charbonnier(there - here - found, FLOW_SCALE), seen & still_seen & all_valid


def acceleration(points: jax.Array) -> jax.Array:
    """Second difference over time: (..., T, K, D) -> (..., T - 2, K, D)."""
    return points[..., 2:, :, :] - 2.0 * points[..., 1:-1, :, :] + points[..., :-2, :, :]


def charbonnier(difference: jax.Array, eps: float) -> jax.Array:
    """sqrt(|d|^2 + eps^2) - eps over the last axis, a smooth norm (Charbonnier et al., ICIP 1994)."""
    return jnp.sqrt(jnp.sum(jnp.square(difference), axis=-1) + eps * eps) - eps


def masked_sum(values: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum and number of the values in the mask. Values outside may be NaN."""
    return jnp.sum(jnp.where(mask, values, 0.0)), jnp.sum(mask.astype(values.dtype))


def _both_ways(values, time):
    """Values at the source and the target frames of the flows: T frames on axis `time` -> (T - 1, 2)."""
    first = jax.lax.slice_in_dim(values, 0, -1, axis=time)
    second = jax.lax.slice_in_dim(values, 1, None, axis=time)
    return jnp.stack([first, second], time + 1), jnp.stack([second, first], time + 1)
