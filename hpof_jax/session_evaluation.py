"""Evaluates this package, or the results of programs, on a session of OpenCap or Pose2Sim."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpof_jax import refine as fit
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.lifting import lift
from hpof_jax.models.weights import SHIPPED, load_weights
from hpof_jax.observe.cache import observe_cached
from hpof_jax.observe.video import read_video
from hpof_jax.predictions.formats import FREE_BODY, read_prediction
from hpof_jax.session_scoring import Performance, compare, perform, read_reference
from hpof_jax.sessions import Session, Trial, read_session
from hpof_jax.sessions.session import pick_video
from hpof_jax.tables import Column, fit_label, latex_table, number, text_table

FPS = 30.0  # frames/s of a result, where neither its file nor a video says it
_NO_FOLDER = Session("Recording", {"recording": Trial("recording", {}, (), ())}, {})
CENTRES = {
    "pa_mpjpe": Column("PA-MPJPE"),
    "varying": Column("varying"),
    "constant": Column("constant"),
    "world": Column("world"),
    "world_scaled": Column("scaled"),
    "mid_hip": Column("mid-hip"),
    "scale": Column("scale", 3),
    "frames": Column("frames", 0),
}
ANGLES = {
    "rmse": Column("RMSE"),
    "mae": Column("MAE"),
    "offset": Column("offset"),
    "rmse_without_offset": Column("RMSE without offset"),
    "range": Column("range"),
}


def evaluate_session(
    folder: str | os.PathLike | None = None,
    *,
    trial: str | None = None,
    camera: str | None = None,
    predictions: Sequence[str | os.PathLike] = (),
    reference: Sequence[str | os.PathLike] = (),
    offset: float | None = None,
    weights: str | os.PathLike | None = None,
    landmark_model: str = "full",
    refine: str = "off",
    body: str | os.PathLike | None = None,
    person: str | None = None,
) -> dict[str, Any]:
    """Errors in millimetres and degrees, for each trial and camera, and their means.

    Args:
      folder: of the session. None: there is none, only `predictions` and `reference`.
      trial: None: all trials; with `predictions` or `reference`, the only one.
      camera: None: all cameras, each alone.
      predictions: results of programs for the trial. None: this package reconstructs the videos, with the focal length
        of the calibration if there is one.
      reference: a `.trc`, a `.mot` or both, such as those of the laboratory. None: those of the session.
      offset: seconds from the motion's time to the reference's. None: by cross-correlation.
      weights, landmark_model: of this package, as in `reconstruct`.
      refine: the test-time fit of this package, as in `hpof_jax.refine`.
      body: SMPL's file, for results on SMPL.
      person: whom to take from results of several people; None: the one in most frames.

    Raises:
      UserError: one sentence that says what is missing, damaged or does not belong together.
    """
    mode = fit.chosen(refine, load_body())
    session = _NO_FOLDER if folder is None else read_session(folder)
    one = trial is not None or predictions or reference
    trials = [session.trial(trial)] if one else [*session.trials.values()]
    sequences: dict[str, dict[str, Any]] = {}
    left_out: list[str] = []
    for current in trials:
        files = [*reference] or [*current.markers[:1], *current.kinematics[:1]]
        if len(trials) > 1 and not (files and current.videos):
            left_out.append(current.name)
            continue
        truth = read_reference(files)
        if predictions:
            performed = _of_files(predictions, current, body, person)
        else:
            performed = _of_videos(session, current, camera, weights, landmark_model, mode)
        for name, motion in performed.items():
            label = name if len(trials) == 1 else f"{current.name} {name}"
            sequences[label] = compare(motion, truth, offset) | {"reference": list(truth.files)}
    if not sequences:
        raise UserError(
            f"No trial in {folder} has videos and a reference: give a trial's .trc or .mot file with --reference."
        )
    return {
        "protocol": {
            "name": "predictions" if predictions else f"hpof_jax{fit_label(mode)}",
            "title": f"{session.program} {pathlib.Path(folder).resolve().name if folder else ''}".strip(),
            "joints": "anatomical12",
            "weights": None if predictions else str(weights or SHIPPED),
            "refine": None if predictions else mode,
            "units": "mm, degrees",
            "stature_m": session.stature,
            "left_out": left_out,
        },
        "sequences": sequences,
        "overall": {
            group: _mean([sequence[group] for sequence in sequences.values() if group in sequence])
            for group in ("centres", "bends", "angles")
        },
    }


def _of_files(
    paths: Sequence[str | os.PathLike], trial: Trial, body: str | os.PathLike | None, person: str | None
) -> dict[str, Performance]:
    found: dict[str, Performance] = {}
    for path in paths:
        motion = read_prediction(path, person=person)
        if motion.body != FREE_BODY and body is None:
            raise UserError(f"The body of {path} is SMPL: give its file, such as --body SMPL_NEUTRAL.pkl.")
        posed = load_body(None if motion.body == FREE_BODY else body)
        betas = np.zeros((len(motion.pose), posed.num_betas))
        if motion.body != "smplx":  # SMPL-X's betas mean nothing on SMPL
            given = motion.betas[:, : posed.num_betas]
            betas[:, : given.shape[1]] = given
        times = motion.frames / (motion.fps or _rate(trial))
        name = motion.program if motion.program not in found else f"{motion.program} {path}"
        found[name] = perform(posed, motion.pose, betas, motion.transl, times)
    return found


def _rate(trial: Trial) -> float:
    return read_video(pick_video(trial, None)[1])[1].fps if trial.videos else FPS


def _of_videos(
    session: Session,
    trial: Trial,
    camera: str | None,
    weights: str | os.PathLike | None,
    landmark_model: str,
    mode: str,
) -> dict[str, Performance]:
    cameras = [*trial.videos] if camera is None and trial.videos else [pick_video(trial, camera)[0]]
    params, body = load_weights(weights), load_body()
    keep = {f"keep_{name}": name in fit.NEEDS[mode] for name in ("masks", "flow")}
    found = {}
    for name in cameras:
        observations = observe_cached(trial.videos[name], landmark_model=landmark_model, **keep)
        if name in session.cameras:
            focal = session.cameras[name].focal_length(observations.image_size)
            observations = dataclasses.replace(
                observations, focal_length=np.asarray(focal, np.float32), focal_length_source="given"
            )
        motion = fit.refine(lift(observations, params, body), observations, body, mode=mode)
        found[name] = perform(body, motion.pose, motion.betas, motion.trans, motion.times)
    return found


def _mean(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The mean of equal tables, number by number."""
    if not groups:
        return None
    keys = [key for key in groups[0] if all(key in group for group in groups)]
    return {
        key: _mean([group[key] for group in groups])
        if isinstance(groups[0][key], Mapping)
        else float(np.mean([group[key] for group in groups]))
        for key in keys
    }


def format_session(result: dict[str, Any]) -> str:
    """The result of `evaluate_session` as plain text."""
    sequences, overall = result["sequences"], result["overall"]
    parts = [result["protocol"]["title"], ""]
    if overall["centres"]:
        rows = {name: sequence["centres"] for name, sequence in sequences.items() if "centres" in sequence}
        parts += ["Joint centres, mm:", text_table(rows | {"mean": overall["centres"]}, CENTRES), ""]
    angles = {**(overall["angles"] or {}), **(overall["bends"] or {})}
    if angles:
        mean = _mean([*(overall["angles"] or overall["bends"]).values()])
        parts += ["Joint angles, degrees:", text_table(angles | {"mean": mean}, ANGLES), ""]
    if overall["angles"] and overall["centres"]:
        angle = np.mean([row["mae"] for row in overall["angles"].values()])
        pelvis = number(overall["centres"].get("mid_hip"), Column("", 0))
        row = f"| {result['protocol']['name']} | {angle:.1f} | {pelvis} |"
        parts += ["Row for the table of docs/protocols.md:", row, ""]
    for name, sequence in sequences.items():
        correlation = sequence["correlation"]
        how = "as given" if correlation is None else f"correlation {correlation:.2f}"
        files = ", ".join(sequence["reference"])
        parts.append(f"{name}: reference {files}, {sequence['offset']:+.3f} s after the video ({how})")
    parts += dict.fromkeys(note for sequence in sequences.values() for note in sequence["notes"])
    if left_out := result["protocol"]["left_out"]:
        parts.append(f"Left out, without videos or a reference: {', '.join(left_out)}")
    return "\n".join(parts)


def latex_session(result: dict[str, Any]) -> str:
    """The table of the joint centres for LaTeX, or that of the angles where there are no centres."""
    group, columns = ("centres", CENTRES) if result["overall"]["centres"] else ("angles", ANGLES)
    rows = {name: sequence[group] for name, sequence in result["sequences"].items()}
    if group == "angles":
        rows = result["overall"]["angles"]
    return latex_table(rows, columns, caption=f"{result['protocol']['title']}, mm and degrees.")
