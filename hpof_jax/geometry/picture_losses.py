"""Losses that compare a posed body with pictures, by person masks and optical flow.

Pure functions, unreduced over clips and frames. Training uses them as `hpof_jax.training.losses`, and the test-time fit
of `hpof_jax.refine` uses them directly.
"""

import jax
import jax.numpy as jnp

from hpof_jax.geometry.flow import sample, warp

FLOW_SCALE = 2.0  # pixels of a box; `vertex_flow` is quadratic below and linear above


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


def in_frame(box: jax.Array, image_size: jax.Array, side: int) -> jax.Array:
    """Which pixels of the boxes lie in the frame: (..., R, R), 0 or 1. Elsewhere a mask is unknown.

    Args:
      box: (..., K, 3) [centre x, centre y, size] px, K frames of a clip.
      image_size: (..., 2) [height, width] px. side: R, pixels.
    """
    along = (jnp.arange(side) + 0.5) / side - 0.5
    place = box[..., :2, None] + along * box[..., 2, None, None]  # (..., K, [x, y], R)
    inside = (place > 0) & (place < image_size[..., None, ::-1, None])
    return (inside[..., 0, None, :] & inside[..., 1, :, None]).astype(box.dtype)


def charbonnier(difference: jax.Array, eps: float) -> jax.Array:
    """sqrt(|d|^2 + eps^2) - eps over the last axis, a smooth norm (Charbonnier et al., ICIP 1994)."""
    return jnp.sqrt(jnp.sum(jnp.square(difference), axis=-1) + eps * eps) - eps


def _both_ways(values, time):
    """Values at the source and the target frames of the flows: T frames on axis `time` -> (T - 1, 2)."""
    first = jax.lax.slice_in_dim(values, 0, -1, axis=time)
    second = jax.lax.slice_in_dim(values, 1, None, axis=time)
    return jnp.stack([first, second], time + 1), jnp.stack([second, first], time + 1)
