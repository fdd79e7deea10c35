"""Views of one scene by a camera that turns: the rotation between two of them, and how to undo it."""

import numpy as np

HYPOTHESES = 64  # of RANSAC; with half of the matches wrong, all miss once in a hundred million times
ROUNDS = 4  # of reweighting


def rays(points: np.ndarray, focal_length: float, image_size: np.ndarray) -> np.ndarray:
    """Unit rays (..., 3) in the camera frame through pixels (..., 2) of a frame of image_size [height, width]."""
    offset = np.asarray(points, np.float64) - np.array([image_size[1], image_size[0]], np.float64) / 2
    found = np.concatenate([offset, np.full((*offset.shape[:-1], 1), float(focal_length))], axis=-1)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def in_first_frame(points: np.ndarray, rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Points (T, K, 3) in the camera frames of a moving camera, in the axes of its first frame.

    Args:
      rotation: (T, 3, 3) from the first frame's axes to each frame's.
      position: (T, 3) of the camera, in the first frame's axes.
    """
    return points @ rotation + position[:, None]


def pixels_in_first_frame(
    pixels: np.ndarray, rotation: np.ndarray, focal_length: float, image_size: np.ndarray
) -> np.ndarray:
    """Pixels (T, K, 2) of a camera that turns, as one that does not turn would see them; NaN if behind it."""
    turned = rays(pixels, focal_length, image_size) @ rotation
    depth = np.where(turned[..., 2:] > 0.05, turned[..., 2:], np.nan)
    return turned[..., :2] / depth * focal_length + np.array([image_size[1], image_size[0]]) / 2


def rotation_between(
    rays: np.ndarray, other_rays: np.ndarray, tolerance: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The rotation that takes rays of one view to those of another, when many of the matches are wrong.

    RANSAC (Fischler and Bolles, 1981) over pairs of matches finds the matches that agree; weighted least squares
    (Kabsch, 1976) with Tukey's weights refines.

    Args:
      rays, other_rays: (N, 3) unit vectors of the same points, N at least 2.
      tolerance: radians within which a match agrees with a rotation.
      rng: for the choice of pairs.

    Returns:
      rotation (3, 3) with other_rays = rays @ rotation.T, and (N,) bool: which matches agree.
    """
    first, second = rng.integers(len(rays), size=(2, HYPOTHESES))
    frames, other_frames = (_frames(r[first], r[second]) for r in (rays, other_rays))
    candidates = other_frames @ np.swapaxes(frames, -1, -2)
    errors = np.linalg.norm(rays @ np.swapaxes(candidates, -1, -2) - other_rays, axis=-1)
    costs = np.minimum(errors / tolerance, 1).sum(axis=1)
    best = int(np.argmin(costs))
    rotation, error = candidates[best], errors[best]
    for _ in range(ROUNDS):
        weight = np.clip(1 - (error / (2 * tolerance)) ** 2, 0, 1) ** 2
        if np.count_nonzero(weight) < 2:
            break
        rotation = kabsch(rays, other_rays, weight)
        error = np.linalg.norm(rays @ rotation.T - other_rays, axis=-1)
    return rotation, error < tolerance


def kabsch(points: np.ndarray, other: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) with the least sum of weight (N,) * |other - rotation @ points|^2, of (N, 3) each."""
    left, _, right = np.linalg.svd((other * weight[:, None]).T @ points)
    sign = np.sign(np.linalg.det(left @ right))
    return (left * (1, 1, sign)) @ right


def _frames(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Orthonormal frames (..., 3, 3), in columns, of two vectors each; of parallel ones, something else."""
    middle, across = first + second, second - first
    normal = np.cross(first, second)
    columns = [
        v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12) for v in (middle, across, normal)
    ]
    return np.stack(columns, axis=-1)
