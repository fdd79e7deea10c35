"""The settings of a reconstruction: their types, defaults and checks. `hpof_jax.reconstruct` describes each."""

import dataclasses
import os
from typing import Any, TypedDict

from hpof_jax import export as exports
from hpof_jax import moving_camera, refine, visualize
from hpof_jax.errors import UserError
from hpof_jax.observe.lens import check_fov, check_one_given
from hpof_jax.stature import check_stature

_FILES = ("weights", "features", "body")  # the report has their hashes
_OUTPUT = ("overlay", "style", "layout", "side_view", "export", "progress")  # they do not change the motion

_Path = str | os.PathLike


class Options(TypedDict, total=False):
    """The types of all settings but `person`, for the overloads of `hpof_jax.reconstruct`."""

    landmark_model: str
    focal_length: float | None
    fov: float | None
    fps: float | None
    start: float | None
    end: float | None
    max_frames: int | None
    min_seen: float
    camera: str
    camera_pitch: float | None
    camera_roll: float | None
    camera_height: float | None
    height: float | None
    foot_lock: bool
    refine: str
    weights: _Path | None
    features: _Path | None
    body: _Path | None
    overlay: bool
    style: str
    layout: str
    side_view: bool
    export: str | None
    progress: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a reconstruction but the video and the folder.

    Raises:
      UserError: a setting is out of range, or two contradict each other.
    """

    person: str | int = "largest"
    landmark_model: str = "full"
    focal_length: float | None = None
    fov: float | None = None
    fps: float | None = None
    start: float | None = None
    end: float | None = None
    max_frames: int | None = None
    min_seen: float = 0.1
    camera: str = "auto"
    camera_pitch: float | None = None
    camera_roll: float | None = None
    camera_height: float | None = None
    height: float | None = None
    foot_lock: bool = True
    refine: str = "auto"
    weights: _Path | None = None
    features: _Path | None = None
    body: _Path | None = None
    overlay: bool = True
    style: str = "mesh"
    layout: str = "beside"
    side_view: bool = False
    export: str | None = None
    progress: bool = True

    def __post_init__(self):
        check_one_given(self.focal_length, self.fov)
        if self.fov is not None:
            check_fov(self.fov)
        if not 0 <= self.min_seen <= 1:
            raise UserError(
                f"The least share of seen frames is {self.min_seen}: give one from 0 to 1, such as 0.1."
            )
        if self.height is not None:
            check_stature(self.height)
            if self.everybody:
                raise UserError("A height is given, but there are several people: choose one with --person.")
        if self.export:
            exports.check_formats(self.export)
        visualize.check_look(self.style, self.layout)
        moving_camera.check_mode(self.camera)
        refine.check_mode(self.refine)

    @property
    def everybody(self) -> bool:
        """Whether all people are reconstructed, and not one of them."""
        return self.person == "all"

    @property
    def part(self) -> dict[str, Any]:
        """Which frames of the video are read: arguments of `observe.video.read_video`."""
        return self._named("max_frames", "fps", "start", "end")

    @property
    def scene(self) -> dict[str, Any]:
        """What is known of the person and the camera: arguments of `grounding.ground`."""
        return self._named("height", "foot_lock", "camera_pitch", "camera_roll", "camera_height")

    @property
    def look(self) -> dict[str, Any]:
        """What the overlay shows: arguments of `visualize.write_overlay`."""
        return self._named("style", "layout", "side_view")

    @property
    def decisive(self) -> dict[str, Any]:
        """The settings that decide the motion, without files."""
        return {name: value for name, value in vars(self).items() if name not in _FILES + _OUTPUT}

    def _named(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}
