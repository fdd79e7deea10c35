"""OpenCap's sessions (Uhlrich et al., PLOS Comput. Biol. 2023), as its website gives them, and as its data sets.

```
session/ sessionMetadata.yaml  Videos/Cam0/cameraIntrinsicsExtrinsics.pickle
         Videos/Cam0/InputMedia/walk1/walk1.mov    (the data sets: VideoData/Session0/Cam0/walk1/walk1.avi)
         MarkerData/walk1.trc, or MarkerData/PostAugmentation/walk1.trc; of markers: MarkerData/Mocap/walk1.trc
         OpenSimData/Kinematics/walk1.mot; of markers: OpenSimData/Mocap/IK/walk1.mot
```
"""

import pathlib
from typing import Any

import numpy as np
import yaml

from hpof_jax.archives import damage
from hpof_jax.pickles import Purpose, read_pickled, to_array
from hpof_jax.sessions.pose2sim import checked
from hpof_jax.sessions.session import VIDEOS, Camera, Session, Trial, by_numbers

LARGEST = 2**20  # bytes of the metadata
_CALIBRATION = "cameraIntrinsicsExtrinsics.pickle"
_PURPOSE = Purpose("OpenCap's calibration", "calibration", "", "calibrate again, or remove the file")
_METADATA = "sessionMetadata.yaml"
_NO_TRIALS = ("calibration", "extrinsics", "neutral", "static")  # recorded for OpenCap's own use
_WORSE = ("preaugmentation",)  # folders whose files come last


def is_session(folder: pathlib.Path) -> bool:
    """Whether OpenCap wrote the folder."""
    return (folder / _METADATA).is_file() or (folder / "Videos" / "Cam0").is_dir()


def read(folder: pathlib.Path) -> Session:
    """Raises UserError: damaged metadata or calibration."""
    cameras = sorted(
        (
            path
            for place in ("Videos", "VideoData")
            for path in (folder / place).rglob("Cam*")
            if path.is_dir()
        ),
        key=lambda path: by_numbers(path.name),
    )
    videos: dict[str, dict[str, pathlib.Path]] = {}
    for camera in cameras:
        for path in sorted(_files(camera, VIDEOS), key=lambda path: "sync" not in path.stem):
            videos.setdefault(_trial_of(path, camera), {}).setdefault(camera.name, path)
    markers, kinematics = _by_trial(folder / "MarkerData", ".trc"), _by_trial(folder / "OpenSimData", ".mot")
    names = sorted({*videos, *markers}, key=by_numbers)
    trials = {
        name: Trial(name, videos.get(name, {}), markers.get(name, ()), kinematics.get(name, ()))
        for name in names
        if not name.lower().startswith(_NO_TRIALS)
    }
    calibrated = [_camera(path) for path in cameras if (path / _CALIBRATION).is_file()]
    return Session("OpenCap", trials, {camera.name: camera for camera in calibrated}, _stature(folder))


def _files(folder: pathlib.Path, endings) -> list[pathlib.Path]:
    """Below `folder`, without what OpenCap drew itself."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in endings
        and path.is_file()
        and not any(part.startswith("Output") for part in path.relative_to(folder).parts)
    ]


def _trial_of(video: pathlib.Path, camera: pathlib.Path) -> str:
    """The name of its folder, or that of the file where videos lie side by side."""
    if video.parent == camera or video.parent.name == "InputMedia":
        return video.stem.removesuffix("_sync").removesuffix("_syncd")
    return video.parent.name


def _by_trial(folder: pathlib.Path, ending: str) -> dict[str, tuple[pathlib.Path, ...]]:
    """The files of each trial: those of the markers (Mocap) first, then those of the videos."""

    def rank(path: pathlib.Path) -> tuple[bool, bool, str]:
        parts = [part.lower() for part in path.relative_to(folder).parts]
        return "mocap" not in parts, any(part.startswith(_WORSE) for part in parts), str(path)

    found: dict[str, tuple[pathlib.Path, ...]] = {}
    for path in sorted(_files(folder, {ending}), key=rank) if folder.is_dir() else []:
        found[path.stem] = (*found.get(path.stem, ()), path)
    return found


def _camera(folder: pathlib.Path) -> Camera:
    path = folder / _CALIBRATION
    content = read_pickled(path, _PURPOSE)
    with damage(path, _PURPOSE.what, _PURPOSE.cure):
        if not isinstance(content, dict):
            raise ValueError("it holds no dictionary")
        size, matrix, distortion, rotation, translation = (
            _numbers(content[name])
            for name in ("imageSize", "intrinsicMat", "distortion", "rotation", "translation")
        )
        return checked(
            Camera(
                folder.name,
                size.reshape(2),
                matrix.reshape(3, 3),
                distortion,
                rotation.reshape(3, 3),
                translation.reshape(3) / 1000,  # OpenCap writes mm
            )
        )


def _numbers(value: Any) -> np.ndarray:
    try:
        return np.asarray(to_array(value), float).reshape(-1)
    except (AttributeError, TypeError) as error:
        raise ValueError("it holds something else than numbers") from error


def _stature(folder: pathlib.Path) -> float | None:
    path = folder / _METADATA
    if not path.is_file():
        return None
    with damage(path, "OpenCap's metadata", "download it again"):
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from error
        if not isinstance(content, dict):
            raise ValueError("it holds no keys")
    height = content.get("height_m")
    return float(height) if isinstance(height, int | float) and 0.5 < height < 2.6 else None
