"""Scores results of programs against reference motions by a benchmark's protocol."""

import dataclasses
import functools
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body import BodyModel, keypoint_basis, load_body
from hpof_jax.body.model import KeypointBasis, keypoints, skin
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, convert, indices_of, keypoint_names
from hpof_jax.errors import UserError
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.predictions.formats import FREE_BODY, Prediction, read_prediction
from hpof_jax.training import metrics, world_metrics
from hpof_jax.training.bootstrap import LEVEL, interval
from hpof_jax.training.protocols import PROTOCOLS, Protocol

CHUNK = 64  # frames that are posed at once
FPS = 30.0  # frames/s, where no file says it
SAME_RATE = 0.01  # rates that differ by less than this share are the same
_FEET = indices_of(
    tuple(f"{side}_{part}" for side in ("left", "right") for part in ("heel", "foot_index")),
    BLAZEPOSE_LANDMARKS,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """A reference of points in N frames of a video, where a data set's ground truth is no body."""

    points: np.ndarray  # (N, K, 3) metres, in the frame of the protocol
    keypoints: str  # their set, a key of `body.skeletons.KEYPOINT_SETS`
    frames: np.ndarray  # (N,) int64, the numbers of the frames, ascending
    fps: float | None = None
    gender: str = "neutral"
    body: str = "points"


def score(
    predictions: Sequence[str | os.PathLike],
    references: Sequence[str | os.PathLike],
    protocol: str = "smpl24",
    *,
    body: str | os.PathLike | None = None,
    regressor: str | os.PathLike | None = None,
    person: str | None = None,
) -> dict:
    """Scores results of one or several programs.

    Args:
      predictions: files, one of each program for every reference: all of the first program in the
        references' order, then all of the second.
      references: `.npz` files of this package or AMASS, one for each sequence.
      protocol: a key of `PROTOCOLS`.
      body: the SMPL file, or a folder with those of all genders; needed unless all motions are of this
        package's free body. With a folder, an `.npz` is posed on the body of its gender.
      regressor: `J_regressor_h36m.npy`, for protocols that need it on SMPL.
      person: whom to take from files of several people; None: the one in most frames.

    Returns:
      {"protocol": ..., "programs": {name: {"overall", "intervals", "sequences"}}, "notes": [...]}. Means are
      over frames. Intervals are of 95 %, by bootstrap over sequences, for programs with several.

    Raises:
      UserError: files that do not belong together, cannot be read, or need a body that is not given.
    """
    rules = PROTOCOLS[protocol]
    if not references or len(predictions) % len(references):
        raise UserError(
            f"{len(predictions)} predictions do not match {len(references)} references: give one for each "
            "reference, program after program."
        )
    bodies = Bodies(body, regressor, rules.keypoints)
    names = _names([pathlib.Path(path) for path in references])
    trues = [read_prediction(path, rules.frame) for path in references]
    programs: dict[str, dict] = {}
    notes: list[str] = []
    for start in range(0, len(predictions), len(references)):
        paths = predictions[start : start + len(references)]
        found = [read_prediction(path, rules.frame, person) for path in paths]
        kinds = sorted({motion.program for motion in found})
        if len(kinds) > 1:
            raise UserError(
                f"The predictions from {paths[0]} to {paths[-1]} are of {' and '.join(kinds)}: list the "
                "files program after program, each in the references' order."
            )
        label, count = kinds[0], sum(name.split(" #")[0] == kinds[0] for name in programs)
        label += f" #{count + 1}" * bool(count)
        totals = {
            name: compare(rules, motion, true, bodies, f"{path}")
            for name, path, motion, true in zip(names, paths, found, trues, strict=True)
        }
        programs[label] = table(totals)
        if any(motion.body == "smplx" for motion in found):
            notes.append(
                f"{label}: SMPL-X's betas mean nothing on SMPL, so its poses are scored on the mean shape."
            )
        if any(motion.body == FREE_BODY for motion in found) and any(t.body != FREE_BODY for t in trues):
            notes.append(
                f"{label}: the prediction is on the free body and the reference on SMPL; there is no PVE."
            )
    return report(protocol, programs, [str(path) for path in references], notes + gender_notes(trues, body))


def gender_notes(references: Sequence[Prediction | Points], body: str | os.PathLike | None) -> list[str]:
    """A note if references of a gender are posed on one file for all."""
    gendered = any(true.gender != "neutral" and true.body not in (FREE_BODY, "points") for true in references)
    if not gendered or not pathlib.Path(body or "").is_file():
        return []
    return ["The references have a gender: give the folder of SMPL's files of all genders as --body."]


def report(
    protocol: str, programs: Mapping[str, dict], references: Sequence[str], notes: Sequence[str]
) -> dict:
    """The result of `score`. Args: programs: name -> `table`; references: their names or files."""
    rules = PROTOCOLS[protocol]
    described = {
        "name": protocol,
        "title": rules.title,
        "joints": rules.keypoints,
        "root": list(rules.root),
        "frame": rules.frame,
        "interval": f"{LEVEL:.0f} %, percentile bootstrap over sequences",
        "references": list(references),
    }
    return {"protocol": described, "programs": dict(programs), "notes": list(notes)}


class Bodies:
    """The bodies of motions by name, each with its basis of the protocol's keypoints; loaded when needed."""

    def __init__(self, path: str | os.PathLike | None, regressor: str | os.PathLike | None, keypoints: str):
        self._path, self._regressor, self._keypoints = path, regressor, keypoints
        self._loaded: dict[pathlib.Path | None, tuple[BodyModel, KeypointBasis]] = {}  # None: the free body

    def take(self, motion: Prediction, where: str) -> tuple[BodyModel, KeypointBasis]:
        path = None
        if motion.body != FREE_BODY:
            if self._path is None:
                raise UserError(
                    f"The body of {where} is SMPL: give its file, such as --body SMPL_NEUTRAL.pkl."
                )
            path = pathlib.Path(self._path)
            path = _of_gender(path, motion.gender) if path.is_dir() else path
        if path not in self._loaded:
            body = load_body(path)
            basis = keypoint_basis(body, self._keypoints, None if path is None else self._regressor)
            self._loaded[path] = body, basis
        return self._loaded[path]


def _of_gender(folder: pathlib.Path, gender: str) -> pathlib.Path:
    """SMPL's file under the usual or the official name: SMPL_MALE, basicmodel_m_lbs_10_207_0_v1.1.0."""
    short = gender if gender == "neutral" else gender[0]
    pattern = re.compile(rf"(smpl_{gender}|basicmodel_{short}_.*)\.(pkl|npz)", re.IGNORECASE)
    found = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
    if not found:
        raise UserError(f"There is no SMPL_{gender.upper()}.pkl in {folder}: put SMPL's files there.")
    return found[-1]


def compare(
    protocol: Protocol,
    pred: Prediction,
    true: Prediction | Points,
    bodies: Bodies,
    where: str = "the prediction",
) -> dict[str, np.ndarray]:
    """The metrics of one sequence as totals (2,) = [sum, count], and `frames` = [common, of the reference].

    Raises:
      UserError: the frame rates differ, or fewer than four frames are in both.
    """
    if pred.fps and true.fps and abs(pred.fps - true.fps) > SAME_RATE * true.fps:
        raise UserError(
            f"{where} has {pred.fps:g} frames/s and its reference {true.fps:g}: resample one of them first."
        )
    _, ours, theirs = np.intersect1d(pred.frames, true.frames, return_indices=True)
    if len(ours) < 4:
        raise UserError(
            f"{where} has only {len(ours)} frames of its reference: give the reference's sequence."
        )
    body, basis = bodies.take(pred, where)
    root = tuple(indices_of(protocol.root, keypoint_names(protocol.keypoints)).tolist())
    arrays = (body, basis, *_posable(pred, ours, body.num_betas))
    if isinstance(true, Points):
        targets = (convert(true.points[theirs], true.keypoints, protocol.keypoints)[0].astype(np.float32),)
        vertices = False
    else:
        true_body, true_basis = bodies.take(true, "the reference")
        targets = (true_body, true_basis, *_posable(true, theirs, true_body.num_betas))
        vertices = "pve" in protocol.metrics and (pred.body == FREE_BODY) == (true.body == FREE_BODY)
    parts = []
    for start in range(0, len(ours), CHUNK):
        # Padded to one size, so that a sequence of any length compiles once.
        rows = np.arange(start, min(start + CHUNK, len(ours)))
        filled = np.resize(rows, CHUNK)
        chunk = _chunk(_rows(arrays, filled), _rows(targets, filled), root=root, vertices=vertices)
        parts.append(jax.tree.map(functools.partial(_first, len(rows)), chunk))
    per_frame, points = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    fps = true.fps or pred.fps or FPS
    errors = per_frame | _over_time(protocol, points, root, theirs, fps)
    if protocol.frame == "world":
        places = pred.transl[ours], true.transl[theirs]
        errors |= _in_world(points, places, theirs, fps)
    totals = {
        key: np.array([np.nansum(errors[key]), np.isfinite(errors[key]).sum()])
        for key in protocol.metrics
        if key in errors
    }
    return totals | {"frames": np.array([len(ours), len(true.frames)])}


def _first(count: int, array: jax.Array) -> np.ndarray:
    return np.asarray(array, np.float64)[:count]


def _posable(motion: Prediction, rows: np.ndarray, num_betas: int) -> tuple[np.ndarray, np.ndarray]:
    """Pose and betas of some frames. SMPL-X's betas are of another body: the mean shape replaces them."""
    betas = np.zeros((len(rows), num_betas))
    if motion.body != "smplx":
        given = motion.betas[rows, :num_betas]
        betas[:, : given.shape[1]] = given
    return motion.pose[rows].astype(np.float32), betas.astype(np.float32)


def _rows(arrays: tuple, rows: np.ndarray) -> tuple:
    """Some rows of the arrays of a motion or of points; a body is left as it is."""
    return tuple(x[rows] if isinstance(x, np.ndarray) else x for x in arrays)


@functools.partial(jax.jit, static_argnames=("root", "vertices"))
def _chunk(
    pred: tuple, true: tuple, *, root: tuple[int, ...], vertices: bool
) -> tuple[dict[str, jax.Array], dict[str, tuple[jax.Array, ...]]]:
    """Errors (T,) by metric; points, joints and feet of prediction and reference, about the body's origin.

    Args:
      pred, true: body, basis, pose and betas; or, for references of points, (points,).
    """
    found = []
    for side in (pred, true):
        if len(side) == 1:
            found.append((side[0], None, None))
            continue
        one, regressor, turns, shape = side
        points, joints = keypoints(one, regressor, shape, axis_angle_to_matrix(turns))
        feet = keypoints(one, one.landmarks, shape, axis_angle_to_matrix(turns))[0][:, _FEET]
        found.append((points, joints, feet))
    (ours, theirs), joints, feet = zip(*found, strict=True)
    errors = {
        "mpjpe": metrics.mpjpe(ours, theirs, root),
        "pa_mpjpe": metrics.pa_mpjpe(ours, theirs),
        "n_mpjpe": metrics.n_mpjpe(ours, theirs),
        "pck_150": metrics.pck(ours, theirs, metrics.PCK_THRESHOLD, root),
        "auc": metrics.auc(ours, theirs, root),
    }
    if vertices:
        meshes = (skin(one, shape, axis_angle_to_matrix(turns))[0] for one, _, turns, shape in (pred, true))
        origins = (jnp.mean(x[:, root, :], axis=1) for x in (ours, theirs))
        errors["pve"] = metrics.pve(*meshes, *origins)
    return errors, {"points": (ours, theirs), "joints": joints, "feet": feet}


def _over_time(
    protocol: Protocol, points: Mapping, root: tuple[int, ...], rows: np.ndarray, fps: float
) -> dict[str, np.ndarray]:
    pred, true = (x.astype(np.float32) for x in points["points"])
    error = np.asarray(metrics.relative_acceleration_error(pred, true, root), np.float64)
    error = np.where(_in_a_row(rows, 3), error, np.nan)
    return {"acceleration_error": error, "acceleration_error_si": error * fps**2 / metrics.MM}


def _in_world(points: Mapping, places: tuple[np.ndarray, ...], rows: np.ndarray, fps: float) -> dict:
    pred, true = (x + place[:, None] for x, place in zip(points["joints"], places, strict=True))
    feet = (x + place[:, None] for x, place in zip(points["feet"], places, strict=True))
    return {
        "wa_mpjpe": world_metrics.wa_mpjpe(pred, true),
        "w_mpjpe": world_metrics.w_mpjpe(pred, true),
        "rte": world_metrics.root_translation_error(pred[:, 0], true[:, 0]),
        "jitter": np.where(_in_a_row(rows, 4), world_metrics.jitter(pred, fps), np.nan),
        "foot_sliding": np.where(_in_a_row(rows, 2)[:, None], world_metrics.foot_sliding(*feet), np.nan),
    }


def _in_a_row(rows: np.ndarray, count: int) -> np.ndarray:
    """(T - count + 1,) bool: whether each frame and those that follow it have no gap between them."""
    return rows[count - 1 :] - rows[: len(rows) - count + 1] == count - 1


def _names(paths: list[pathlib.Path]) -> list[str]:
    """A name for each sequence: the file's, or the folder's and the file's where that is needed."""
    stems = [path.stem for path in paths]
    if len({*stems}) < len(stems):
        stems = [f"{path.parent.name}/{path.stem}" for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem} #{number + 1}" for number, stem in enumerate(stems)]


def table(sequences: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Means over all frames and of each sequence, and the intervals that can be given."""
    first = next(iter(sequences.values()))
    keys = [key for key in first if key != "frames" and all(key in totals for totals in sequences.values())]
    stacked = {key: np.stack([totals[key] for totals in sequences.values()]) for key in keys}
    frames = np.stack([totals["frames"] for totals in sequences.values()])
    intervals = {key: interval(value) for key, value in stacked.items()}

    def row(part: slice) -> dict[str, float | None]:
        means = {key: metrics.mean(value[part].sum(axis=0)) for key, value in stacked.items()}
        count, all_frames = frames[part].sum(axis=0)
        values = means | {"frames": float(count), "coverage": 100.0 * count / all_frames}
        return {key: value if math.isfinite(value) else None for key, value in values.items()}

    return {
        "overall": row(slice(None)),
        "intervals": {key: list(ends) for key, ends in intervals.items() if math.isfinite(ends[0])},
        "sequences": {name: row(slice(place, place + 1)) for place, name in enumerate(sequences)},
    }
