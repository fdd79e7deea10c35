"""Errors of moving bodies in millimetres, and totals to sum over batches and devices.

Inputs are float32 metres in the camera frame: joints (..., T, J, 3) or vertices (..., T, V, 3), any leading
axes. `true` is the ground truth. Every error is per frame, (..., T), and unmasked: `total` takes the mask,
(..., T).

    errors = pa_mpjpe(pred, true)        # (B, T) mm
    batch = total(errors, mask)          # (2,) = [sum, count]
    mean(batch_1 + batch_2)              # over both batches; within pmap, `lax.psum(batch, axis_name)` first

All functions work under jit and vmap. Gradients are finite everywhere; an alignment's scale and rotation are
constants to them.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.geometry.vectors import safe_norm
from hpof_jax.training import losses

MM = 1000.0  # millimetres in a metre
PCK_THRESHOLD = 150.0  # mm, the threshold of MPI-INF-3DHP (Mehta et al. 2017)
AUC_THRESHOLDS = np.linspace(0.0, PCK_THRESHOLD, 31)  # mm, those of MPI-INF-3DHP's program
Root = int | Sequence[int] | None  # a joint, the mean of several (such as both hips), or the mean of all
_TINY = 1e-12  # m^2; point sets of less extent are not scaled


# --- errors, one number a frame ---------------------------------------------------------------------


def mpjpe(pred: jax.Array, true: jax.Array, root: Root = 0) -> jax.Array:
    """Mean per-joint position error, (..., T) mm (Human3.6M, Ionescu et al., TPAMI 2014).

    `root` is the origin of both: a joint (0 is SMPL's pelvis), the mean of several, or None for the mean
    of all.
    """
    return _mean_distance(centre(pred, root), centre(true, root))


def pa_mpjpe(pred: jax.Array, true: jax.Array) -> jax.Array:
    """MPJPE after Procrustes alignment of each frame, (..., T) mm; see `align`."""
    return _mean_distance(align(pred, true), true)


def n_mpjpe(pred: jax.Array, true: jax.Array, root: Root = None) -> jax.Array:
    """MPJPE after scaling each frame by least squares, (..., T) mm (Rhodin et al., CVPR 2018).

    The means of both are the origin, or `root`, as in `mpjpe`. There is no rotation: a tilt counts.
    """
    pred, true = centre(pred, root), centre(true, root)
    scale = _dot(pred, true) / jnp.maximum(_dot(pred, pred), _TINY)
    return _mean_distance(jax.lax.stop_gradient(scale)[..., None, None] * pred, true)


def pve(
    pred: jax.Array,
    true: jax.Array,
    pred_root: jax.Array | None = None,
    true_root: jax.Array | None = None,
) -> jax.Array:
    """Per-vertex error, (..., T) mm, of vertices (..., T, V, 3) in metres.

    `pred_root` and `true_root` (..., T, 3), usually the pelvis joints, are the origins. Without them nothing
    is moved.

    Raises:
      ValueError: one root without the other.
    """
    if (pred_root is None) != (true_root is None):
        raise ValueError("pve takes both roots or none: one of pred_root and true_root is missing.")
    if pred_root is not None:
        pred, true = pred - pred_root[..., None, :], true - true_root[..., None, :]
    return _mean_distance(pred, true)


def pck(pred: jax.Array, true: jax.Array, threshold: float = PCK_THRESHOLD, root: Root = 0) -> jax.Array:
    """Percentage of joints whose root-relative error is at most `threshold` mm, (..., T) in 0..100."""
    errors = joint_distances(centre(pred, root), centre(true, root))
    return 100.0 * jnp.mean(errors <= threshold, axis=-1, dtype=jnp.float32)


def auc(pred: jax.Array, true: jax.Array, root: Root = 0) -> jax.Array:
    """Mean PCK over the thresholds 0, 5, ..., 150 mm, (..., T) in 0..100 (Mehta et al., 3DV 2017).

    As in the data set's own program, a joint counts if its error is below the threshold: none does at 0 mm.
    """
    errors = joint_distances(centre(pred, root), centre(true, root))[..., None]
    return 100.0 * jnp.mean(errors < AUC_THRESHOLDS.astype(np.float32), axis=(-2, -1), dtype=jnp.float32)


def relative_acceleration_error(
    pred: jax.Array, true: jax.Array, root: Root = 0, fps: float | None = None
) -> jax.Array:
    """`acceleration_error` of joints relative to the root, as VIBE and TCMR compute it (Choi et al., CVPR 2021).

    The motion of the root in the camera frame does not count. Their root is the middle of the hips. TCMR
    counts the inner frames that are in the mask themselves, `mask[..., 1:-1]`, and predicts all frames.
    """
    return acceleration_error(centre(pred, root), centre(true, root), fps)


def acceleration_error(pred: jax.Array, true: jax.Array, fps: float | None = None) -> jax.Array:
    """Mean norm of the difference of the joints' accelerations, (..., T - 2), one value per inner frame.

    The unit is mm/frame^2, as HMMR and VIBE report it (Kanazawa et al., CVPR 2019), or m/s^2 if `fps` is
    given. There is no alignment, because a constant offset has no acceleration. The mask is
    `acceleration_mask(mask)`.
    """
    return acceleration(pred - true, fps)


def acceleration(joints: jax.Array, fps: float | None = None) -> jax.Array:
    """Mean norm of the joints' accelerations, (..., T - 2) mm/frame^2, or m/s^2 if `fps` is given."""
    unit = MM if fps is None else fps**2
    return unit * jnp.mean(safe_norm(losses.acceleration(joints)), axis=-1)


# --- how constant a body is within a clip -----------------------------------------------------------


def spread(values: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Standard deviation over a clip's frames, (..., T, D) -> (..., D) in the unit of `values`.

    Zero where fewer than two frames are in the mask (..., T).
    """
    weight = _weights(mask, values.shape[:-1])[..., None]
    values = jnp.where(weight > 0, values, 0.0)
    count = jnp.maximum(jnp.sum(weight, axis=-2, keepdims=True), 1.0)
    average = jnp.sum(values, axis=-2, keepdims=True) / count
    return safe_norm(
        jnp.swapaxes((values - average) * weight, -1, -2) / jnp.sqrt(jnp.swapaxes(count, -1, -2))
    )


def bone_length_spread(joints: jax.Array, parents: Sequence[int], mask: jax.Array | None = None) -> jax.Array:
    """Standard deviation of each bone's length within a clip: joints (..., T, J, 3) -> (..., bones) mm.

    A bone joins a joint and its parent. A joint whose parent is negative is a root and has no bone.
    """
    parents = np.asarray(parents)
    child = np.flatnonzero(parents >= 0)
    bones = joints[..., child, :] - joints[..., parents[child], :]
    return MM * spread(safe_norm(bones), mask)


# --- sums and counts --------------------------------------------------------------------------------


def total(errors: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """(2,) = [sum, count] of the errors (...,) where `mask`, of the same shape, is true.

    Totals add up over batches and devices. Values outside the mask may be NaN. Totals are float32: add those
    of many batches in float64 on the host.

    Raises:
      ValueError: the mask has another shape.
    """
    weight = _weights(mask, errors.shape)
    return jnp.stack([jnp.sum(jnp.where(weight > 0, errors, 0.0)), jnp.sum(weight)])


def mean(total: jax.Array) -> float:
    """Sum / count of a total, as a Python float; NaN if nothing was counted."""
    value, count = np.asarray(total, np.float64)
    return float(value / count) if count else float("nan")


def acceleration_mask(mask: jax.Array) -> jax.Array:
    """(..., T) -> (..., T - 2): whether an inner frame and both of its neighbours are in the mask."""
    mask = jnp.asarray(mask, bool)
    return mask[..., 2:] & mask[..., 1:-1] & mask[..., :-2]


def joint_totals(pred: jax.Array, true: jax.Array, mask: jax.Array | None = None) -> dict[str, jax.Array]:
    """All joint metrics of motions (..., T, J, 3) as totals; joint 0 is the root."""
    if mask is None:
        mask = jnp.ones(pred.shape[:-2], bool)
    neighbours = acceleration_mask(mask)
    return {
        "mpjpe": total(mpjpe(pred, true), mask),
        "pa_mpjpe": total(pa_mpjpe(pred, true), mask),
        "n_mpjpe": total(n_mpjpe(pred, true), mask),
        "pck_150": total(pck(pred, true, 150.0), mask),
        "pck_50": total(pck(pred, true, 50.0), mask),
        "acceleration_error": total(acceleration_error(pred, true), neighbours),
        "acceleration": total(acceleration(pred), neighbours),
    }


# --- alignment --------------------------------------------------------------------------------------


def align(pred: jax.Array, true: jax.Array) -> jax.Array:
    """`pred` (..., J, 3) after Procrustes alignment of each frame to `true` (Umeyama, TPAMI 1991).

    A similarity transform: scale, rotation and translation. The rotation is proper, so a mirrored body stays
    wrong. For points on a line or in one place, any of the equally good rotations is taken. Rotation and
    scale are constants to gradients.
    """
    average = jnp.mean(true, axis=-2, keepdims=True)
    pred, true = centre(pred, None), true - average
    # TPUs multiply float32 in bfloat16 by default, which has 3 digits: too few here.
    exact = jax.lax.Precision.HIGHEST
    covariance = jnp.einsum("...ji,...jk->...ik", pred, true, precision=exact)
    u, singular, vt = jnp.linalg.svd(jax.lax.stop_gradient(covariance))
    sign = jnp.where(jnp.linalg.det(u) * jnp.linalg.det(vt) < 0, -1.0, 1.0)
    singular = singular.at[..., 2].multiply(sign)
    u = u.at[..., :, 2].multiply(sign[..., None])
    scale = jnp.sum(singular, axis=-1) / jnp.maximum(_dot(pred, pred), _TINY)
    rotated = jnp.einsum("...ji,...ik,...kl->...jl", pred, u, vt, precision=exact)
    return jax.lax.stop_gradient(scale)[..., None, None] * rotated + average


def centre(points: jax.Array, root: Root) -> jax.Array:
    """Points (..., J, 3) minus point `root`, the mean of several points or, for None, the mean of all."""
    chosen = points if root is None else points[..., np.atleast_1d(root), :]
    return points - jnp.mean(chosen, axis=-2, keepdims=True)


def joint_distances(pred: jax.Array, true: jax.Array) -> jax.Array:
    """Distances of corresponding points without alignment: (..., J, 3) metres -> (..., J) mm.

    Raises:
      ValueError: the shapes differ.
    """
    if pred.shape != true.shape:
        raise ValueError(f"prediction and ground truth differ in shape: {pred.shape} and {true.shape}.")
    return MM * safe_norm(pred - true)


def _mean_distance(pred: jax.Array, true: jax.Array) -> jax.Array:
    return jnp.mean(joint_distances(pred, true), axis=-1)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(a * b, axis=(-2, -1))


def _weights(mask: jax.Array | None, shape: tuple[int, ...]) -> jax.Array:
    if mask is None:
        return jnp.ones(shape, jnp.float32)
    if mask.shape != shape:
        raise ValueError(f"the mask has shape {mask.shape}: it needs {shape}, one value for each error.")
    return jnp.asarray(mask, bool).astype(jnp.float32)
