"""The translation of a posed body in every frame, from its 2D keypoints and a smooth path."""

import numpy as np
from scipy.linalg import solveh_banded

PIXEL_SIGMA = 0.03  # share of the person's box: distance of a detected keypoint from the body's own point
INDEPENDENT = 5.0  # number of independent keypoints that a frame counts as: their errors are correlated
ACCELERATION_SIGMA = 10.0  # m/s^2, of the pelvis: about that of free fall
GUESS_SIGMA = 0.1  # share of the depth: error of `guess`
ROUNDS = 4


def place(
    points: np.ndarray,
    keypoints: np.ndarray,
    box_size: np.ndarray,
    guess: np.ndarray,
    focal_length: float,
    image_size: np.ndarray,
    times: np.ndarray,
) -> np.ndarray:
    """The translation of every frame of one shot, by least squares over all of them.

    For a known pose, the pinhole equation f (x + tx) = (u - cx) (z + tz) is linear in the translation t.
    Cauchy weights, by iterative reweighting, reduce the influence of outliers. The acceleration of t is
    penalised.

    Args:
      points: (T, K, 3) metres about the body's origin, camera axes.
      keypoints: (T, K, 3) = [x px, y px, confidence] of the same points in the frame; confidence 0 where not
        seen.
      box_size: (T,) pixels, the scale of the keypoints' errors.
      guess: (T, 3) metres, such as the network's answer.
      focal_length: pixels.
      image_size: (2,) = [height, width] in pixels.
      times: (T,) seconds, ascending.

    Returns:
      (T, 3) metres in the camera frame, z at least 0.1.
    """
    points, keypoints, guess = (np.asarray(x, np.float64) for x in (points, keypoints, guess))
    rays = keypoints[..., :2] - np.array([image_size[1], image_size[0]]) / 2
    smooth = acceleration_bands(np.asarray(times, np.float64)) / ACCELERATION_SIGMA**2
    translation = guess
    for _ in range(ROUNDS):
        depth = np.maximum(translation[:, 2], 0.1)
        # Residuals in units of the expected error: rows J (T, K, 2, 3) and right-hand sides r (T, K, 2).
        unit = 1.0 / (PIXEL_SIGMA * np.maximum(np.asarray(box_size, np.float64), 1.0) * depth)[:, None, None]
        jacobian = np.zeros((*rays.shape, 3))
        jacobian[..., 0, 0] = jacobian[..., 1, 1] = focal_length
        jacobian[..., 2] = -rays
        jacobian *= unit[..., None]
        target = -(focal_length * points[..., :2] - rays * points[..., 2:]) * unit
        residual = target - (jacobian @ translation[:, None, :, None])[..., 0]
        weight = keypoints[..., 2] / (1.0 + np.sum(residual**2, axis=-1))
        weight = weight * (INDEPENDENT / weight.shape[1])
        normal = np.einsum("tkai,tk,tkaj->tij", jacobian, weight, jacobian)
        right = np.einsum("tkai,tk,tka->ti", jacobian, weight, target)
        prior = (1.0 / (GUESS_SIGMA * np.maximum(guess[:, 2], 0.1)) ** 2)[:, None]
        normal += np.eye(3) * prior[..., None]
        right += guess * prior
        translation = _solve(normal, right, smooth)
    return np.maximum(translation, [-np.inf, -np.inf, 0.1]).astype(np.float32)


def acceleration_bands(times: np.ndarray) -> np.ndarray:
    """Diagonals 0, 1, 2 of D'D, (3, T), where D (T - 2, T) maps positions at `times` to accelerations.

    All are zero for fewer than three frames.
    """
    frames = len(times)
    bands = np.zeros((3, frames))
    if frames < 3:
        return bands
    before, after = np.diff(times)[:-1], np.diff(times)[1:]
    rows = np.stack([1.0 / before, -(1.0 / before + 1.0 / after), 1.0 / after]) * (2.0 / (before + after))
    for first in range(3):
        for second in range(first, 3):
            bands[second - first, first : frames - 2 + first] += rows[first] * rows[second]
    return bands


def _solve(normal: np.ndarray, right: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Solves the banded system of blocks (T, 3, 3) and the smoothness term's diagonals (3, T): (T, 3)."""
    frames = len(normal)
    banded = np.zeros((7, 3 * frames))  # lower form: banded[k, i] is element (i + k, i) of the matrix
    for column in range(3):
        for row in range(column, 3):
            banded[row - column, column::3] = normal[:, row, column]
    for distance in range(3):
        banded[3 * distance] += np.repeat(smooth[distance], 3)
    return solveh_banded(banded, right.ravel(), lower=True).reshape(frames, 3)
