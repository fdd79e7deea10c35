"""The arrays in a file of observations: their shapes, types and checks. `Observations` says what they mean."""

import dataclasses
from typing import Any

import numpy as np

from hpof_jax.archives import check_array
from hpof_jax.observe.background import Background
from hpof_jax.observe.blazepose import NUM_LANDMARKS
from hpof_jax.observe.optical_flow import SIDE

IMAGE_FEATURES = 2048
LEAST_AREA = 1e-6  # px^2, of a mask's square in the frame
BACKGROUND = {f"background_{field.name}" for field in dataclasses.fields(Background)}

_REQUIRED = {"landmarks_2d", "landmarks_3d", "seen", "image_size", "focal_length", "fps"}
_TOGETHER = (("masks", "mask_to_frame"), ("flow", "flow_valid", "flow_box"), tuple(sorted(BACKGROUND)))


def checked(arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays as they are.

    Raises:
      ValueError: one is missing, or has another shape, another type or numbers that make no sense.
    """
    if missing := _REQUIRED - arrays.keys():
        raise ValueError(f"it has no '{min(missing)}'")
    frames, expected = arrays["seen"].size, _expected(arrays)
    for name, array in arrays.items():
        check_array(name, array, *expected[name])
    for name in ("image_size", "focal_length", "fps"):
        if not (arrays[name] > 0).all():
            raise ValueError(f"'{name}' is {arrays[name]}")
    if "times" in arrays and np.any(np.diff(arrays["times"]) <= 0):
        raise ValueError("'times' does not ascend")
    if not frames or not _are_shots(arrays.get("shots", np.zeros(1, int)), frames):
        raise ValueError("it has no frame, or 'shots' does not ascend from 0")
    for names in _TOGETHER:
        if 0 < len(arrays.keys() & {*names}) < len(names):
            raise ValueError(f"it has only some of {', '.join(names)}")
    if "mask_to_frame" in arrays and not _are_places(arrays["mask_to_frame"]):
        raise ValueError("'mask_to_frame' maps a mask to a line or a point")
    if "background_starts" in arrays:
        _check_background(arrays, frames)
    return arrays


def _expected(arrays: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> shape and kinds of numbers."""
    frames = arrays["seen"].size
    side = arrays["masks"].shape[-1] if "masks" in arrays and arrays["masks"].ndim else 0
    flow = (max(frames - 1, 0), 2, SIDE, SIDE)

    def count(name: str) -> int:
        return arrays[name].size if name in arrays else 0

    return {
        "seen": ((frames,), "b"),
        "landmarks_2d": ((frames, NUM_LANDMARKS, 3), "f"),
        "landmarks_3d": ((frames, NUM_LANDMARKS, 3), "f"),
        "image_size": ((2,), "fiu"),
        "focal_length": ((), "fiu"),
        "fps": ((), "fiu"),
        "times": ((frames,), "fiu"),
        "shots": ((count("shots"),), "iu"),
        "focal_length_source": ((), "U"),
        "masks": ((frames, side, side), "u"),
        "mask_to_frame": ((frames, 2, 3), "f"),
        "flow": ((*flow, 2), "f"),
        "flow_valid": (flow, "b"),
        "flow_box": ((frames, 3), "f"),
        "features": ((frames, IMAGE_FEATURES), "f"),
        "backbone": ((), "U"),
        "first_frame": ((), "iu"),
        "doubts": ((count("doubts"),), "iu"),
        "background_points": ((count("background_ids"), 2), "f"),
        "background_ids": ((count("background_ids"),), "i"),
        "background_starts": ((count("background_starts"),), "iu"),
        "background_shots": ((count("background_shots"),), "iu"),
    }


def _are_shots(first: np.ndarray, frames: int) -> bool:
    """Whether the numbers are first frames of shots, ascending from 0."""
    return bool(first.size and first[0] == 0 and np.all(np.diff(first) > 0) and first[-1] < frames)


def _are_places(maps: np.ndarray) -> bool:
    """Whether each map (2, 3) of the unit square to px has an area, or is zero: nobody was seen."""
    areas = np.abs(np.linalg.det(maps[:, :, :2].astype(np.float64)))
    return bool(np.all((areas > LEAST_AREA) | ~maps.any(axis=(1, 2))))


def _check_background(arrays: dict[str, Any], frames: int) -> None:
    starts, first = arrays["background_starts"], arrays["background_shots"]
    points = arrays["background_ids"].size
    if not starts.size or starts[0] or np.any(np.diff(starts) < 0) or starts[-1] != points:
        raise ValueError("'background_starts' does not ascend from 0 to the number of points")
    if starts.size <= frames or not _are_shots(first, starts.size - 1):
        raise ValueError("the background has too few frames, or 'background_shots' does not ascend from 0")
