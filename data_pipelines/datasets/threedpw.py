"""3DPW (von Marcard et al., ECCV 2018): video of people outdoors, with SMPL from IMUs and the moving camera."""

import pathlib
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.loaders import array, read_pickle, reading, take
from hpof_jax.observe.video import read_video

WHAT = "a readable sequence of 3DPW"
FPS = 30.0
COUNTS = {"train": 24, "validation": 12, "test": 24}
_GENDERS = {"m": "male", "f": "female"}


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    units, missing = [], []
    for split, count in ((split, count) for split, count in COUNTS.items() if split in splits):
        files = sorted((raw / "sequenceFiles" / split).glob("*.pkl"))
        if len(files) < count:
            missing.append(f"{count - len(files)} of {count} files sequenceFiles/{split}/*.pkl")
        for path in files:
            frames = raw / "imageFiles" / path.stem
            if not frames.is_dir():
                missing.append(f"imageFiles/{path.stem}/")
            units.append(base.Unit(path.stem, split, path, frames if frames.is_dir() else None))
    return base.Found(units, missing)


def read(unit: base.Unit) -> base.Reading:
    """Both people of a sequence. Frames whose camera was not aligned are not valid: their pose has no camera."""
    content = read_pickle(unit.path, WHAT)
    with reading(unit.path, WHAT):
        cameras, intrinsics = array(content, "cam_poses"), array(content, "cam_intrinsics")
        if cameras.shape[1:] != (4, 4) or intrinsics.shape != (3, 3):
            raise ValueError(f"cameras of shape {cameras.shape} and {intrinsics.shape}")
        people = [
            base.checked(_person(content, number, cameras[:, :3], intrinsics))
            for number in range(len(take(content, "poses")))
        ]
    return base.Reading(people, unit.frames and (lambda: read_video(unit.frames)[0]))


def _person(content: dict, number: int, cameras: np.ndarray, intrinsics: np.ndarray) -> base.Sequence:
    def part(key: str) -> np.ndarray:
        return array(content, key, number)

    frames = len(cameras)
    valid = part("campose_valid").reshape(-1)[:frames].astype(bool)
    pose, transl = part("poses").reshape(frames, 24, 3), part("trans").reshape(frames, 3)
    joints = part("jointPositions").reshape(frames, 24, 3)
    pose, transl = base.into_camera(pose, transl, np.median(joints[:, 0] - transl, axis=0), cameras)
    joints = base.transform(joints, cameras)
    # The principal point is about the middle of the frame; the frames themselves say how large they are.
    width, height = np.round(2 * intrinsics[:2, 2])
    pixels = base.project(joints, intrinsics)
    in_front = np.repeat(valid[:, None] & (joints[..., 2].min(axis=1, keepdims=True) > 0.1), 24, axis=1)
    return base.Sequence(
        person=str(number),
        fps=FPS,
        image_size=(height, width),
        frame_index=np.arange(frames),
        valid=valid,
        boxes=base.boxes_of(pixels, in_front, (height, width)),
        focal_length=float((intrinsics[0, 0] + intrinsics[1, 1]) / 2),
        principal_point=(float(intrinsics[0, 2]), float(intrinsics[1, 2])),
        pose=pose,
        transl=transl,
        betas=part("betas").reshape(-1)[:10],  # the first ten: some have more
        gender=_GENDERS[str(content["genders"][number])],
        joints=joints,
        world_to_camera=cameras,
    )


DATASET = base.DataSet(
    name="3dpw",
    title="3D Poses in the Wild",
    url="https://virtualhumans.mpi-inf.mpg.de/3DPW/",
    licence="its own, for non-commercial scientific research; no registration, but the terms must be accepted",
    citation="von Marcard, Henschel, Black, Rosenhahn and Pons-Moll: "
    "Recovering Accurate 3D Human Pose in the Wild Using IMUs and a Moving Camera, ECCV 2018",
    files=(
        base.File("sequenceFiles/{train,validation,test}/*.pkl", "sequenceFiles.zip, unpacked: 60 files"),
        base.File("imageFiles/SEQUENCE/image_*.jpg", "imageFiles.zip, unpacked: 60 folders"),
    ),
    find=find,
    read=read,
)
