"""Crops of images: affine squares, and person masks on squares and on whole frames.

Pixels are counted as everywhere in this package: the centre of pixel (row i, column j) is (j + 0.5, i + 0.5). OpenCV
has it at (j, i); only this module knows.
"""

import cv2
import numpy as np


def crop(
    image: np.ndarray, to_frame: np.ndarray, size: tuple[int, int], border: int | None = None
) -> np.ndarray:
    """The pixels of `image` (H, W, ...) in a parallelogram, bilinear, as an image of `size` (rows, columns).

    Args:
      image: any type that OpenCV warps.
      to_frame: (2, 3) affine map from the unit square to pixels of `image`.
      size: (rows, columns) of the crop.
      border: OpenCV's border mode for what lies outside the image; None: zeros.
    """
    rows, columns = size
    axes = np.asarray(to_frame, np.float64)[:, :2] / (columns, rows)
    index_map = np.column_stack([axes, to_frame[:, 2] + (axes @ (0.5, 0.5) - 0.5)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    mode = cv2.BORDER_CONSTANT if border is None else border
    return cv2.warpAffine(image, index_map, (columns, rows), flags=flags, borderMode=mode)


def square_to_frame(square: np.ndarray) -> np.ndarray:
    """(2, 3) affine map from the unit square to an upright square (3,) = [centre x, centre y, size] px."""
    x, y, size = (float(value) for value in square)
    return np.array([[size, 0, x - size / 2], [0, size, y - size / 2]])


def mask_in_square(mask: np.ndarray, mask_to_frame: np.ndarray, square: np.ndarray, side: int) -> np.ndarray:
    """(side, side) float32 mask in 0..1 of a square (3,) = [centre x, centre y, size] px of the frame.

    mask, mask_to_frame: one frame's from `Observations`. Outside the mask's own square it is 0.
    """
    return _warp_mask(mask, mask_to_frame, square_to_frame(square), (side, side))


def mask_in_frame(mask: np.ndarray, mask_to_frame: np.ndarray, image_size: np.ndarray) -> np.ndarray:
    """(H, W) float32 mask in 0..1 of the whole frame; see `mask_in_square`."""
    height, width = (int(side) for side in image_size)
    return _warp_mask(mask, mask_to_frame, np.array([[width, 0, 0], [0, height, 0]]), (height, width))


def _warp_mask(mask, mask_to_frame, to_frame, size):
    if not np.any(mask_to_frame):  # nobody was seen
        return np.zeros(size, np.float32)
    to_mask = np.linalg.inv(np.asarray(mask_to_frame, np.float64)[:, :2]) * len(mask)
    offset = to_mask @ (to_frame[:, 2] - mask_to_frame[:, 2])
    return crop(mask, np.column_stack([to_mask @ to_frame[:, :2], offset]), size).astype(np.float32) / 255
