"""Recognises folders of training data and of training runs, and says what is missing or damaged in them.

Only lists of files and of members are read, so a folder of many gigabytes takes seconds.
"""

import collections
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from hpof_jax.archives import damage, open_archive
from hpof_jax.errors import UserError

MOST_FILES = 100_000  # in a folder; more are not looked at
VIDEOS = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"))
_CLIP = {"landmarks_2d", "landmarks_3d", "seen", "pose", "transl", "betas", "validation", "motion_class"}
_AMASS = {"poses", "trans"}


class Finding(NamedTuple):
    """What a folder holds, such as "rendered clips", in how many files, and what is wrong, in sentences."""

    kind: str
    files: int
    problems: list[str]


def inspect(folder: pathlib.Path) -> list[Finding]:
    """What a folder and its subfolders hold; nothing: no data that this package knows.

    Raises:
      UserError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder at {folder}: give an existing one.")
    with damage(folder, "a readable folder", "give another one"):
        files = [*itertools.islice(_files(folder), MOST_FILES)]
    by_suffix = collections.defaultdict(list)
    for path in files:
        by_suffix[path.suffix.lower()].append(path)
    clips = [path for path in by_suffix[".npz"] if path.name.startswith("clip_")]
    others = [path for path in by_suffix[".npz"] if path not in {*clips} and path.name != "weights.npz"]
    found = [
        _rendered(folder, clips),
        _amass(others),
        _records([path for path in files if path.name == "dataset_info.json"]),
        _runs([path for path in files if path.name == "metrics.jsonl"]),
        Finding("BVH files", len(by_suffix[".bvh"]), _empty(by_suffix[".bvh"])),
    ]
    videos = [path for suffix in VIDEOS for path in by_suffix[suffix] if not path.name.startswith("clip_")]
    found.append(Finding("videos", len(videos), _empty(videos)))
    return [finding for finding in found if finding.files]


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """The files of a folder and its subfolders, without hidden ones; links to folders are not followed."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file():
            yield path


def _rendered(folder: pathlib.Path, paths: list[pathlib.Path]) -> Finding:
    problems = _lacking(paths, _CLIP, "is not a rendered clip: delete it and render it again")
    for parent in sorted({path.parent for path in paths}):
        # A prepared data set has its manifest above the folders of its splits.
        if not any((folder / "manifest.json").is_file() for folder in (parent, parent.parent)):
            problems.append(f"{parent} has no manifest.json: more clips cannot be added to it.")
    return Finding("rendered clips", len(paths), problems)


def _amass(paths: list[pathlib.Path]) -> Finding:
    """AMASS files; other archives of arrays do not count."""
    named = [path for path in paths if path.stem.endswith(("_poses", "_stageii"))]
    return Finding(
        "AMASS files", len(named), _lacking(named, _AMASS, "is not an AMASS motion: download it again")
    )


def _records(paths: list[pathlib.Path]) -> Finding:
    problems = []
    for path in paths:
        try:
            with damage(path, "the description of a data set", "write the data set again"):
                splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
                counts = {split["name"]: len(split.get("shardLengths", ())) for split in splits}
        except (TypeError, AttributeError):
            problems.append(f"{path} is not the description of a data set: write the data set again.")
            continue
        except UserError as error:
            problems.append(str(error))
            continue
        for name, count in counts.items():
            missing = count - sum(f"-{name}." in file.name for file in path.parent.glob("*.tfrecord-*"))
            if missing > 0:
                problems.append(f"{missing} of {count} files of the split '{name}' are not in {path.parent}.")
    return Finding("tfds data sets", len(paths), problems)


def _runs(paths: list[pathlib.Path]) -> Finding:
    problems = []
    for run in (path.parent for path in paths):
        if not (run / "weights.npz").is_file():
            problems.append(f"{run} has no weights.npz: its training has saved no checkpoint yet.")
        else:
            problems += _lacking(
                [run / "weights.npz"], {"config"}, "is not a weights file: resume the training"
            )
    return Finding("training runs", len(paths), problems)


def _lacking(paths: list[pathlib.Path], names: set[str], sentence: str) -> list[str]:
    """A sentence for each archive that cannot be read or lacks one of the arrays."""
    problems = []
    what, _, cure = sentence.partition(": ")
    for path in paths:
        try:
            with open_archive(path, what.removeprefix("is not "), cure) as archive:
                missing = names - {name.removesuffix(".npy") for name in archive.members}
        except UserError as error:
            problems.append(str(error))
            continue
        if missing:
            problems.append(f"{path} has no array '{min(missing)}', so it {sentence}.")
    return problems


def _empty(paths: list[pathlib.Path]) -> list[str]:
    return [f"{path} is empty: delete it." for path in paths if not path.stat().st_size]
