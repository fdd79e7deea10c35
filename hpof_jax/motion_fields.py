"""The fields of a motion: their shapes, types, defaults and checks. `hpof_jax.motion.Motion` says what they mean."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpof_jax.errors import UserError
from hpof_jax.geometry.numpy_rotations import are_rotations

# The shape of each array; None: the number of frames, T.
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "poses": (None, 72),
    "betas": (10,),
    "trans": (None, 3),
    "joints": (None, 24, 3),
    "keypoints_2d": (None, 33, 3),
    "cam": (None, 3),
    "box": (None, 3),
    "confidence": (None,),
    "frame_index": (None,),
    "times": (None,),
    "camera_rotation": (None, 3, 3),
    "camera_position": (None, 3),
    "image_size": (2,),
    "focal_length": (),
    "mocap_framerate": (),
}
_INTEGERS = ("frame_index", "image_size")
_SCALARS = ("focal_length", "mocap_framerate")
_DOUBLES = ("times",)  # after an hour, float32 seconds are 0.2 ms apart
_TEXTS = ("gender", "body", "focal_length_source", "camera_motion", "gravity_source")


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as a motion holds them: with defaults, and with the types of the arrays.

    Raises:
      UserError: see `Motion`.
    """
    frames = np.shape(fields["poses"])[0] if np.ndim(fields["poses"]) else 0
    values = {**fields, **_defaults(fields, frames)}
    for name, shape in _SHAPES.items():
        values[name] = _array(name, values[name], tuple(frames if side is None else side for side in shape))
    if not are_rotations(values["camera_rotation"].astype(np.float64), 1e-3):
        raise _wrong("camera_rotation", "holds something else than rotations")
    for name in _SCALARS:
        # They stay Python floats: 29.97 in float32 is another frame rate.
        values[name] = float(fields[name])
        if values[name] <= 0:
            raise _wrong(name, f"is {values[name]}, but must be positive")
    for name in ("frame_index", "times"):
        if np.any(np.diff(values[name]) <= 0):
            raise _wrong(name, "does not ascend from frame to frame")
    for name in _TEXTS:
        values[name] = str(values[name])
    sigma = np.asarray(values["gravity_sigma"])
    if sigma.shape != () or not _is_number(sigma) or not np.isfinite(sigma):
        raise _wrong("gravity_sigma", "is no number")
    values["gravity_sigma"] = float(sigma)
    if values["world_to_camera"] is not None:
        values["world_to_camera"] = _rigid("world_to_camera", values["world_to_camera"])
    return values


def _defaults(fields: Mapping[str, Any], frames: int) -> dict[str, np.ndarray]:
    """The arrays that are None: a camera that stands still, and times at the frame rate."""
    index, rate = np.asarray(fields["frame_index"]), np.asarray(fields["mocap_framerate"])
    usable = (
        rate.shape == () and _is_number(rate) and rate > 0 and _is_number(index)
    )  # else it is refused later
    defaults: dict[str, Any] = {
        "times": index / np.float64(rate) if usable else np.zeros(index.shape),
        "camera_rotation": np.tile(np.eye(3, dtype=np.float32), (frames, 1, 1)),
        "camera_position": np.zeros((frames, 3), np.float32),
    }
    return {name: value for name, value in defaults.items() if fields[name] is None}


def _array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value)
    if array.shape != shape:
        raise _wrong(name, f"has shape {array.shape} instead of {shape}")
    if not _is_number(array) or not np.all(np.isfinite(array)):
        raise _wrong(name, "holds something other than finite numbers")
    kind = np.int64 if name in _INTEGERS else np.float64 if name in _DOUBLES else np.float32
    return array.astype(kind, copy=False)


def _rigid(name: str, value: Any) -> np.ndarray:
    pose = np.asarray(value)
    if pose.shape != (4, 4) or not _is_number(pose) or not are_rotations(pose[:3, :3], 1e-4):
        raise _wrong(name, "is no rigid transform (4, 4)")
    return pose.astype(np.float64)


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind in "fiu"


def _wrong(name: str, what: str) -> UserError:
    return UserError(f"'{name}' of the motion {what}: make it again.")
