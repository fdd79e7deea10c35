"""Rotation matrices as three angles about body-fixed axes, and angles that are continuous over time. NumPy."""

import numpy as np

_GIMBAL = (
    1e-6  # sine of the distance to the gimbal lock below which only two of the three angles are determined
)


def cardan_angles(matrix: np.ndarray, axes: str) -> np.ndarray:
    """Angles (..., 3) in radians of rotations (..., 3, 3) about three different axes.

    `matrix = R_a(first) R_b(second) R_c(third)` for axes such as 'zxy'. The second angle is in [-pi/2, pi/2]. Where
    it is +-pi/2 (gimbal lock), only the sum or the difference of the others is determined; the third is 0 there.
    """
    i, j, k = ("xyz".index(axis) for axis in axes)
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    cosine = np.hypot(matrix[..., i, i], matrix[..., i, j])
    lock = cosine < _GIMBAL
    first = np.where(
        lock,
        np.arctan2(sign * matrix[..., k, j], matrix[..., j, j]),
        np.arctan2(-sign * matrix[..., j, k], matrix[..., k, k]),
    )
    second = np.arctan2(sign * matrix[..., i, k], cosine)
    third = np.where(lock, 0.0, np.arctan2(-sign * matrix[..., i, j], matrix[..., i, i]))
    return np.stack([first, second, third], axis=-1)


def yxy_angles(matrix: np.ndarray) -> np.ndarray:
    """Angles (..., 3) in radians of rotations (..., 3, 3): `matrix = R_y(first) R_x(-second) R_y(third)`.

    The second angle is in [0, pi]. Where it is 0 or pi (gimbal lock), the first is 0.
    """
    sine = np.hypot(matrix[..., 0, 1], matrix[..., 2, 1])
    lock = sine < _GIMBAL
    first = np.where(lock, 0.0, np.arctan2(-matrix[..., 0, 1], -matrix[..., 2, 1]))
    third = np.where(
        lock,
        np.arctan2(matrix[..., 0, 2], matrix[..., 0, 0]),
        np.arctan2(-matrix[..., 1, 0], matrix[..., 1, 2]),
    )
    return np.stack([first, np.arctan2(sine, matrix[..., 1, 1]), third], axis=-1)


def continuous_cardan_angles(angles: np.ndarray) -> np.ndarray:
    """The equivalent Cardan angles (T, ..., 3) in radians that are nearest to those of the frame before.

    (a, b, c) and (a + pi, pi - b, c + pi) are the same rotation. Frame 0 gets the smaller angles of the two.
    """
    angles, before = np.array(angles), np.zeros_like(angles[0])
    for frame, now in enumerate(angles):
        options = np.stack([now, now * (1, -1, 1) + np.pi])
        options += 2 * np.pi * np.round((before - options) / (2 * np.pi))
        second = np.abs(options - before).sum(axis=-1, keepdims=True)
        before = angles[frame] = np.where(second[1] < second[0], options[1], options[0])
    return angles
