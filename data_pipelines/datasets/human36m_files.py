"""The files in which Human3.6M's poses come: its own, and those that others made of it.

| layout | files of a subject | what they hold |
|---|---|---|
| Human3.6M's own | MyPoseFeatures/{D3_Positions_mono,D2_Positions}/*.cdf | each camera: its frame, and pixels |
| its archives, unpacked by h36m-fetch | Poses_{D3_Positions_mono,D2_Positions}/*.cdf | the same |
| h5 files of 3d-pose-baseline | MyPoses/3D_positions/*.h5 | the world; `human36m_cameras` gives the cameras |
| h5 files of h36m-fetch | ACTION-{1,2}/annot.h5 | each camera: its frame, and pixels, of some frames |
"""

import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.human36m_cameras import FILES, read_camera
from data_pipelines.datasets.loaders import Hdf5, numbered_pictures, open_hdf5, read_cdf, reading

WHAT = "a readable file of Human3.6M"
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
JOINTS = 32
# A damaged video, as every user of the data set finds. h36m-fetch counts the recordings of an action.
CORRUPT = {("S11", "Directions", "54138969"), ("S11", "Directions-2", "54138969")}
SOLID = ("MyPoseFeatures/D3_Positions_mono", "Poses_D3_Positions_mono")
ACTIONS_EACH = 30  # of each subject: 15 actions, twice
FPS = 50.0
STEP = 2  # every second frame is taken
LONGEST_STEP = 5  # fewer than 10 frames/s are no video
# S1's names of two actions, which 3d-pose-baseline changes to those of the others.
RENAMED = {"Photo": "TakingPhoto", "WalkDog": "WalkingDog"}


class Points(NamedTuple):
    """The points of a recording in one camera, of T frames that are evenly spaced."""

    solid: np.ndarray  # (T, 32, 3) metres, in the camera's frame
    flat: np.ndarray  # (T, 32, 2) px
    frame_index: np.ndarray  # (T,) of the video, or places among the pictures
    fps: float


def find(folder: pathlib.Path, split: str) -> base.Found:
    """The units of a subject's folder, such as S1/."""
    solid = next((folder / name for name in SOLID if (folder / name).is_dir()), None)
    for pattern, look in (("MyPoses/3D_positions", _find_baseline), ("*/annot.h5", _find_fetched)):
        if solid is None and any(folder.glob(pattern)):
            return look(folder, split)
    return _find_own(folder, solid or folder / SOLID[0], split)


def read(unit: base.Unit) -> Points:
    if unit.path.suffix == ".cdf":
        return _read_own(unit)
    return _read_fetched(unit) if unit.path.name == "annot.h5" else _read_baseline(unit)


def names_of(action: str) -> Iterator[str]:
    """The names that an action, such as "Photo 1", may have in other files."""
    yield action
    for new, old in RENAMED.items():
        if new in action or old in action:
            yield action.replace(old, new) if old in action else action.replace(new, old)


def subject_of(unit: base.Unit) -> pathlib.Path:
    """The folder of the unit's subject."""
    return next(folder for folder in unit.path.parents if re.fullmatch(r"S\d+", folder.name))


def _find_own(folder: pathlib.Path, solid: pathlib.Path, split: str) -> base.Found:
    units, missing = [], []
    files = [path for path in sorted(solid.glob("*.cdf")) if not path.name.startswith("_ALL")]
    if len(files) < 4 * ACTIONS_EACH:
        missing.append(f"{4 * ACTIONS_EACH - len(files)} of 120 files of {solid.relative_to(folder.parent)}/")
    for path in files:
        action, camera = path.stem.rsplit(".", 1) if "." in path.stem else (path.stem, "")
        if camera not in CAMERAS or (folder.name, action, camera) in CORRUPT:
            continue
        if not _flat(path).is_file():
            missing.append(str(_flat(path).relative_to(folder.parent)))
            continue
        units.append(_unit(folder, split, path, action, camera, missing))
    return base.Found(units, missing)


def _find_baseline(folder: pathlib.Path, split: str) -> base.Found:
    units, missing = [], []
    files = sorted((folder / "MyPoses" / "3D_positions").glob("*.h5"))
    if len(files) < ACTIONS_EACH:
        missing.append(
            f"{ACTIONS_EACH - len(files)} of {ACTIONS_EACH} files of {folder.name}/MyPoses/3D_positions/"
        )
    if not any((folder.parent / name).is_file() for name in FILES):
        missing.append(" or ".join(FILES))
    for path in files:
        for camera in CAMERAS:
            if (folder.name, path.stem, camera) not in CORRUPT:
                units.append(_unit(folder, split, path, path.stem, camera, missing))
    return base.Found(units, missing)


def _find_fetched(folder: pathlib.Path, split: str) -> base.Found:
    units, missing = [], []
    files = sorted(folder.glob("*/annot.h5"))
    if len(files) < ACTIONS_EACH:
        missing.append(
            f"{ACTIONS_EACH - len(files)} of {ACTIONS_EACH} files of {folder.name}/ACTION/annot.h5"
        )
    for path in files:
        for camera in CAMERAS:
            action, frames = path.parent.name, path.parent / "imageSequence" / camera
            if (folder.name, action, camera) in CORRUPT:
                continue
            if not frames.is_dir():
                missing.append(f"{folder.name}/{action}/imageSequence/{camera}/")
            name, part = f"{folder.name}_{action}_{camera}", f"{action}.{camera}"
            units.append(base.Unit(name, split, path, frames if frames.is_dir() else None, part))
    return base.Found(units, missing)


def _unit(
    folder: pathlib.Path, split: str, path: pathlib.Path, action: str, camera: str, missing: list[str]
) -> base.Unit:
    """A unit with its video; what is not there is added to `missing`."""
    videos = [folder / "Videos" / f"{name}.{camera}.mp4" for name in names_of(action)]
    video = next((video for video in videos if video.is_file()), None)
    if video is None:
        missing.append(f"{folder.name}/Videos/{videos[0].name}")
    name = f"{folder.name}_{action.replace(' ', '_')}_{camera}"
    return base.Unit(name, split, path, video, f"{action}.{camera}")


def _flat(solid: pathlib.Path) -> pathlib.Path:
    """The file of the points in 2D beside one of those in 3D."""
    return solid.parent.with_name(solid.parent.name.replace("D3_Positions_mono", "D2_Positions")) / solid.name


def _read_own(unit: base.Unit) -> Points:
    solid, flat = (read_cdf(path, "Pose", WHAT) for path in (unit.path, _flat(unit.path)))
    with reading(unit.path, WHAT):
        if len(solid) != len(flat):
            raise ValueError(f"{len(flat)} frames in 2D and {len(solid)} in 3D")
        solid, flat = solid.reshape(-1, JOINTS, 3) / 1000, flat.reshape(-1, JOINTS, 2)
        return _every_second(solid, flat)


def _read_baseline(unit: base.Unit) -> Points:
    """`3D_positions` (96, T): millimetres in the world, z up."""
    subject = subject_of(unit)
    number = CAMERAS.index(unit.part.rsplit(".", 1)[1]) + 1
    camera = read_camera(subject.parent, int(subject.name[1:]), number)
    with open_hdf5(unit.path, WHAT) as file, reading(unit.path, WHAT):
        points = file.read("3D_positions").astype(np.float64).reshape(JOINTS, 3, -1).transpose(2, 0, 1)
        return _every_second(*camera.see(points / 1000))


def _read_fetched(unit: base.Unit) -> Points:
    """`pose/2d` and `pose/3d` of the rows of one camera; `frame` counts from 1.

    `pose/3d-univ` is not taken: its people are scaled to one size.
    """
    places = numbered_pictures(unit.frames, WHAT) if unit.frames else None
    with open_hdf5(unit.path, WHAT) as file, reading(unit.path, WHAT):
        solid, flat, numbers = _rows(file, int(unit.part.rsplit(".", 1)[1]))
        if len(numbers) < 2:
            raise ValueError(f"{len(numbers)} frames of camera {unit.part.rsplit('.', 1)[1]}")
        step = int(numbers[1] - numbers[0])
        if not 1 <= step <= LONGEST_STEP or (np.diff(numbers) != step).any():
            raise ValueError(
                "its frames are no video: let h36m-fetch process every frame, by "
                "select_frame_indices_to_include in its process_all.py"
            )
        if places is not None and (lost := [number for number in numbers.tolist() if number not in places]):
            raise ValueError(f"picture {lost[0]} is not in {unit.frames}")
        taken = slice(None, None, STEP if step == 1 else 1)
        solid, flat, numbers = solid[taken], flat[taken], numbers[taken]
        index = numbers - 1 if places is None else [places[number] for number in numbers.tolist()]
        return Points(solid / 1000, flat, np.asarray(index, np.int64), FPS / max(step, STEP))


def _rows(file: Hdf5, camera: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a camera: points (T, 32, 3) mm and (T, 32, 2) px, and the numbers of the frames."""
    numbers = file.read("frame").reshape(-1).astype(np.int64)
    there = file.read("camera").reshape(len(numbers)) == camera
    solid = file.read("pose/3d").astype(np.float64).reshape(len(numbers), JOINTS, 3)
    flat = file.read("pose/2d").astype(np.float64).reshape(len(numbers), JOINTS, 2)
    return solid[there], flat[there], numbers[there]


def _every_second(solid: np.ndarray, flat: np.ndarray) -> Points:
    return Points(solid[::STEP], flat[::STEP], np.arange(0, len(solid), STEP), FPS / STEP)
