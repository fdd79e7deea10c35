"""From the annotations and observations of a person to the arrays of clips."""

import dataclasses
from typing import Any

import numpy as np

from data_pipelines.datasets.base import Sequence, Unit, fill_boxes
from data_pipelines.datasets.labels import labels_of
from data_pipelines.motion.clip import FPS
from data_pipelines.observed.prepared import LONGEST
from hpof_jax.geometry.camera import default_focal_length

SHORTEST = 16  # frames of a clip for training
_FIXED = {"image_size", "betas", "smpl_betas"}  # have no frames


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
