"""What a session folder holds, whichever program wrote it."""

import dataclasses
import pathlib
import re

import numpy as np

from hpof_jax.errors import UserError

VIDEOS = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"))


@dataclasses.dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera; x right, y down, z forward."""

    name: str
    image_size: np.ndarray  # (2,) [height, width] px of the calibration
    intrinsics: np.ndarray  # (3, 3)
    distortion: np.ndarray  # (4,) or (5,) as OpenCV has it
    rotation: np.ndarray  # (3, 3) world -> camera
    translation: np.ndarray  # (3,) metres, world -> camera

    def focal_length(self, image_size: np.ndarray) -> float:
        """The focal length in pixels of a video of that size (2,), [height, width], upright or turned."""
        return float(self.intrinsics[[0, 1], [0, 1]].mean() * max(image_size) / max(self.image_size))


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One recorded movement."""

    name: str
    videos: dict[str, pathlib.Path]  # by the name of the camera
    markers: tuple[pathlib.Path, ...]  # `.trc`, the best first
    kinematics: tuple[pathlib.Path, ...]  # `.mot`, the best first


@dataclasses.dataclass(frozen=True, eq=False)
class Session:
    """A recording of one person or more."""

    program: str  # "OpenCap" or "Pose2Sim"
    trials: dict[str, Trial]
    cameras: dict[str, Camera]
    stature: float | None = None  # metres, where the session says it

    def trial(self, name: str | None = None) -> Trial:
        """A trial by name; None: the only one.

        Raises:
          UserError: there is no such trial, or several and no name.
        """
        return _pick(self.trials, name, "trial")


def pick_video(trial: Trial, name: str | None) -> tuple[str, pathlib.Path]:
    """The camera's name and its video; None: the first camera.

    Raises:
      UserError: there is no such camera.
    """
    if not trial.videos:
        raise UserError(f"The trial {trial.name} has no video: give the motion with --predictions.")
    camera = next(iter(trial.videos)) if name is None else name
    return camera, _pick(trial.videos, camera, "camera")


def by_numbers(name: str) -> list[tuple[int, str]]:
    """A sort key: cam2 comes before cam10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _pick(found: dict, name: str | None, kind: str):
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        names = ", ".join([*found][:20])
        raise UserError(
            f"There is no {kind} {name}: give one of {names}."
            if name is not None
            else f"The session has several {kind}s: name one with --{kind}, of {names}."
        )
    return found[name]
