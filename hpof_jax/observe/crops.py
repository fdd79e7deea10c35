"""Crops of images and masks.

Pixels are counted as everywhere in this package: the centre of pixel (row i, column j) is (j + 0.5, i + 0.5).
OpenCV counts it as (j, i): this module converts.
"""

import cv2
import numpy as np

# Of ImageNet's pictures, RGB in 0..1.
IMAGE_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGE_STD = np.array([0.229, 0.224, 0.225], np.float32)


def crop(
    image: np.ndarray, to_frame: np.ndarray, size: tuple[int, int], border: int | None = None
) -> np.ndarray:
    """A parallelogram of an image, by bilinear interpolation.

    Args:
      image: (H, W) or (H, W, C), of a type that OpenCV warps.
      to_frame: (2, 3) affine map from the unit square to pixels of `image`.
      size: (rows, columns) of the crop.
      border: OpenCV's border mode for pixels outside the image; None: zeros.

    Returns:
      (rows, columns) or (rows, columns, C).
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

    mask, mask_to_frame: of one frame, from `hpof_jax.observe.clip.Observations`. Outside the mask's own
    square it is 0.
    """
    if not np.any(mask_to_frame):  # nobody was seen
        return np.zeros((side, side), np.float32)
    to_frame = square_to_frame(square)
    to_mask = np.linalg.inv(np.asarray(mask_to_frame, np.float64)[:, :2]) * len(mask)
    offset = to_mask @ (to_frame[:, 2] - mask_to_frame[:, 2])
    square_to_mask = np.column_stack([to_mask @ to_frame[:, :2], offset])
    return crop(mask, square_to_mask, (side, side)).astype(np.float32) / 255


def smaller_mask(mask: np.ndarray, side: int) -> np.ndarray:
    """(side, side) uint8, a mask at fewer pixels."""
    return cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)


def person_crops(image: np.ndarray, boxes: np.ndarray, side: int = 224) -> np.ndarray:
    """People as a network for pictures takes them: (N, side, side, 3) float32, black outside the image.

    Bilinear interpolation, and ImageNet's mean and standard deviation, as in SPIN and VIBE.

    Args:
      image: (H, W, 3) uint8 RGB.
      boxes: (N, 3) = [centre x, centre y, size] px, from `geometry.camera.box_from_keypoints`: 1.2 times the extent
        of the landmarks, as in SPIN.
    """
    crops = [crop(image, square_to_frame(box), (side, side)) for box in boxes]
    crops = np.stack(crops) if crops else np.zeros((0, side, side, 3), np.uint8)
    return (crops / np.float32(255) - IMAGE_MEAN) / IMAGE_STD
