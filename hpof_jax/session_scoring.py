"""Scores motions against a laboratory's reference: joint centres from markers (.trc), joint angles (.mot).

The reference and the motion may have any world frame, frame rate and starting time.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hpof_jax.body import BodyModel, keypoint_basis, keypoints
from hpof_jax.body.anatomical import ANATOMICAL_CENTRES, carrier
from hpof_jax.body.joint_angles import joint_angles
from hpof_jax.body.kinematics import forward_kinematics
from hpof_jax.body.skeletons import SMPL_JOINTS, indices_of
from hpof_jax.errors import UserError
from hpof_jax.export.opensim import Coordinates, Markers, read_mot, read_trc
from hpof_jax.geometry.numpy_rotations import to_matrix
from hpof_jax.sessions import synchrony
from hpof_jax.sessions.centres import MARKERS, joint_centres
from hpof_jax.training import clinical_metrics as metrics

# Coordinates of OpenSim's models that are compared, each with _r and _l.
ANGLES = (
    *("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle", "subtalar_angle"),
    *("arm_flex", "arm_add", "arm_rot", "elbow_flex", "pro_sup"),
)
PRESENT = 0.5  # a joint counts if the reference has it in that share of the frames
FEWEST = 10  # frames that motion and reference must share
_CARRIERS = indices_of(tuple(carrier(name) for name in ANATOMICAL_CENTRES), SMPL_JOINTS)


@dataclasses.dataclass(frozen=True, eq=False)
class Performance:
    """A motion as it is scored: T frames, in any frame of reference that stands still."""

    times: np.ndarray  # (T,) seconds
    centres: np.ndarray  # (T, 12, 3) metres, `ANATOMICAL_CENTRES`
    turns: np.ndarray  # (T, 12, 3, 3) rotations of the segments that carry them
    angles: dict[str, np.ndarray]  # (T,) degrees, `body.joint_angles`


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """What a laboratory measured; markers, coordinates or both."""

    markers: Markers | None
    coordinates: Coordinates | None
    files: tuple[str, ...]


def read_reference(paths: Sequence[str | os.PathLike]) -> Reference:
    """Reads a `.trc`, a `.mot`, or both.

    Raises:
      UserError: neither, two of one kind, or a damaged file.
    """
    found: dict[str, Any] = {}
    for path in map(os.fspath, paths):
        ending = os.path.splitext(path)[1].lower()
        if ending not in (".trc", ".mot"):
            raise UserError(f"{path} is no reference of a laboratory: give a .trc, a .mot, or both.")
        if ending in found:
            raise UserError(f"There are two {ending} files: give one for the trial.")
        found[ending] = read_trc(path) if ending == ".trc" else read_mot(path)
    if not found:
        raise UserError("There is no reference: give its .trc or .mot file with --reference.")
    return Reference(found.get(".trc"), found.get(".mot"), tuple(map(os.fspath, paths)))


def perform(
    body: BodyModel, pose: np.ndarray, betas: np.ndarray, transl: np.ndarray, times: np.ndarray
) -> Performance:
    """Poses a body: pose (T, 24, 3) axis-angle, betas (T, B) or (B,), transl (T, 3), times (T,) seconds."""
    rotations = to_matrix(np.asarray(pose, np.float64))
    basis = keypoint_basis(body, "anatomical12")
    betas = np.broadcast_to(betas, (len(pose), np.shape(betas)[-1]))
    centres, joints = jax.jit(keypoints)(
        body, basis, *(np.asarray(x, np.float32) for x in (betas, rotations, transl))
    )
    turns, _ = forward_kinematics(joints * 0.0, rotations.astype(np.float32), body.parents)
    return Performance(
        np.asarray(times, np.float64),
        np.asarray(centres, np.float64),
        np.asarray(turns, np.float64)[:, _CARRIERS],
        joint_angles(pose),
    )


def compare(motion: Performance, reference: Reference, offset: float | None = None) -> dict[str, Any]:
    """The errors of one motion.

    Args:
      offset: seconds to add to the motion's times to get the reference's. None: by cross-correlation.

    Returns:
      {"offset", "correlation", "centres", "joints", "angles", "notes"}; millimetres and degrees.
      "centres" has pa_mpjpe, constant, varying, world, world_scaled, scale, mid_hip and frames.

    Raises:
      UserError: reference and motion share too few frames or joints.
    """
    notes: list[str] = []
    true = _centres(reference.markers, notes) if reference.markers else None
    correlation = None
    if offset is None:
        offset, correlation = _offset(motion, reference, true)
        if correlation < synchrony.SURE:
            notes.append(
                f"No time offset fits well (correlation {correlation:.2f}), so motion and reference are taken as "
                "synchronous: give --offset if they are not."
            )
            offset = 0.0
    result: dict[str, Any] = {"offset": offset, "correlation": correlation, "notes": notes}
    if true is not None:
        result |= _score_centres(motion, true, reference.markers.times, motion.times + offset)
    if reference.coordinates is not None:
        result["angles"] = _score_angles(motion, reference.coordinates, motion.times + offset)
    return result


def _centres(markers: Markers, notes: list[str]) -> np.ndarray:
    """(S, 12, 3) of `ANATOMICAL_CENTRES`, NaN where the markers give none."""
    centres, kinds = joint_centres(markers.points)
    detected = [name for name, kind in kinds.items() if kind != MARKERS]
    if detected:
        which = "joints" if len(detected) == len(kinds) else ", ".join(detected)
        notes.append(
            f"The reference's {which} are keypoints of a detector and no anatomical centres: part of the error is the "
            "other definition of the joint."
        )
    missing = np.full((len(markers.times), 3), np.nan)
    return np.stack([centres.get(name, missing) for name in ANATOMICAL_CENTRES], axis=1)


def _offset(motion: Performance, reference: Reference, true: np.ndarray | None) -> tuple[float, float]:
    if true is not None:
        signals, other = synchrony.distances(motion.centres), synchrony.distances(true)
        return synchrony.find_offset(motion.times, signals, reference.markers.times, other)
    names = [name for name in _names(motion, reference.coordinates) if "rot" not in name]
    signals = np.stack([motion.angles[name] for name in names], axis=-1)
    other = np.stack([reference.coordinates.values[name] for name in names], axis=-1)
    return synchrony.find_offset(motion.times, signals, reference.coordinates.times, other, synchrony.DEGREES)


def _score_centres(
    motion: Performance, true: np.ndarray, times: np.ndarray, wanted: np.ndarray
) -> dict[str, Any]:
    true = synchrony.resample(true, times, wanted)
    known = np.isfinite(true).all(axis=-1)
    inside = known.any(axis=1)
    joints = known[inside].mean(axis=0) > PRESENT if inside.any() else np.zeros(known.shape[1], bool)
    frames = inside & known[:, joints].all(axis=1)
    if frames.sum() < FEWEST or joints.sum() < 4:
        raise UserError(
            f"Motion and reference share {frames.sum()} frames and {joints.sum()} joints: give the reference of this "
            "trial, or the right --offset."
        )
    pred, true, turns = (
        motion.centres[frames][:, joints],
        true[frames][:, joints],
        motion.turns[frames][:, joints],
    )
    errors = metrics.distance(metrics.aligned(pred, true)[0], true)
    offsets, varying = metrics.constant_offsets(pred, true, turns)
    rigid, _ = metrics.in_world(pred, true)
    scaled, scale = metrics.in_world(pred, true, scaled=True)
    names = [name for name, there in zip(ANATOMICAL_CENTRES, joints) if there]
    figures = {
        "pa_mpjpe": errors.mean(),
        "varying": varying.mean(),
        "constant": 1000.0 * np.linalg.norm(offsets, axis=-1).mean(),
        "world": metrics.distance(rigid, true).mean(),
        "world_scaled": metrics.distance(scaled, true).mean(),
        "scale": scale,
        "frames": int(frames.sum()),
    }
    hips = [names.index(name) for name in ("left_hip", "right_hip") if name in names]
    if len(hips) == 2:
        figures["mid_hip"] = metrics.distance(rigid[:, hips].mean(1), true[:, hips].mean(1)).mean()
    rows = {
        name: {
            "pa_error": float(errors[:, k].mean()),
            "varying": float(varying[:, k].mean()),
            "offset": (1000.0 * offsets[k]).tolist(),  # left, up, forwards of the segment in the T-pose
        }
        for k, name in enumerate(names)
    }
    bends = {
        f"{name} (points)": metrics.angle_errors(a, b)
        for (name, a), b in zip(_bends(pred, names).items(), _bends(true, names).values())
    }
    return {"centres": {key: float(value) for key, value in figures.items()}, "joints": rows, "bends": bends}


def _bends(points: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """How much the knees and elbows are bent, from the centres alone."""
    place = {name: points[:, k] for k, name in enumerate(names)}
    chains = {"knee": ("hip", "knee", "ankle"), "elbow": ("shoulder", "elbow", "wrist")}
    found = {}
    for side in ("right", "left"):
        for joint, chain in chains.items():
            three = [f"{side}_{part}" for part in chain]
            if all(name in place for name in three):
                found[f"{joint}_{side[0]}"] = metrics.bend(*(place[name] for name in three))
    return found


def _names(motion: Performance, coordinates: Coordinates) -> list[str]:
    names = [f"{name}_{side}" for name in ANGLES for side in "rl"]
    found = [name for name in names if name in coordinates.values and np.ptp(coordinates.values[name]) > 0]
    if not found:
        raise UserError(
            "The .mot file has none of the coordinates that are compared, such as knee_angle_r: export it from a "
            "full-body model of OpenSim."
        )
    return found


def _score_angles(
    motion: Performance, coordinates: Coordinates, wanted: np.ndarray
) -> dict[str, Mapping[str, float]]:
    found = {
        name: metrics.angle_errors(
            motion.angles[name], synchrony.resample(coordinates.values[name], coordinates.times, wanted)
        )
        for name in _names(motion, coordinates)
    }
    found = {name: errors for name, errors in found.items() if np.isfinite(errors["rmse"])}
    if not found:
        raise UserError(
            "The .mot file and the motion share no frame: give that of this trial, or the right --offset."
        )
    return found
