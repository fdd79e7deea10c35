"""Errors as motion laboratories report them: joint centres in the world, joint angles, and what is constant of them.

NumPy in double precision, one recording at a time: joint centres (T, K, 3) in metres, angles (T,) in degrees.
"""

import numpy as np

from hpof_jax.training.world_metrics import MM, similarity

ROUNDS = 20  # of aligning and averaging, until the offsets stand still


def aligned(pred: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Procrustes alignment of each frame (Umeyama, TPAMI 1991).

    Returns:
      points (T, K, 3), scales (T,) and rotations (T, 3, 3) of the alignment.
    """
    found = [similarity(p, t) for p, t in zip(pred, true, strict=True)]
    scales, rotations, shifts = (np.stack(parts) for parts in zip(*found, strict=True))
    return scales[:, None, None] * pred @ rotations.swapaxes(1, 2) + shifts[:, None], scales, rotations


def in_world(pred: np.ndarray, true: np.ndarray, scaled: bool = False) -> tuple[np.ndarray, float]:
    """`pred` after one rigid alignment of all frames, with one scale if `scaled`; and that scale."""
    scale, rotation, shift = similarity(pred.reshape(-1, 3), true.reshape(-1, 3), scaled)
    return scale * pred @ rotation.T + shift, scale


def distance(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(..., 3) metres -> (...) mm."""
    return MM * np.linalg.norm(pred - true, axis=-1)


def constant_offsets(pred: np.ndarray, true: np.ndarray, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits the error after Procrustes alignment into what is constant in the body's segments and what is not.

    Each joint gets the one offset, fixed in its segment over the recording, that brings it closest to `true`. Other
    definitions of joints and other proportions of the body are of that kind; so is a wrong pose that never changes.

    Args:
      turns: (T, K, 3, 3) rotations of the segments that carry the joints, in the frame of `pred`.

    Returns:
      offsets (K, 3) in metres, in the axes of the segments, and the error (T, K) mm that is left with them.
    """
    offsets = np.zeros(pred.shape[1:])
    for _ in range(ROUNDS):
        moved, scales, rotations = aligned(pred + np.einsum("tkij,kj->tki", turns, offsets), true)
        rest = np.einsum("tij,tki->tkj", rotations, true - moved) / scales[:, None, None]
        offsets = offsets + np.einsum("tkij,tki->kj", turns, rest) / len(pred)
    moved, _, _ = aligned(pred + np.einsum("tkij,kj->tki", turns, offsets), true)
    return offsets, distance(moved, true)


def angle_errors(pred: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Errors of one angle over a recording, (T,) degrees each; NaN does not count.

    Returns:
      rmse, mae, offset (the mean of pred minus true), rmse_without_offset and range of the true angle, in degrees; NaN
      if no frame has both.
    """
    error = (pred - true + 180.0) % 360.0 - 180.0
    known = np.isfinite(error)
    if not known.any():
        return dict.fromkeys(("rmse", "mae", "offset", "rmse_without_offset", "range"), float("nan"))
    error = error[known]
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "offset": float(error.mean()),
        "rmse_without_offset": float(error.std()),
        "range": float(np.ptp(true[known])),
    }


def bend(above: np.ndarray, joint: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The angle by which a joint is bent, (T,) degrees, 0 when the three points (T, 3) lie on a line."""
    a, b = joint - above, below - joint
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(sine, (a * b).sum(axis=-1)))
