"""The training losses: pure functions, unreduced over clips and frames, each named like its key in the config.

Distances are robust where detectors err (a Charbonnier norm, `sqrt(d^2 + eps^2) - eps`) and squared where they do not.
`masked_sum` is what the training step adds up over devices.
"""

import jax
import jax.numpy as jnp

from hpof_jax.geometry.flow import sample, warp

FLOW_SCALE = (
    2.0  # pixels of a box, up to which a vertex's disagreement with the flow is punished by its square
)


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


def silhouette(pred: jax.Array, target: jax.Array, known: jax.Array) -> jax.Array:
    """One minus the soft intersection over union, 1 - sum pq / sum(p + q - pq) (SoftRas, Liu et al., ICCV 2019).

    Args:
      pred: (..., H, W) soft silhouette of the body in [0, 1]. target: (..., H, W) the person's mask in [0, 1].
      known: (..., H, W) weights in [0, 1]: 0 where the mask says nothing, such as beyond the picture.

    Returns:
      (...,) in [0, 1]; 0 where neither holds anything.
    """
    both = jnp.sum(known * pred * target, axis=(-1, -2))
    either = jnp.sum(known * (pred + target - pred * target), axis=(-1, -2))
    return 1.0 - (both + 1e-3) / (either + 1e-3)


def flow_silhouette(
    silhouettes: jax.Array, flow: jax.Array, valid: jax.Array, step: int = 1
) -> tuple[jax.Array, jax.Array]:
    """|warp(S_{t+1}, F_{t -> t+1}) - S_t| and |warp(S_t, F_{t+1 -> t}) - S_{t+1}|: bodies that move as the picture does.

    A body that is wrong in the same way in both frames satisfies it.

    Args:
      silhouettes: (..., T, R, R) soft silhouettes in [0, 1], each in the box of its frame.
      flow: (..., T - 1, 2, R, R, 2) from frame t to t + 1 and back, in pixels of the boxes.
      valid: (..., T - 1, 2, R, R) bool, where to believe the flow.
      step: look at every `step`-th pixel of both axes alone; the gradient of the warp is what costs.

    Returns:
      The errors (..., T - 1, 2, R / step, R / step) and where they count, as `masked_sum` takes them.
    """
    here, there = _both_ways(silhouettes, silhouettes.ndim - 3)
    flow, valid = flow[..., ::step, ::step, :], valid[..., ::step, ::step]
    flow = jnp.where(valid[..., None], flow, 0.0).astype(silhouettes.dtype)
    return jnp.abs(warp(there, flow, step) - here[..., ::step, ::step]), valid


def vertex_flow(
    points: jax.Array, flow: jax.Array, valid: jax.Array, visible: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """How far the visible vertices move otherwise than the flow where they are (Tung et al., NeurIPS 2017), robustly.

    The flow is looked up where the vertex is, without a gradient: a vertex goes with the flow, not to where it fits.

    Args:
      points: (..., T, V, 2) the projected vertices, in pixels of each frame's box.
      flow, valid: as in `flow_silhouette`; a vertex counts where all pixels around it are valid. Where the person's mask
        is known, outside it nothing should be valid here: between pixels, the flow of a limb's rim mixes with that of
        the background.
      visible: (..., T, V) bool; a vertex counts where it is visible in both frames.

    Returns:
      The errors (..., T - 1, 2, V) in pixels and where they count, as `masked_sum` takes them.
    """
    here, there = _both_ways(points, points.ndim - 3)
    seen, still_seen = _both_ways(visible, visible.ndim - 2)
    place = jax.lax.stop_gradient(here)
    flow = jnp.where(valid[..., None], flow, 0.0).astype(points.dtype)
    found = jax.vmap(sample, in_axes=(-1, None), out_axes=-1)(flow, place)
    surely = sample(valid.astype(points.dtype), place) > 0.999
    return charbonnier(there - here - found, FLOW_SCALE), seen & still_seen & surely


def acceleration(points: jax.Array) -> jax.Array:
    """Second difference over time: (..., T, K, D) -> (..., T - 2, K, D)."""
    return points[..., 2:, :, :] - 2.0 * points[..., 1:-1, :, :] + points[..., :-2, :, :]


def charbonnier(difference: jax.Array, eps: float) -> jax.Array:
    """sqrt(|d|^2 + eps^2) - eps over the last axis: a norm with a finite gradient at zero (Charbonnier et al. 1994)."""
    return jnp.sqrt(jnp.sum(jnp.square(difference), axis=-1) + eps * eps) - eps


def masked_sum(values: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum of the values in the mask and their number; what is outside, NaN included, does not count."""
    return jnp.sum(jnp.where(mask, values, 0.0)), jnp.sum(mask.astype(values.dtype))


def _both_ways(values, time):
    """Values at T frames -> (T - 1, 2) along axis `time`: at the frame that a flow starts from, and where it leads."""
    first = jax.lax.slice_in_dim(values, 0, -1, axis=time)
    second = jax.lax.slice_in_dim(values, 1, None, axis=time)
    return jnp.stack([first, second], time + 1), jnp.stack([second, first], time + 1)
