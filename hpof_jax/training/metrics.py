"""Errors of bodies in motion, in millimetres, one a frame; and sums and counts that add up to their means.

Inputs are metres, float32, (..., T, J, 3) joints or (..., T, V, 3) vertices in the camera frame, with any
leading axes; `mask (..., T)` is True where a frame counts. Every error is per frame, (..., T), and unmasked:
`total` takes the mask.

    errors = pa_mpjpe(pred, true)        # (B, T) mm
    batch = total(errors, mask)          # (2,) = [sum, count]
    mean(batch_1 + batch_2)              # over everything; within pmap `lax.psum(batch, axis_name)` first

Everything works under jit and vmap. Gradients are finite everywhere; an alignment (scale, rotation) is a
constant to them.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.geometry.vectors import safe_norm

MM = 1000.0  # millimetres in a metre
PCK_THRESHOLD = 150.0  # mm; half a head, the threshold of MPI-INF-3DHP (Mehta et al. 2017)
Root = int | Sequence[int] | None  # a joint, the mean of several (both hips, say), or the mean of all
_TINY = 1e-12  # squared metres under which a point set has no extent


# --- errors, one number a frame ---------------------------------------------------------------------


def mpjpe(pred: jax.Array, true: jax.Array, root: Root = 0) -> jax.Array:
    """Mean per-joint position error, (..., T) mm, of joints (..., T, J, 3) in metres.

    Both are moved so that `root` lies in the origin: a joint (0 is SMPL's pelvis), the mean of several (the hips
    of a joint set without pelvis), or for None the mean of all. Ionescu et al., "Human3.6M", TPAMI 2014.
    """
    return _mean_distance(centre(pred, root), centre(true, root))


def pa_mpjpe(pred: jax.Array, true: jax.Array) -> jax.Array:
    """MPJPE after the best similarity transform of each frame (Procrustes), (..., T) mm; see `align`."""
    return _mean_distance(align(pred, true), true)


def n_mpjpe(pred: jax.Array, true: jax.Array, root: Root = None) -> jax.Array:
    """MPJPE after the best scale of each frame alone, in the camera frame, (..., T) mm.

    Both are centred at their means (or at `root`, as in `mpjpe`), then `pred` is scaled by least squares: this
    forgives an unknown body height, and no tilt (Rhodin et al., CVPR 2018).
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

    `pred_root` and `true_root` (..., T, 3) are moved to the origin first: the pelvis joints, as for `mpjpe`.
    Without them the vertices are compared where they are.
    """
    if (pred_root is None) != (true_root is None):
        raise ValueError("pve takes both roots or none: one of pred_root and true_root is missing.")
    if pred_root is not None:
        pred, true = pred - pred_root[..., None, :], true - true_root[..., None, :]
    return _mean_distance(pred, true)


def pck(pred: jax.Array, true: jax.Array, threshold: float = PCK_THRESHOLD, root: Root = 0) -> jax.Array:
    """Percentage of joints whose root-aligned error is at most `threshold` mm, (..., T) in 0..100."""
    errors = joint_distances(centre(pred, root), centre(true, root))
    return 100.0 * jnp.mean(errors <= threshold, axis=-1, dtype=jnp.float32)


def pck_auc(pred: jax.Array, true: jax.Array, root: Root = 0) -> jax.Array:
    """Area under the PCK curve, the mean of `pck` at 0, 5, ... 150 mm: (..., T) in 0..100 (Mehta 2017)."""
    errors = joint_distances(centre(pred, root), centre(true, root))
    thresholds = jnp.linspace(0.0, PCK_THRESHOLD, 31)
    return 100.0 * jnp.mean(errors[..., None] <= thresholds, axis=(-2, -1), dtype=jnp.float32)


def acceleration_error(pred: jax.Array, true: jax.Array, fps: float | None = None) -> jax.Array:
    """Mean length of the difference of the joints' accelerations, (..., T - 2): frames with both neighbours.

    In mm/frame^2 as HMMR and VIBE report it (Kanazawa et al. 2019), or in m/s^2 where `fps` is given. No
    alignment: a constant offset has no acceleration. The mask is `acceleration_mask(mask)`.
    """
    return acceleration(pred - true, fps)


def acceleration(joints: jax.Array, fps: float | None = None) -> jax.Array:
    """Mean length of the joints' own accelerations, (..., T - 2) mm/frame^2, or m/s^2 with `fps`."""
    second = joints[..., 2:, :, :] - 2.0 * joints[..., 1:-1, :, :] + joints[..., :-2, :, :]
    unit = MM if fps is None else fps**2
    return unit * jnp.mean(safe_norm(second), axis=-1)


# --- how constant a body is within a clip -----------------------------------------------------------


def spread(values: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Standard deviation over a clip's frames, (..., T, D) -> (..., D) in the same unit; of betas, say.

    Zero where fewer than two frames count.
    """
    weight = _weights(mask, values.shape[:-1])[..., None]
    values = jnp.where(weight > 0, values, 0.0)
    count = jnp.maximum(jnp.sum(weight, axis=-2, keepdims=True), 1.0)
    average = jnp.sum(values, axis=-2, keepdims=True) / count
    return safe_norm(
        jnp.swapaxes((values - average) * weight, -1, -2) / jnp.sqrt(jnp.swapaxes(count, -1, -2))
    )


def bone_length_spread(joints: jax.Array, parents: Sequence[int], mask: jax.Array | None = None) -> jax.Array:
    """Standard deviation of each bone's length within a clip: joints (..., T, J, 3) -> (..., J - roots) mm.

    A bone joins a joint to its parent; joints whose parent is negative are roots and have none.
    """
    parents = np.asarray(parents)
    child = np.flatnonzero(parents >= 0)
    bones = joints[..., child, :] - joints[..., parents[child], :]
    return MM * spread(safe_norm(bones), mask)


# --- sums and counts --------------------------------------------------------------------------------


def total(errors: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """(2,) = [sum, count] of the errors (...,) where `mask`, of the same shape, is True.

    Totals add up over batches and devices; masked-out values may be anything, NaN included. Float32: over an
    epoch add them up on the host, in float64.
    """
    weight = _weights(mask, errors.shape)
    return jnp.stack([jnp.sum(jnp.where(weight > 0, errors, 0.0)), jnp.sum(weight)])


def mean(total: jax.Array) -> float:
    """The mean that a total stands for, as a Python float; NaN when nothing was counted."""
    value, count = np.asarray(total, np.float64)
    return float(value / count) if count else float("nan")


def acceleration_mask(mask: jax.Array) -> jax.Array:
    """(..., T) -> (..., T - 2): frames that count together with both of their neighbours."""
    mask = jnp.asarray(mask, bool)
    return mask[..., 2:] & mask[..., 1:-1] & mask[..., :-2]


def joint_totals(
    pred: jax.Array, true: jax.Array, mask: jax.Array | None = None, root: Root = 0
) -> dict[str, jax.Array]:
    """The metrics of a batch of motions (..., T, J, 3), each as a total: what an evaluation step sums."""
    if mask is None:
        mask = jnp.ones(pred.shape[:-2], bool)
    neighbours = acceleration_mask(mask)
    return {
        "mpjpe": total(mpjpe(pred, true, root), mask),
        "pa_mpjpe": total(pa_mpjpe(pred, true), mask),
        "n_mpjpe": total(n_mpjpe(pred, true), mask),
        "pck_150": total(pck(pred, true, 150.0, root), mask),
        "pck_50": total(pck(pred, true, 50.0, root), mask),
        "acceleration_error": total(acceleration_error(pred, true), neighbours),
        "acceleration": total(acceleration(pred), neighbours),
    }


# --- alignment --------------------------------------------------------------------------------------


def align(pred: jax.Array, true: jax.Array) -> jax.Array:
    """`pred` moved onto `true` by the least-squares similarity transform of each frame, (..., J, 3).

    The rotation is proper: a mirrored body stays wrong (Umeyama, TPAMI 1991). Points on a line or in one
    place are handled: any of the equally good rotations is taken. To gradients, rotation and scale are
    constants.
    """
    average = jnp.mean(true, axis=-2, keepdims=True)
    pred, true = centre(pred, None), true - average
    # TPUs multiply float32 in bfloat16 unless told otherwise: 3 digits are too few here.
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
    """(..., J, 3) moved so that joint `root`, the mean of several or, for None, of all lies in the origin."""
    chosen = points if root is None else points[..., np.atleast_1d(root), :]
    return points - jnp.mean(chosen, axis=-2, keepdims=True)


def joint_distances(pred: jax.Array, true: jax.Array) -> jax.Array:
    """The distance of every point from its partner, with no alignment: (..., J, 3) metres -> (..., J) mm."""
    if pred.shape != true.shape:
        raise ValueError(f"prediction and truth differ in shape: {pred.shape} and {true.shape}.")
    return MM * safe_norm(pred - true)


def _mean_distance(pred: jax.Array, true: jax.Array) -> jax.Array:
    return jnp.mean(joint_distances(pred, true), axis=-1)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(a * b, axis=(-2, -1))


def _weights(mask: jax.Array | None, shape: tuple[int, ...]) -> jax.Array:
    if mask is None:
        return jnp.ones(shape, jnp.float32)
    if mask.shape != shape:
        raise ValueError(f"the mask has shape {mask.shape} where {shape} is needed: one value an error.")
    return jnp.asarray(mask, bool).astype(jnp.float32)
