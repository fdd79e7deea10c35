"""Where a posed body stands: the path through camera space that its 2D keypoints and smooth motion agree on."""

import numpy as np
from scipy.linalg import solveh_banded

PIXEL_SIGMA = 0.03  # of the person's box: how far a detected keypoint lies from the body's own point
INDEPENDENT = 5.0  # a frame's keypoints err together: they count as so many
ACCELERATION_SIGMA = 10.0  # m/s^2, of a pelvis: free flight is not unlikely
GUESS_SIGMA = 0.1  # of the depth: how far the first guess may be off
ROUNDS = 4


def place(
    points: np.ndarray,
    keypoints: np.ndarray,
    box_size: np.ndarray,
    guess: np.ndarray,
    focal_length: float,
    image_size: np.ndarray,
    fps: float,
) -> np.ndarray:
    """The translation of every frame, by least squares over the whole clip.

    With the pose known, the pinhole equation f (x + tx) = (u - cx) (z + tz) is linear in the translation t. Keypoints
    far off count less (Cauchy weights, by reweighting), and the second difference of t is kept small.

    Args:
      points: (T, K, 3) metres about the body's origin, camera axes.
      keypoints: (T, K, 3) = [x px, y px, confidence] of the same points in the frame; confidence 0 where not seen.
      box_size: (T,) pixels, the scale of the keypoints' errors.
      guess: (T, 3) metres, such as the network's.
      focal_length: pixels. image_size: (2,) = [height, width]. fps: frames a second.

    Returns:
      (T, 3) metres in the camera frame, z at least 0.1.
    """
    frames = len(points)
    points, keypoints, guess = (np.asarray(x, np.float64) for x in (points, keypoints, guess))
    rays = keypoints[..., :2] - np.array([image_size[1], image_size[0]]) / 2
    smooth = _acceleration_bands(frames) * (fps**2 / ACCELERATION_SIGMA) ** 2
    translation = guess
    for _ in range(ROUNDS):
        depth = np.maximum(translation[:, 2], 0.1)
        # Residuals in units of the expected error: rows J (T, K, 2, 3) and right-hand sides r (T, K, 2).
        unit = 1.0 / (PIXEL_SIGMA * np.maximum(np.asarray(box_size, np.float64), 1.0) * depth)[:, None, None]
        jacobian = np.zeros((*rays.shape, 3))
        jacobian[..., 0, 0] = jacobian[..., 1, 1] = focal_length
        jacobian[..., 2] = -rays
        jacobian *= unit[..., None]
        wanted = -(focal_length * points[..., :2] - rays * points[..., 2:]) * unit
        off = wanted - (jacobian @ translation[:, None, :, None])[..., 0]
        weight = keypoints[..., 2] / (1.0 + np.sum(off**2, axis=-1))
        weight = weight * (INDEPENDENT / weight.shape[1])
        normal = np.einsum("tkai,tk,tkaj->tij", jacobian, weight, jacobian)
        right = np.einsum("tkai,tk,tka->ti", jacobian, weight, wanted)
        doubt = (1.0 / (GUESS_SIGMA * np.maximum(guess[:, 2], 0.1)) ** 2)[:, None]
        normal += np.eye(3) * doubt[..., None]
        right += guess * doubt
        translation = _solve(normal, right, smooth)
    return np.maximum(translation, [-np.inf, -np.inf, 0.1]).astype(np.float32)


def _acceleration_bands(frames: int) -> np.ndarray:
    """Diagonals 0, 1, 2 of D'D for the second difference D, (3, T); zeros for clips shorter than 3 frames."""
    bands = np.zeros((3, frames))
    for offset, value in ((0, 1.0), (1, -2.0), (2, 1.0)):
        for other, factor in ((0, 1.0), (1, -2.0), (2, 1.0)):
            if other >= offset and frames > 2:
                bands[other - offset, offset : frames - 2 + offset] += value * factor
    return bands


def _solve(normal: np.ndarray, right: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Solves the block-banded system of (T, 3, 3) blocks and the smoothness' diagonals, (T, 3)."""
    frames = len(normal)
    banded = np.zeros((7, 3 * frames))  # lower form: banded[k, i] is the matrix' element (i + k, i)
    for column in range(3):
        for row in range(column, 3):
            banded[row - column, column::3] = normal[:, row, column]
    for distance in range(3):
        banded[3 * distance] += np.repeat(smooth[distance], 3)
    return solveh_banded(banded, right.ravel(), lower=True).reshape(frames, 3)
