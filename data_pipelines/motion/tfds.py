"""Motion as a tfds data set, which tensorflow_datasets opens without this package.

python -m hpof_jax.data records --motion bvh:recordings/ --out /data/my_motion

builder = tfds.builder_from_directory("/data/my_motion/1.0.0")
sources = {"tfds:/data/my_motion": 1.0}  # of `stream.make_stream`
"""

import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from absl import logging

from data_pipelines.motion.clip import FPS, MotionClip
from data_pipelines.motion.tfrecords import HEAD, find_records, parse_example
from hpof_jax.archives import damage
from hpof_jax.errors import UserError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
VERSION = "1.0.0"
SPLITS = ("train", "validation")
LARGEST_DESCRIPTION = 2**20  # bytes
LARGEST_RECORD = 2**27  # bytes: four hours of motion
MOST_FAILURES = 100  # damaged records after which the rest is left out
_KEYS = ("name", "motion_class", "fps", "pose", "transl", "betas", "has_betas")


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
            features=features(),
            split_datasets={name: list(examples(clips)) for name, clips in splits.items()},
            data_dir=partial,
            disable_shuffling=True,
        )
        if directory.exists():
            directory.rmdir()
        shutil.move(os.path.join(partial, directory.name), directory)
    return directory / VERSION


def read_records(directory: str | os.PathLike, split: str = "all") -> list[MotionClip]:
    """Reads the clips of a data set; damaged records are left out with a warning.

    Of the data set's own description only names are used, because TFDS imports the modules that it names.

    Args:
      directory: the folder that was given to `write_records`, or that it returned.
      split: "train", "validation" or "all".

    Raises:
      UserError: there is no such data set in the folder, or no clip of it can be read.
    """
    directory = pathlib.Path(directory).expanduser()
    versions = sorted(path.parent for path in directory.glob("*/dataset_info.json"))
    if (directory / "dataset_info.json").is_file():
        versions = [directory]
    if not versions:
        raise UserError(
            f"There is no tfds data set in {directory}: write one with python -m hpof_jax.data records."
        )
    folder = versions[-1]
    info, named = _description(folder)
    missing = set(_KEYS) - named
    if missing:
        raise UserError(
            f"The data set in {directory} has no {', '.join(sorted(missing))}, so it holds no motion: "
            "give another one."
        )
    clips: list[MotionClip] = []
    failures: list[str] = []
    for name, count in info.items():
        if split in ("all", name):
            found: list[MotionClip] = []
            before = len(failures)
            for file in sorted(folder.glob(f"*-{name}.tfrecord-*-of-*")):
                try:
                    with damage(file, "a readable file of clips", "write the data set again"):
                        _read_shard(file, found, failures)
                except UserError as error:
                    failures.append(str(error))
            if (lost := count - len(found) - (len(failures) - before)) > 0:
                missing = f"{lost} of {count} clips of the split '{name}'"
                failures.append(f"{missing} are not in {folder}: write the data set again.")
            clips += found
    for sentence in failures:
        logging.warning("Left out: %s", sentence)
    if failures and not clips:
        raise UserError(f"No clip of {directory} can be read; the first: {failures[0]}")
    return clips


def features():
    """The features of a clip, see `write_records`: a `tfds.features.FeaturesDict`."""
    import tensorflow_datasets as tfds

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


def examples(clips: Iterable[MotionClip]) -> Iterator[tuple[int, dict]]:
    """Number and example of each clip."""
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


def _description(folder: pathlib.Path) -> tuple[dict[str, int], set[str]]:
    """Split -> its number of clips, and the names of the features."""
    contents = []
    for name in ("dataset_info.json", "features.json"):
        with damage(folder / name, "the description of a data set", "write the data set again"):
            if (folder / name).stat().st_size > LARGEST_DESCRIPTION:
                raise ValueError("it is too large")
            contents.append(json.loads((folder / name).read_text(encoding="utf-8")))
    info, described = contents
    with damage(folder, "a readable data set", "write the data set again"):
        try:
            splits = {
                str(split["name"]): sum(map(int, split.get("shardLengths", ()))) for split in info["splits"]
            }
            named = {*described["featuresDict"]["features"]}
        except (TypeError, AttributeError) as error:
            raise ValueError("its description has no splits or features") from error
        if not all(re.fullmatch(r"\w+", name) for name in splits):  # they become part of a path
            raise ValueError("the name of a split is no word")
    return splits, named


def _read_shard(path: pathlib.Path, clips: list[MotionClip], failures: list[str]) -> None:
    """Adds the clips of a file to `clips`, and a sentence for each damaged record to `failures`."""
    from tensorflow.python.lib.io import tf_record  # has no public name

    reader = tf_record.tf_record_random_reader(str(path))
    for number, (start, size) in enumerate(find_records(path)):
        where = f"record {number} of {path}"
        try:
            with damage(where, "a readable clip of motion", "write the data set again"):
                if size > LARGEST_RECORD:
                    raise ValueError(f"it takes {size / 1e6:,.0f} MB")
                clips.append(_to_clip(_checked(reader, start)))
        except UserError as error:
            failures.append(str(error))
            if len(failures) >= MOST_FAILURES:
                return


def _checked(reader, start: int) -> bytes:
    """The content of a record that starts there."""
    import tensorflow as tf

    try:
        return reader.read(start - HEAD)[0]
    except tf.errors.OpError as error:
        raise ValueError("its checksum is wrong") from error


def _to_clip(content: bytes) -> MotionClip:
    values = parse_example(content)
    (fps,) = values["fps"].float_list.value
    if fps != FPS:
        raise ValueError(f"it has {fps:g} frames/s instead of {FPS}")
    name, motion_class = (values[key].bytes_list.value[0].decode() for key in ("name", "motion_class"))
    pose, transl, betas = (np.float32(values[key].float_list.value) for key in ("pose", "transl", "betas"))
    has_betas = any(values["has_betas"].int64_list.value)
    return MotionClip(
        name, motion_class, pose.reshape(-1, 24, 3), transl.reshape(-1, 3), betas if has_betas else None
    )
