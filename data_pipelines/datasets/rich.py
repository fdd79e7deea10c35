"""RICH (Huang et al., CVPR 2022): people and scenes, fixed calibrated cameras, SMPL-X; for evaluation on its test split.

SMPL-X's pose parameters of the body are taken as SMPL's, as in `predictions`. Its betas mean nothing on SMPL, so the
evaluation poses the mean shape. Boxes are those of the mean skeleton.
"""

import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.loaders import array, numbered_pictures, read_pickle, read_text, reading
from data_pipelines.motion.skeleton import joint_positions
from hpof_jax.observe.video import read_video

WHAT = "a readable file of RICH"
COUNT = 52  # test sequences
FPS = 30.0
BODY_JOINTS = 22


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    """Nothing but the test split is read."""
    if "test" not in splits:
        return base.Found([], [])
    units, missing = [], []
    bodies = sorted(path for path in (raw / "bodies" / "test").glob("*") if path.is_dir())
    if len(bodies) < COUNT:
        missing.append(f"{COUNT - len(bodies)} of {COUNT} folders bodies/test/SEQUENCE/")
    for sequence in bodies:
        place = sequence.name.split("_")[0]
        cameras = sorted((raw / "scan_calibration" / place / "calibration").glob("*.xml"))
        if not cameras:
            missing.append(f"scan_calibration/{place}/calibration/*.xml")
        for camera in cameras:
            number = int(camera.stem)
            frames = raw / "images" / "test" / sequence.name / f"cam_{number:02d}"
            if not frames.is_dir():
                missing.append(f"images/test/{sequence.name}/{frames.name}/")
            name = f"{sequence.name}_{number:02d}"
            units.append(base.Unit(name, "test", sequence, frames if frames.is_dir() else None, str(camera)))
    return base.Found(units, missing)


def read(unit: base.Unit) -> base.Reading:
    camera, intrinsics = _calibration(pathlib.Path(unit.part))
    people: dict[str, dict[int, pathlib.Path]] = {}
    for path in sorted(unit.path.glob("*/*.pkl")):
        with reading(path, WHAT):
            people.setdefault(path.stem, {})[int(path.parent.name)] = path
    places, size = _frames(unit, people, intrinsics)
    found = []
    for name, files in sorted(people.items()):
        files = {number: path for number, path in sorted(files.items()) if number in places}
        frames = np.array([places[number] for number in files], np.int64)
        found.append(_person(unit, name, list(files.values()), frames, camera, intrinsics, size))
    return base.Reading(found, unit.frames and (lambda: read_video(unit.frames)[0]))


def _person(
    unit: base.Unit,
    name: str,
    files: list[pathlib.Path],
    frames: np.ndarray,
    camera: np.ndarray,
    intrinsics: np.ndarray,
    size: tuple[float, float],
) -> base.Sequence:
    rows = [_parameters(path) for path in files]
    with reading(unit.path, WHAT):
        if not rows:
            raise ValueError("none of its people is in the pictures")
        pose, trans = (np.stack(column).astype(np.float64) for column in zip(*rows, strict=True))
        world_to_camera = np.broadcast_to(camera, (len(pose), 3, 4)).copy()
        pose, transl = base.into_camera(pose, trans, base.SMPL_PELVIS, world_to_camera)
        joints = joint_positions(pose, transl + base.SMPL_PELVIS)
        there = np.repeat(joints[..., 2].min(axis=1, keepdims=True) > 0.1, 24, axis=1)
        boxes = base.boxes_of(base.project(joints, intrinsics), there, size)
        return base.checked(
            base.Sequence(
                person=name,
                fps=FPS,
                image_size=size,
                frame_index=frames,
                valid=boxes[:, 2] > 0,
                boxes=boxes,
                focal_length=float(intrinsics[0, 0] + intrinsics[1, 1]) / 2,
                principal_point=(float(intrinsics[0, 2]), float(intrinsics[1, 2])),
                pose=pose,
                transl=transl,
                betas=np.zeros(10),
                body="smplx",
                world_to_camera=world_to_camera,
                motion_class="rich",
            )
        )


def _parameters(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """SMPL-X's pose of the body as SMPL's, (24, 3), and its translation (3,)."""
    content = read_pickle(path, WHAT)
    with reading(path, WHAT):
        parts = [array(content, name).reshape(-1, 3) for name in ("global_orient", "body_pose")]
        pose = np.zeros((24, 3))
        pose[:BODY_JOINTS] = np.concatenate(parts)
        return pose, array(content, "transl").reshape(3)


def _calibration(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """World to camera (3, 4) and intrinsics (3, 3), from a file of OpenCV."""
    text = read_text(path, WHAT)
    with reading(path, WHAT):
        try:
            root = ET.fromstring(text)
        except ET.ParseError as error:
            raise ValueError(str(error)) from error
        found = []
        for name, shape in (("CameraMatrix", (3, 4)), ("Intrinsics", (3, 3))):
            data = root.find(f"{name}/data")
            if data is None or not data.text:
                raise ValueError(f"it has no '{name}'")
            found.append(np.array(data.text.split(), np.float64).reshape(shape))
        base.check_rotations(found[0][:, :3])
        return found[0], found[1]


def _frames(
    unit: base.Unit, people: dict, intrinsics: np.ndarray
) -> tuple[dict[int, int], tuple[float, float]]:
    """Number of each frame -> its place among the pictures, and the pictures' size."""
    if unit.frames:
        places = numbered_pictures(unit.frames, WHAT)
        height, width = read_video(unit.frames, max_frames=1)[1].image_size
    else:
        numbers = sorted({number for files in people.values() for number in files})
        places = {number: place for place, number in enumerate(numbers)}
        width, height = np.round(2 * intrinsics[:2, 2])
    return places, (float(height), float(width))


DATASET = base.DataSet(
    name="rich",
    title="RICH",
    url="https://rich.is.tue.mpg.de/",
    licence="its own, for non-commercial scientific research; an account is needed",
    citation="Huang, Yi, Höschle, Safroshkin, Alexiadis, Polikovsky, Scharstein and Black: "
    "Capturing and Inferring Dense Full-Body Human-Scene Contact, CVPR 2022",
    files=(
        base.File("bodies/test/SEQUENCE/FRAME/PERSON.pkl", "the bodies of the test split: 52 sequences"),
        base.File("scan_calibration/PLACE/calibration/*.xml", "the scans and calibrations"),
        base.File("images/test/SEQUENCE/cam_*/*", "the images of the test split, .bmp and .png or .jpeg"),
    ),
    find=find,
    read=read,
)
