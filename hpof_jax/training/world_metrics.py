"""Errors of a motion in the world, as WHAM and GVHMR report them.

Papers: WHAM (Shin et al., CVPR 2024) and GVHMR (Shen et al., SIGGRAPH Asia 2024); the alignment of segments is
that of SLAHMR (Ye et al., CVPR 2023).

Inputs are metres, in a world frame of their own each: `pred` is aligned to `true` by a rotation and a
translation, for WA-MPJPE and W-MPJPE also by a scale. Frames are consecutive. NumPy in double precision: a
sequence is long, and it is scored once.
"""

import numpy as np

SEGMENT = 100  # frames that are aligned together
CONTACT = 0.01  # metres from frame to frame at 30 frames/s; a foot that moves less stands on the floor
MM = 1000.0  # millimetres in a metre
_TINY = 1e-12  # m^2; points of less extent are not scaled


def wa_mpjpe(pred: np.ndarray, true: np.ndarray, segment: int = SEGMENT) -> np.ndarray:
    """World MPJPE, each segment aligned over all its frames: (T, J, 3) -> (T,) mm."""
    return _by_segment(pred, true, segment, segment)


def w_mpjpe(pred: np.ndarray, true: np.ndarray, segment: int = SEGMENT) -> np.ndarray:
    """World MPJPE, each segment aligned over its first two frames: (T, J, 3) -> (T,) mm. Drift counts."""
    return _by_segment(pred, true, segment, 2)


def root_translation_error(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Root translation error (RTE): (T, 3) -> (T,) % of the length of the true path.

    The whole path is aligned by a rotation and a translation. NaN if the true root never moves.
    """
    pred, true = _same(pred, true)
    length = np.linalg.norm(np.diff(true, axis=0), axis=-1).sum()
    scale, rotation, shift = similarity(pred, true, scaled=False)
    distance = np.linalg.norm(scale * pred @ rotation.T + shift - true, axis=-1)
    return 100.0 * distance / length if length > 0 else np.full(len(true), np.nan)


def foot_sliding(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """How far the predicted feet move while the true ones stand: (T, K, 3) -> (T - 1, K) mm/frame.

    NaN where a true point moves by `CONTACT` or more. WHAM and GVHMR take the toes and heels of SMPL's mesh,
    which are the landmarks `foot_index` and `heel`.
    """
    pred, true = _same(pred, true)
    moved, standing = (np.linalg.norm(np.diff(points, axis=0), axis=-1) for points in (pred, true))
    return np.where(standing < CONTACT, MM * moved, np.nan)


def jitter(joints: np.ndarray, fps: float = 30.0) -> np.ndarray:
    """Mean norm of the joints' jerk: (T, J, 3) -> (T - 3,) in 10 m/s^3, the unit of the published tables."""
    jerk = np.diff(np.asarray(joints, np.float64), n=3, axis=0) * fps**3
    return np.linalg.norm(jerk, axis=-1).mean(axis=-1) / 10.0


def similarity(
    source: np.ndarray, target: np.ndarray, scaled: bool = True
) -> tuple[float, np.ndarray, np.ndarray]:
    """The least-squares transform of points (N, 3) to others (Umeyama, TPAMI 1991).

    Args:
      scaled: with a scale; else it is 1.

    Returns:
      scale, rotation (3, 3) and translation (3,): `scale * source @ rotation.T + translation` is near `target`.
    """
    source, target = _same(source, target)
    means = source.mean(axis=0), target.mean(axis=0)
    a, b = source - means[0], target - means[1]
    u, singular, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / max((a**2).sum(), _TINY)) if scaled else 1.0
    return scale, rotation, means[1] - scale * rotation @ means[0]


def _by_segment(pred: np.ndarray, true: np.ndarray, segment: int, aligned: int) -> np.ndarray:
    """(T,) mm; of each segment, the first `aligned` frames are used to align it."""
    pred, true = _same(pred, true)
    errors = np.zeros(len(true))
    for start in range(0, len(true), segment):
        p, t = pred[start : start + segment], true[start : start + segment]
        scale, rotation, shift = similarity(p[:aligned].reshape(-1, 3), t[:aligned].reshape(-1, 3))
        distance = np.linalg.norm(scale * p @ rotation.T + shift - t, axis=-1)
        errors[start : start + segment] = MM * distance.mean(axis=-1)
    return errors


def _same(pred: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pred, true = np.asarray(pred, np.float64), np.asarray(true, np.float64)
    if pred.shape != true.shape:
        raise ValueError(f"prediction and ground truth differ in shape: {pred.shape} and {true.shape}.")
    return pred, true
