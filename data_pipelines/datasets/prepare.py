"""Prepares a data set: reads the original files, runs the detector, and writes clips.

A unit of a data set, usually a video, is done when its file in `done/` is there, which is written last. So a stopped run
can be continued. `data_pipelines.observed.prepared` describes the clips; AMASS becomes files of AMASS.
"""

import dataclasses
import functools
import json
import os
import pathlib
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import numpy as np
from absl import logging

from data_pipelines.datasets.base import DataSet, Reading, Unit, checked
from data_pipelines.datasets.catalogue import load_dataset
from data_pipelines.datasets.clips import cut, pieces, record, thinned
from data_pipelines.datasets.observe import Look, observe_people
from data_pipelines.observed.manifest import open_folder
from data_pipelines.observed.rendered import write_clip
from data_pipelines.workers import parallel_map
from hpof_jax import interrupt
from hpof_jax.archives import damage
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.observe.blazepose import BlazePose
from hpof_jax.progress import progress

if TYPE_CHECKING:  # Flax, which takes a second
    from hpof_jax.features import Extractor

VERSION = 1  # of the clips: raise it when they change
NAMED = 5  # missing files that an error names


@dataclasses.dataclass(frozen=True)
class Options:
    """What a prepared folder is made with, besides the original files.

    The manifest stores them, and of `features` the fingerprint.
    """

    landmarks: bool = True
    masks: bool = True
    flow: bool = True
    landmark_model: str = "full"  # of the detector, or "heavy"
    features: str | None = None  # weights of a ResNet-50, to store image features; None: store none


class Outcome(NamedTuple):
    """What became of a unit: clips, their frames, those that show the person, and why it failed, or ""."""

    unit: str
    clips: int = 0
    frames: int = 0
    seen: int = 0
    failure: str = ""


def prepare(
    name: str,
    raw: str | os.PathLike,
    out: str | os.PathLike,
    options: Options = Options(),  # noqa: B008 (frozen)
    *,
    splits: tuple[str, ...] = ("train", "validation", "test"),
    processes: int = 1,
    partial: bool = False,
) -> list[Outcome]:
    """Prepares the units of a data set that are not prepared yet.

    Args:
      name: of `catalogue.MODULES`.
      raw: the folder of the original files, as `DataSet.files` places them.
      out: the folder of the clips; the same options continue it.
      splits: those to prepare.
      processes: number of processes, each with one thread.
      partial: also if files are missing; units without frames then have annotations only.

    Returns:
      what became of each unit of this run.

    Raises:
      UserError: no such data set, no folder, files are missing and not `partial`, a folder that was made with other
        options, or no unit that can be read.
    """
    dataset = load_dataset(name)
    raw, out = pathlib.Path(raw).expanduser(), pathlib.Path(out).expanduser()
    if not raw.is_dir():
        raise UserError(f"There is no folder {raw}: give the folder of {dataset.title}'s files.")
    with damage(raw, "a readable folder", "give another one"):
        units, missing = dataset.find(raw, splits)
    _report_missing(dataset, raw, missing, partial, bool(units))
    made_with = dataclasses.asdict(options)
    if options.features:  # the same weights may lie in another file
        made_with["features"] = _extractor(options.features).fingerprint
    open_folder(out, {"dataset": name, "version": VERSION} | made_with)
    with damage(out, "a folder that can be written to", "give another one"):
        for folder in {"done"} | {unit.split for unit in units}:
            (out / folder).mkdir(exist_ok=True)
    waiting = [unit for unit in units if not _done_file(out, unit).is_file()]
    if len(waiting) < len(units):
        logging.info("%s: %d of %d units are prepared already", out, len(units) - len(waiting), len(units))
    work = functools.partial(prepare_unit, name, out, options)
    outcomes = []
    # Ctrl-C kills the other processes, which leaves their unfinished files.
    with (
        interrupt.cleanup(lambda: _remove_unfinished(out)),
        parallel_map(min(processes, len(waiting))) as each,
    ):
        for outcome in progress(each(work, waiting), f"preparing {dataset.title}", len(waiting), "unit"):
            outcomes.append(outcome)
            if outcome.failure:
                logging.warning("Left out: %s", outcome.failure)
    failures = [outcome.failure for outcome in outcomes if outcome.failure]
    if failures and len(failures) == len(units):
        raise UserError(f"Nothing of {dataset.title} in {raw} can be read; the first: {failures[0]}")
    return outcomes


def prepare_unit(name: str, out: pathlib.Path, options: Options, unit: Unit) -> Outcome:
    """Reads a unit, observes it and writes its clips. What is wrong with it is the outcome's `failure`."""
    dataset = load_dataset(name)
    try:
        reading = dataset.read(unit)
        if isinstance(reading, Reading):
            written = _write_people(out, options, unit, reading)
        else:
            written = _write_motion(out, unit, reading)
        clips, frames, seen = map(sum, zip(*written, strict=True)) if written else (0, 0, 0)
        outcome = Outcome(unit.name, clips, frames, seen)
        with replacing(_done_file(out, unit), "The note of what is done") as path:
            path.write_text(json.dumps(outcome._asdict()))
    except UserError as error:
        return Outcome(unit.name, failure=str(error))
    return outcome


def _write_people(
    out: pathlib.Path, options: Options, unit: Unit, reading: Reading
) -> list[tuple[int, int, int]]:
    """Writes the clips of each person; for each clip 1, its frames, and those that show the person."""
    what = f"the frames of {unit.path}"
    with damage(unit.path, "a readable sequence", "download it again"):
        people = [thinned(checked(person), unit.split) for person in reading.people]
    people = [person for person in people if person.boxes[:, 2].any()]
    if not people:
        return []
    extractor = _extractor(options.features) if options.features else None
    look = Look(options.masks, options.flow, extractor, background=unit.split == "test")
    if reading.frames and options.landmarks:
        with damage(unit.frames or unit.path, what, "download them again"):
            found = observe_people(reading.frames(), people, look, _net(options.landmark_model))
        if extractor:
            found = [arrays | {"backbone": np.array(extractor.fingerprint)} for arrays in found]
    else:
        found = [{"image_size": np.array(person.image_size, np.float32)} for person in people]
    written = []
    for person, observed in zip(people, found, strict=True):
        arrays = record(unit, person, observed)
        parts = pieces(person) if unit.split == "train" else [slice(0, len(person))]
        for number, part in enumerate(parts):
            label = f"{unit.name}_{person.person}" + f"_{number:03d}" * (unit.split == "train")
            clip = cut(arrays, part, len(person))
            write_clip(out / unit.split / f"clip_{label}.npz", clip)
            written.append((1, len(clip["seen"]), int(clip["seen"].sum())))
    return written


def _write_motion(out: pathlib.Path, unit: Unit, arrays: dict[str, np.ndarray]) -> list[tuple[int, int, int]]:
    path = out / f"{unit.name}.npz"
    with damage(path, "a place for a file", "give another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, arrays)
    return [(1, len(arrays["poses"]), 0)]


def _report_missing(
    dataset: DataSet, raw: pathlib.Path, missing: list[str], partial: bool, any_unit: bool
) -> None:
    if not any_unit:
        places = "; ".join(file.place for file in dataset.files)
        raise UserError(
            f"{raw} has no file of {dataset.title}: get them at {dataset.url} and place them so: {places}."
        )
    for text in missing:
        logging.warning("Missing: %s", text)
    if missing and not partial:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise UserError(
            f"{raw} lacks {', '.join(missing[:NAMED])}{more}: get them at {dataset.url}, or add --partial to go "
            "on with what is there."
        )


def _done_file(out: pathlib.Path, unit: Unit) -> pathlib.Path:
    return out / "done" / f"{unit.split}_{quote(unit.name, safe=' ')}.json"  # unique, also for paths


@functools.cache
def _net(landmark_model: str) -> BlazePose:
    return BlazePose(landmark_model, threads=1)


@functools.cache
def _extractor(weights: str) -> "Extractor":
    from hpof_jax.features import Extractor

    return Extractor(weights)


def _remove_unfinished(out: pathlib.Path) -> None:
    for path in out.rglob(".*.part.*"):
        path.unlink(missing_ok=True)
