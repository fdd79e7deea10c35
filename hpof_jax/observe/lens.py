"""The focal length of a video: given, from its metadata, or assumed."""

from typing import Any

import numpy as np

from hpof_jax.errors import UserError
from hpof_jax.geometry.camera import default_focal_length, focal_length_of_fov
from hpof_jax.observe.video import VideoInfo

MIN_FOV, MAX_FOV = 1.0, 170.0  # degrees, horizontal; beyond them, numbers overflow


def check_fov(fov: float) -> None:
    """Raises UserError unless a horizontal field of view in degrees is one of `MIN_FOV` to `MAX_FOV`."""
    if not MIN_FOV <= fov <= MAX_FOV:
        raise UserError(
            f"The field of view is {fov:g} degrees: give one between {MIN_FOV:g} and {MAX_FOV:g}."
        )


def check_one_given(focal_length: float | None, fov: float | None) -> None:
    """Raises UserError if both are given."""
    if focal_length is not None and fov is not None:
        raise UserError("Both a focal length and a field of view were given: give one of them.")


def find_lens(info: VideoInfo, focal_length: float | None = None) -> dict[str, Any]:
    """image_size, focal_length and focal_length_source of a video, as fields of `Observations`.

    Args:
      focal_length: pixels. None: from the file's metadata, or else `default_focal_length`.

    Raises:
      UserError: the focal length is out of range.
    """
    if focal_length is not None and not _is_plausible(focal_length, info.image_size):
        low, high = (focal_length_of_fov(fov, info.image_size[1]) for fov in (MAX_FOV, MIN_FOV))
        raise UserError(
            f"the focal length {focal_length:g} is out of range: give {low:.0f} to {high:.0f} pixels, or leave it out"
        )
    stated = info.focal_length if _is_plausible(info.focal_length, info.image_size) else None
    return dict(
        image_size=np.array(info.image_size, np.float32),
        focal_length=np.float32(focal_length or stated or default_focal_length(np.array(info.image_size))),
        focal_length_source="given" if focal_length else "metadata" if stated else "assumed",
    )


def _is_plausible(focal_length: float | None, image_size: tuple[int, int]) -> bool:
    """Whether a focal length in pixels is one of `MIN_FOV` to `MAX_FOV`."""
    if focal_length is None or not focal_length > 0:
        return False
    return MIN_FOV <= np.degrees(2 * np.arctan(image_size[1] / (2 * focal_length))) <= MAX_FOV
