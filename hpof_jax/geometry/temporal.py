"""Motion in time: resampling, gap filling and smoothing.

A position is a time in frames: 2.25 is a quarter of the way from frame 2 to frame 3. Resampling is NumPy, for
data and observations; `interpolate_gaps` and `smooth_rotations` are JAX functions for use under jit.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation

from hpof_jax.geometry.numpy_rotations import to_axis_angle, to_quaternion
from hpof_jax.geometry.rotations import matrix_to_sixd, sixd_to_matrix

# Savitzky-Golay filter: the middle of the parabola that fits nine frames (0.3 s) best. More frames would cost
# accuracy.
SMOOTHING = np.array([-21, 14, 39, 54, 59, 54, 39, 14, -21]) / 231


def positions(frames: int, fps: float, new_fps: float) -> np.ndarray:
    """The positions of a clip's samples at another frame rate, (N,): sample n is at n / new_fps seconds.

    The samples cover the whole clip. If its duration is no multiple of 1 / new_fps, the last step is shorter
    and ends at the last frame.
    """
    count = int(np.ceil((frames - 1) * new_fps / fps - 1e-6)) + 1
    position = np.minimum(np.arange(count) * (fps / new_fps), frames - 1)
    near = np.round(position)
    return np.where(np.abs(position - near) < 1e-6, near, position)  # 59.999999 is frame 60


def neighbours(position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frames before and after each position, and the share of the later one in a linear interpolation.

    All three have the shape of `position`. At a whole frame both frames are that frame and the share is 0.
    """
    low = np.floor(position).astype(int)
    return low, np.ceil(position).astype(int), position - low


def linear(values: np.ndarray, position: np.ndarray, first: np.ndarray | int = 0) -> np.ndarray:
    """Linear interpolation.

    Args:
      values: (N, ...) floats, one row a frame; may hold several clips one after the other.
      position: (...) in [0, frames - 1] of its clip.
      first: the row in which the clip of each position begins, broadcastable against `position`.

    Returns:
      The shape of `position` followed by that of a row.
    """
    low, high, share = neighbours(position)
    share = share.astype(values.dtype).reshape(*share.shape, *[1] * (values.ndim - 1))
    return values[first + low] * (1 - share) + values[first + high] * share


def nlerp(pose: np.ndarray, position: np.ndarray, first: np.ndarray | int = 0) -> np.ndarray:
    """Rotations (N, ..., 3), axis-angle, by normalised linear interpolation of quaternions.

    Arguments as in `linear`. For training data: ten times as fast as `slerp`, from which it differs by at
    most 0.04 degrees where neighbouring frames differ by up to 30. Whole frames are returned unchanged.
    """
    low, high, share = neighbours(position)
    if not share.any():
        return pose[first + low]
    share = share.astype(pose.dtype).reshape(*share.shape, *[1] * (pose.ndim - 1))
    a, b = (to_quaternion(pose[first + frame]) for frame in (low, high))
    b = np.where(np.sum(a * b, axis=-1, keepdims=True) < 0, -b, b)  # the nearer of q and -q
    return to_axis_angle(a * (1 - share) + b * share)


def slerp(pose: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Rotations (T, ..., 3), axis-angle, at (N,) by spherical linear interpolation (Shoemake 1985)."""
    low, high, share = neighbours(position)
    rows = (len(low), *pose.shape[1:])
    share = np.broadcast_to(share.reshape(-1, *[1] * (pose.ndim - 1)), rows)
    start, end = (Rotation.from_rotvec(pose[frame].reshape(-1, 3)) for frame in (low, high))
    step = (start.inv() * end).as_rotvec() * share.reshape(-1, 3)
    return (start * Rotation.from_rotvec(step)).as_rotvec().reshape(rows)


def spline(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Cubic spline through values (T, ...) at positions (N,): (N, ...) float32, constant beyond the ends.

    For predicted motion, with rotations in their 6D representation: linear interpolation puts all
    acceleration into the frames where pieces meet.
    """
    frames = np.arange(len(values))
    if np.array_equal(position, frames):
        return values
    if len(values) == 1:
        return np.repeat(values, len(position), axis=0)
    curve = make_interp_spline(frames, values, k=min(3, len(values) - 1))
    return curve(np.clip(position, 0, frames[-1])).astype(np.float32)


def local_means(position: np.ndarray, reach: float, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights for means of the frames around each position; they fall linearly to zero over `reach` frames.

    A reach of 1 is linear interpolation. For a lower frame rate, use the ratio of the rates: single frames
    would keep all of the noise.

    Args:
      position: (N,) in [0, T - 1]. reach: frames, at least 1. valid: (T,) bool; other frames get no weight.

    Returns:
      frames (N, K) int and weights (N, K), which sum to 1, or to 0 where no valid frame is in reach.
    """
    low, _, share = (around[:, None] for around in neighbours(position))
    taps = np.arange(1 - int(np.ceil(reach)), int(np.ceil(reach)) + 1)
    frames, last = low + taps, len(valid) - 1
    # Symmetric about the position, also at the clip's ends: the first and the last frame stay as they are.
    opposite = 2 * (low + share) - frames
    inside = (np.minimum(frames, opposite) >= 0) & (np.maximum(frames, opposite) <= last)
    inside |= (reach == 1) | ((taps == 0) & (share == 0))
    frames = np.clip(frames, 0, last)
    weights = np.maximum(1 - np.abs(taps - share) / reach, 0) * inside * valid[frames]
    return frames, weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)


def sliding_mean(values: np.ndarray, counted: np.ndarray, window: int) -> np.ndarray:
    """(T,) means of the values (T,) that are `counted` (T,), over `window` (odd) frames around each."""
    total, count = (
        np.concatenate([[0.0], np.cumsum(x, dtype=np.float64)])
        for x in (np.where(counted, values, 0.0), counted)
    )
    rows = np.arange(len(values))
    stop, start = np.minimum(rows + window // 2 + 1, len(rows)), np.maximum(rows - window // 2, 0)
    return (total[stop] - total[start]) / np.maximum(count[stop] - count[start], 1)


def interpolate_gaps(values: jax.Array, seen: jax.Array) -> jax.Array:
    """Fills the unseen frames of a track: linear between the seen neighbours, constant beyond the ends.

    Args:
      values: (..., T, D); rows of unseen frames are ignored.
      seen: (..., T) bool. Where no frame is seen, the values are returned as they are.

    Returns:
      (..., T, D).
    """
    time = jnp.arange(values.shape[-2])
    before = jax.lax.cummax(jnp.where(seen, time, -1), axis=seen.ndim - 1)
    after = jax.lax.cummin(jnp.where(seen, time, values.shape[-2]), axis=seen.ndim - 1, reverse=True)
    left = jnp.where(before < 0, after, before)
    right = jnp.where(after >= values.shape[-2], before, after)
    nobody = (left < 0) | (left >= values.shape[-2])
    left, right = jnp.where(nobody, time, left), jnp.where(nobody | (right < 0), time, right)
    share = jnp.where(right > left, (time - left) / jnp.maximum(right - left, 1), 0.0)[..., None]
    left_values = jnp.take_along_axis(values, left[..., None], axis=-2)
    right_values = jnp.take_along_axis(values, right[..., None], axis=-2)
    return left_values * (1.0 - share) + right_values * share


def smooth_rotations(rotations: jax.Array, mask: jax.Array) -> jax.Array:
    """Rotations without jitter: a Savitzky-Golay filter over nine frames, in the 6D representation.

    Savitzky and Golay, Analytical Chemistry 1964. Beyond its ends the motion is continued by its end frames.

    Args:
      rotations: (B, T, J, 3, 3). mask: (B, T), false on padding at the end.
    """
    frames, half = rotations.shape[1], len(SMOOTHING) // 2
    last = jnp.sum(mask, axis=1, keepdims=True) - 1
    steps = jnp.clip(jnp.arange(-half, frames + half), 0, jnp.maximum(last, 0))
    sixd = jnp.take_along_axis(matrix_to_sixd(rotations), steps[..., None, None], axis=1)
    return sixd_to_matrix(sum(float(w) * sixd[:, k : k + frames] for k, w in enumerate(SMOOTHING)))
