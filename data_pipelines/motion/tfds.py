"""Motion as a tfds data set, which tensorflow_datasets opens without this package.

python -m hpof_jax.data records --motion bvh:recordings/ --out /data/my_motion

builder = tfds.builder_from_directory("/data/my_motion/1.0.0")
sources = {"tfds:/data/my_motion": 1.0}  # of `stream.make_stream`
"""

import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from data_pipelines.motion.clip import FPS, MotionClip
from hpof_jax.errors import UserError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
VERSION = "1.0.0"
SPLITS = ("train", "validation")


def write_records(splits: Mapping[str, Iterable[MotionClip]], directory: str | os.PathLike) -> pathlib.Path:
    """Writes clips as a tfds data set named after the folder.

    Each example is one clip: name and motion_class (text), fps, pose (T, 24, 3) float32 axis-angle (world, y
    up), transl (T, 3) float32 the pelvis in metres, betas (10,) float32, and has_betas. Without has_betas,
    betas are zero.

    Args:
      splits: split -> clips. A split without clips is left out.
      directory: the data set's folder. It must be empty or not exist.

    Returns:
      the folder for `tfds.builder_from_directory`: `directory`/1.0.0.

    Raises:
      UserError: there is no clip, tfds does not accept the folder's name, or the folder is not empty.
    """
    import tensorflow_datasets as tfds

    directory = pathlib.Path(directory).expanduser()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", directory.name):
        raise UserError(
            f"'{directory.name}' cannot name a data set: use lower-case letters, digits and _ in the "
            "name of the folder."
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"{directory} exists already: give a new folder for the data set.")
    splits = {name: list(clips) for name, clips in splits.items()}
    splits = {name: clips for name, clips in splits.items() if clips}
    if not splits:
        raise UserError(f"There is no clip to write to {directory}: give a motion source that has clips.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Only a complete data set is moved to its place, so a stopped run leaves none that is incomplete.
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as partial:
        tfds.dataset_builders.store_as_tfds_dataset(
            name=directory.name,
            version=VERSION,
            description="Human motion: SMPL pose parameters and pelvis paths at 30 frames/s.",
            features=_features(tfds),
            split_datasets={name: list(_examples(clips)) for name, clips in splits.items()},
            data_dir=partial,
            disable_shuffling=True,
        )
        if directory.exists():
            directory.rmdir()
        shutil.move(os.path.join(partial, directory.name), directory)
    return directory / VERSION


def read_records(directory: str | os.PathLike, split: str = "all") -> list[MotionClip]:
    """Reads the clips of a data set.

    Args:
      directory: the folder that was given to `write_records`, or that it returned.
      split: "train", "validation" or "all".

    Raises:
      UserError: there is no such data set in the folder.
    """
    import tensorflow_datasets as tfds

    directory = pathlib.Path(directory).expanduser()
    versions = sorted(path.parent for path in directory.glob("*/dataset_info.json"))
    if (directory / "dataset_info.json").is_file():
        versions = [directory]
    if not versions:
        raise UserError(
            f"There is no tfds data set in {directory}: write one with python -m hpof_jax.data records."
        )
    builder = tfds.builder_from_directory(versions[-1])
    missing = set(_features(tfds)) - set(builder.info.features or ())
    if missing:
        raise UserError(
            f"The data set in {directory} has no {', '.join(sorted(missing))}, so it holds no motion: "
            "give another one."
        )
    wanted = [name for name in builder.info.splits if split in ("all", name)]
    examples = (example for name in wanted for example in tfds.as_numpy(builder.as_dataset(split=name)))
    return [_to_clip(example, directory) for example in examples]


def _features(tfds):
    tensor = tfds.features.Tensor
    return tfds.features.FeaturesDict(
        {
            "name": tfds.features.Text(),
            "motion_class": tfds.features.Text(),
            "fps": np.float32,
            "pose": tensor(shape=(None, 24, 3), dtype=np.float32),
            "transl": tensor(shape=(None, 3), dtype=np.float32),
            "betas": tensor(shape=(10,), dtype=np.float32),
            "has_betas": np.bool_,
        }
    )


def _examples(clips: Sequence[MotionClip]) -> Iterator[tuple[int, dict]]:
    for number, clip in enumerate(clips):
        yield (
            number,
            {
                "name": clip.name,
                "motion_class": clip.motion_class,
                "fps": np.float32(FPS),
                "pose": clip.pose,
                "transl": clip.transl,
                "betas": np.zeros(10, np.float32) if clip.betas is None else clip.betas,
                "has_betas": clip.betas is not None,
            },
        )


def _to_clip(example: dict, directory: pathlib.Path) -> MotionClip:
    name = example["name"].decode()
    if example["fps"] != FPS:
        raise UserError(
            f"{name} in {directory} has {example['fps']} frames/s instead of {FPS}: write the data set again."
        )
    betas = example["betas"] if example["has_betas"] else None
    return MotionClip(name, example["motion_class"].decode(), example["pose"], example["transl"], betas)
