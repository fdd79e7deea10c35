"""Prepares a data set: reads the original files, runs the detector, and writes clips.

A unit of a data set, usually a video, is done when its file in `done/` is there, which is written last. So a stopped run
can be continued. `data_pipelines.observed.prepared` describes the clips; AMASS becomes files of AMASS.
"""

import dataclasses
import functools
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np
from absl import logging

from data_pipelines.datasets.base import DataSet, Reading, Sequence, Unit, checked, fill_boxes
from data_pipelines.datasets.catalogue import load_dataset
from data_pipelines.datasets.labels import labels_of
from data_pipelines.datasets.observe import Look, observe_people
from data_pipelines.motion.clip import FPS
from data_pipelines.observed.manifest import open_folder
from data_pipelines.observed.prepared import LONGEST
from data_pipelines.observed.rendered import write_clip
from data_pipelines.workers import parallel_map
from hpof_jax import interrupt
from hpof_jax.archives import damage
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.geometry.camera import default_focal_length
from hpof_jax.observe.blazepose import BlazePose
from hpof_jax.progress import progress

if TYPE_CHECKING:  # Flax, which takes a second
    from hpof_jax.features import Extractor

VERSION = 1  # of the clips: raise it when they change
SHORTEST = 16  # frames of a clip for training
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


def thinned(person: Sequence, split: str) -> Sequence:
    """Every n-th frame of a sequence for training, so that its rate is closest to 30 frames/s."""
    step = max(1, round(person.fps / FPS)) if split == "train" else 1
    if step == 1:
        return person
    names = [field.name for field in dataclasses.fields(person)]
    arrays = {name: getattr(person, name) for name in names}
    frames = len(person)
    kept = {
        name: value[::step]
        for name, value in arrays.items()
        if isinstance(value, np.ndarray) and name != "betas" and len(value) == frames
    }
    return dataclasses.replace(person, fps=person.fps / step, **kept)


def pieces(person: Sequence) -> list[slice]:
    """The parts of a sequence for training: runs of frames in which the person is annotated, cut to `LONGEST`.

    A gap in the frame numbers that is longer than the others ends a run, too.
    """
    labelled = person.pose is not None or person.keypoints_3d is not None
    there = person.valid if labelled else fill_boxes(person.boxes)[:, 2] > 0
    step = int(np.median(np.diff(person.frame_index)))
    ends = np.flatnonzero(np.diff(person.frame_index) > step) + 1
    there = np.insert(there.astype(int), ends, 0)  # a frame between the runs that is not there
    edges = np.flatnonzero(np.diff(there, prepend=0, append=0)).reshape(-1, 2)
    edges -= np.searchsorted(ends + np.arange(len(ends)), edges, side="left")  # without the inserted ones
    found = []
    for start, stop in edges.tolist():
        count = -(-(stop - start) // LONGEST)
        bounds = np.linspace(start, stop, count + 1).astype(int).tolist()
        found += [slice(a, b) for a, b in zip(bounds[:-1], bounds[1:]) if b - a >= SHORTEST]
    return found


def record(unit: Unit, person: Sequence, observed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All arrays of a clip of the whole sequence, with pixels about the principal point."""
    frames = len(person)
    size = observed["image_size"]
    centre = person.principal_point or (size[1] / 2, size[0] / 2)
    shift = (size[::-1] / 2 - centre).astype(np.float32)
    nothing = {
        "landmarks_2d": np.zeros((frames, 33, 3), np.float32),
        "landmarks_3d": np.zeros((frames, 33, 3), np.float32),
        "seen": np.zeros(frames, bool),
    }
    assumed = np.float32(default_focal_length(size))
    arrays = _moved(nothing | observed, shift)
    arrays |= labels_of(person) | {
        "fps": np.float32(person.fps),
        "focal_length": assumed,
        "true_focal_length": np.float32(person.focal_length or assumed),
        "valid": person.valid,
        "frame_index": np.asarray(person.frame_index, np.int64),
        "name": np.array(f"{unit.name}/{person.person}"),
        "motion_class": np.array(person.motion_class or "video"),
        "validation": np.array(unit.split == "validation"),
        "gender": np.array(person.gender),
        "body": np.array(person.body),
        "subsets": np.array(",".join(person.subsets)),
    }
    optional: dict[str, Any] = {
        "smpl_pose": person.pose,
        "smpl_transl": person.transl,
        "smpl_betas": person.betas,
        "joints": person.joints,
        "keypoints_3d": person.keypoints_3d,
        "reference": person.reference,
        "world_to_camera": person.world_to_camera,
    }
    if person.keypoints_2d is not None:
        moved = person.keypoints_2d + np.float32([*shift, 0])
        optional["keypoints_2d"] = np.where(person.keypoints_2d[..., 2:] > 0, moved, 0)
    if person.reference is not None:
        optional["reference_set"] = np.array(person.reference_set)
    arrays |= {name: value for name, value in optional.items() if value is not None}
    return {
        name: value.astype(np.float32) if value.dtype == np.float64 else value
        for name, value in arrays.items()
    }


def cut(arrays: dict[str, np.ndarray], part: slice, frames: int) -> dict[str, np.ndarray]:
    """The arrays of some frames of a clip of so many. Flow has one row less than there are frames."""
    found = {}
    for name, value in arrays.items():
        if name in ("flow", "flow_valid"):
            found[name] = value[part.start : part.stop - 1]
        else:
            found[name] = value[part] if value.ndim and len(value) == frames and name not in _FIXED else value
    return found


_FIXED = {"image_size", "betas", "smpl_betas"}  # have no frames


def _moved(arrays: dict[str, np.ndarray], shift: np.ndarray) -> dict[str, np.ndarray]:
    """Observations in pixels that are moved by (2,) px, where the person is seen."""
    moved, seen = dict(arrays), arrays["seen"]
    points = arrays["landmarks_2d"].copy()
    points[seen, :, :2] += shift
    moved["landmarks_2d"] = points
    if "mask_to_frame" in arrays:
        moved["mask_to_frame"] = arrays["mask_to_frame"].copy()
        moved["mask_to_frame"][seen, :, 2] += shift
    if "background_points" in arrays:
        moved["background_points"] = arrays["background_points"] + shift
    if "flow_box" in arrays:
        moved["flow_box"] = arrays["flow_box"].copy()
        moved["flow_box"][arrays["flow_box"][:, 2] > 0, :2] += shift
    return moved


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
