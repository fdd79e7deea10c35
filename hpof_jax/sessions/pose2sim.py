"""Pose2Sim's sessions (Pagnon et al., JOSS 2022): a trial, or a folder of trials.

```
session/ Config.toml  calibration/*.toml or *.qca.txt
         videos/cam01.mp4 ...  pose-3d/*.trc  kinematics/*.mot         (one trial), or
         Trial_1/ videos/  pose-3d/  kinematics/                       (several)
```
"""

import pathlib
import tomllib
import xml.etree.ElementTree as ElementTree
from typing import Any

import cv2
import numpy as np

from hpof_jax.archives import damage
from hpof_jax.errors import UserError
from hpof_jax.sessions.session import VIDEOS, Camera, Session, Trial, by_numbers

LARGEST = 2**22  # bytes of a configuration or calibration
_CURE = "calibrate with Pose2Sim again, or leave the folder 'calibration' out"


def is_session(folder: pathlib.Path) -> bool:
    """Whether Pose2Sim wrote the folder."""
    return (folder / "Config.toml").is_file() or (folder / "pose-3d").is_dir()


def read(folder: pathlib.Path) -> Session:
    """Raises UserError: a damaged configuration or calibration."""
    cameras = _cameras(folder)
    folders = [folder] if _has_trial(folder) else [*filter(_has_trial, sorted(folder.iterdir()))]
    trials = {one.resolve().name: _trial(one, [*cameras]) for one in folders}
    return Session("Pose2Sim", trials, cameras, _stature(folder))


def _has_trial(folder: pathlib.Path) -> bool:
    return any((folder / name).is_dir() for name in ("videos", "pose-3d"))


def _trial(folder: pathlib.Path, cameras: list[str]) -> Trial:
    paths = sorted(_files(folder / "videos", VIDEOS), key=lambda path: by_numbers(path.stem))
    names = [path.stem for path in paths]
    # Pose2Sim itself matches videos and cameras by their order.
    if len(cameras) == len(names) and not {*names} <= {*cameras}:
        names = cameras
    return Trial(
        folder.resolve().name,
        dict(zip(names, paths)),
        _best_first(folder / "pose-3d", ".trc"),
        _best_first(folder / "kinematics", ".mot"),
    )


def _best_first(folder: pathlib.Path, ending: str) -> tuple[pathlib.Path, ...]:
    """Markers of the augmentation (LSTM) before filtered keypoints, and these before unfiltered ones."""

    def rank(path: pathlib.Path) -> tuple[bool, bool, str]:
        return "LSTM" not in path.stem, "filt" not in path.stem, path.name

    return tuple(sorted(_files(folder, {ending}), key=rank))


def _files(folder: pathlib.Path, endings) -> list[pathlib.Path]:
    return (
        [path for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file()]
        if folder.is_dir()
        else []
    )


def _stature(folder: pathlib.Path) -> float | None:
    """`participant_height` in metres; Pose2Sim also takes 'auto', and a list of several people."""
    path = folder / "Config.toml"
    if not path.is_file():
        return None
    with damage(path, "a Config.toml of Pose2Sim", "correct it"):
        height = _toml(path).get("project", {}).get("participant_height")
    return float(height) if isinstance(height, int | float) and 0.5 < height < 2.6 else None


def _cameras(folder: pathlib.Path) -> dict[str, Camera]:
    """From the session's folder, or the one above it, as Pose2Sim looks for it."""
    for place in (folder, folder.resolve().parent):
        calibration = next((path for path in sorted(place.glob("[Cc]alib*")) if path.is_dir()), None)
        if calibration is None:
            continue
        for pattern, reader in (("*.toml", _read_toml), ("*.qca.txt", read_qualisys)):
            for path in sorted(calibration.glob(pattern)):
                with damage(path, "a calibration", _CURE):
                    cameras = reader(path)
                    return {
                        camera.name: camera for camera in sorted(cameras, key=lambda c: by_numbers(c.name))
                    }
    return {}


def _toml(path: pathlib.Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST:
        raise ValueError("it is too large")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _read_toml(path: pathlib.Path) -> list[Camera]:
    cameras = []
    for section, values in _toml(path).items():
        if not isinstance(values, dict) or "matrix" not in values:
            continue  # such as [metadata]
        width, height = values["size"]
        turn, shift = (np.array(values[name], float).reshape(3) for name in ("rotation", "translation"))
        cameras.append(
            checked(
                Camera(
                    str(values.get("name", section)),
                    np.array([height, width], float),
                    np.array(values["matrix"], float).reshape(3, 3),
                    np.array(values["distortions"], float).reshape(-1),
                    cv2.Rodrigues(turn)[0],
                    shift,
                )
            )
        )
    if not cameras:
        raise ValueError("it has no camera")
    return cameras


def read_qualisys(path: pathlib.Path) -> list[Camera]:
    """The cameras of a Qualisys `.qca.txt` file: lengths in mm, intrinsics in 64ths of a pixel."""
    if path.stat().st_size > LARGEST:
        raise ValueError("it is too large")
    text = path.read_text(encoding="utf-8", errors="replace")
    if "<!ENTITY" in text:
        raise UserError(f"{path} defines XML entities, which no calibration needs: do not use it.")
    cameras = []
    try:
        for number, node in enumerate(ElementTree.fromstring(text).iter("camera"), 1):
            pose = {key: float(value) for key, value in node.find("transform").attrib.items()}
            lens = {key: float(value) for key, value in node.find("intrinsic").attrib.items()}
            cameras.append(_of_qualisys(node.get("serial") or f"cam{number:02d}", pose, lens))
    except (ElementTree.ParseError, AttributeError) as error:
        raise ValueError(f"no Qualisys calibration: {error}") from error
    if not cameras:
        raise ValueError("it has no camera")
    return cameras


def _of_qualisys(name: str, pose: dict[str, float], lens: dict[str, float]) -> Camera:
    intrinsics = np.diag([lens["focalLengthU"] / 64, lens["focalLengthV"] / 64, 1.0])
    intrinsics[:2, 2] = lens["centerPointU"] / 64, lens["centerPointV"] / 64
    # A Qualisys camera looks along -z and has y up.
    rotation = np.diag([1.0, -1.0, -1.0]) @ [[pose[f"r{i}{j}"] for j in (1, 2, 3)] for i in (1, 2, 3)]
    position = np.array([pose["x"], pose["y"], pose["z"]]) / 1000
    parts = ("radialDistortion1", "radialDistortion2", "tangentalDistortion1", "tangentalDistortion2")
    size = [
        (lens[f"sensorMax{axis}"] - lens[f"sensorMin{axis}"]) / 64 if f"sensorMax{axis}" in lens else 0.0
        for axis in "VU"
    ]
    # Without the sensor's size, the principal point is about in the middle.
    size = [side or 2 * centre for side, centre in zip(size, intrinsics[[1, 0], 2])]
    return checked(
        Camera(
            name,
            np.round(size),
            intrinsics,
            np.array([lens[part] for part in parts]),
            rotation,
            -rotation @ position,
        )
    )


def checked(camera: Camera) -> Camera:
    """The camera; raises ValueError if a number is not finite, or the focal length or size is not positive."""
    numbers = (camera.image_size, camera.intrinsics, camera.distortion, camera.rotation, camera.translation)
    if not all(np.isfinite(array).all() for array in numbers):
        raise ValueError(f"numbers of {camera.name} are not finite")
    if min(*camera.image_size, camera.intrinsics[0, 0], camera.intrinsics[1, 1]) <= 0:
        raise ValueError(f"the focal length or picture size of {camera.name} is not positive")
    return camera
