"""Scores a model on a prepared data set by a benchmark's protocol.

python -m hpof_jax.evaluate --data prepared:FOLDER --protocol 3dpw --body smpl/ --regressor J_regressor_h36m.npy
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable

import numpy as np
from absl import logging

from hpof_jax import lifting, moving_camera, scoring
from hpof_jax import refine as fit
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.grounding import ground
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe.clip import Observations
from hpof_jax.predictions.formats import FREE_BODY, Prediction
from hpof_jax.progress import progress
from hpof_jax.tables import fit_label
from hpof_jax.training.protocols import PROTOCOLS, Protocol
from hpof_jax.world import stilled

SPLIT = "test"  # the frames that benchmarks count
TRUE_CAMERA = "hpof_jax, true camera"


def score_prepared(
    folder: str | os.PathLike,
    protocol: str,
    weights: str | os.PathLike | None = None,
    *,
    body: str | os.PathLike | None = None,
    regressor: str | os.PathLike | None = None,
    raw: bool = False,
    refine: str = "off",
) -> dict:
    """Scores a model on the test clips of a folder that `hpof_jax.data prepare` wrote.

    The model sees what the detector found in each clip, at the clip's own frame rate, as in a reconstruction. A person
    who is seen in no frame of a clip counts in `coverage` alone.

    Args:
      protocol: a key of `PROTOCOLS`. Motions in the world have two rows: with the camera's motion as a
        reconstruction finds it, and with the data set's motion and focal length of the camera.
      weights: a weights `.npz` or a training run's folder; None: the shipped weights.
      body, regressor: see `scoring.score`; not needed where the reference is points.
      raw: the raw prediction, without flip test-time augmentation and smoothing.
      refine: the test-time fit, as in `hpof_jax.refine`. Masks of other people in the video are not used.

    Returns:
      what `scoring.score` returns.

    Raises:
      UserError: no test clip of the protocol, or one that cannot be read, or a body that is needed and not given, or
        clips without masks or flow that the fit needs.
    """
    # Here, because it imports the detector.
    from data_pipelines.observed.prepared import clip_files, read_reference

    rules, in_world = PROTOCOLS[protocol], PROTOCOLS[protocol].frame == "world"
    folder = pathlib.Path(folder).expanduser()
    references = {path: read_reference(path) for path in clip_files(folder, SPLIT)}
    references = {
        path: found for path, found in references.items() if not found.subsets or protocol in found.subsets
    }
    if not references:
        raise UserError(
            f"{folder} has no test clip that {protocol} counts: make some with python -m hpof_jax.data prepare; "
            "docs/datasets.md has the protocols of each data set."
        )
    loaded, bodies = load_weights(weights), scoring.Bodies(body, regressor, rules.keypoints)
    mode = fit.chosen(refine, load_body())
    programs: dict[str, dict] = {}
    trues, unseen = [], 0
    for path, found in progress(references.items(), "scoring", len(references), "clip"):
        true = _truth(found, rules, path)
        trues.append(true)
        observations = Observations.load(path)
        if not observations.seen.any():
            logging.warning("%s shows nobody whom the detector finds: it is left out.", path)
            unseen += 1
            continue
        lift = functools.partial(lifting.lift, weights=loaded, flip=not raw, smooth=not raw)
        fitted = functools.partial(_fitted, mode, path)
        if in_world:
            motions = _in_world(lift, fitted, observations, found, path)
        else:
            motions = {"hpof_jax": fitted(lift(observations), observations)}
        for name, motion in motions.items():
            pred = Prediction(
                "hpof_jax",
                np.asarray(motion.poses, np.float64).reshape(-1, 24, 3),
                np.broadcast_to(np.asarray(motion.betas, np.float64), (len(motion.poses), len(motion.betas))),
                np.asarray(motion.trans, np.float64),
                found.frame_index,
                true.fps,
                body=FREE_BODY,
            )
            clip = path.stem.removeprefix("clip_")
            programs.setdefault(name + fit_label(mode), {})[clip] = scoring.compare(
                rules, pred, true, bodies, str(path)
            )
    if not programs:
        raise UserError(f"The detector finds nobody in the test clips of {folder}: prepare them with frames.")
    notes = [f"{unseen} clips that show nobody are left out."] * bool(unseen)
    if any(true.body not in (FREE_BODY, "points") for true in trues):
        notes.append(
            "hpof_jax: the prediction is on the free body and the reference on SMPL; there is no PVE."
        )
    if in_world:
        notes.append(f"{TRUE_CAMERA}: the camera's motion and focal length are the data set's own.")
    names = [str(path) for path in references]
    notes += scoring.gender_notes(trues, body)
    tables = {name: scoring.table(totals) for name, totals in programs.items()}
    return scoring.report(protocol, tables, names, notes)


def _fitted(mode: str, path: pathlib.Path, motion: Motion, observations: Observations) -> Motion:
    for name in fit.NEEDS[mode]:
        if getattr(observations, name) is None:
            raise UserError(
                f"{path} has no {name}, which the fit needs: prepare the data set again without --no-{name}, in another "
                "folder, or leave --refine out."
            )
    return motion if mode == "off" else fit.refine(motion, observations, mode=mode, progress=False)


def _in_world(
    lift: Callable, fitted: Callable, observations: Observations, found, path: pathlib.Path
) -> dict[str, Motion]:
    """The motion in axes that stand still: with the camera as a reconstruction finds it, and with the true one."""
    if observations.background is None:
        raise UserError(
            f"{path} has no points of the background: prepare the data set again, in another folder."
        )
    one = moving_camera.calibrated([observations])[0]
    motions, _ = moving_camera.with_camera([lift(one)], [one])
    grounded = ground([fitted(motions[0], one)], load_body())
    turn, shift = found.world_to_camera[..., :3], found.world_to_camera[..., 3:]
    centre = -(np.swapaxes(turn, -1, -2) @ shift)[..., 0]
    known = dataclasses.replace(
        observations, focal_length=np.array(found.focal_length, np.float32), focal_length_source="given"
    )
    true = dataclasses.replace(
        fitted(lift(known), known),
        camera_rotation=turn @ turn[0].T,
        camera_position=(centre - centre[0]) @ turn[0].T,
    )
    return {"hpof_jax": stilled(grounded[0]), TRUE_CAMERA: stilled(true)}


def _truth(found, rules: Protocol, path: pathlib.Path) -> Prediction | scoring.Points:
    """The reference of a clip in its valid frames: points if it has them for such a protocol, else SMPL's motion."""
    from data_pipelines.datasets.base import SMPL_PELVIS, into_camera, inverted

    rows = np.flatnonzero(found.valid)
    frames = found.frame_index[rows]
    if found.reference is not None and rules.keypoints != "smpl24":
        return scoring.Points(found.reference[rows], found.reference_set, frames, found.fps)
    if found.pose is None:
        raise UserError(
            f"{path} has no SMPL parameters, which {rules.title} needs: docs/datasets.md has the protocols of each data "
            "set."
        )
    pose, transl = found.pose[rows], found.transl[rows]
    if rules.frame == "world":
        if found.world_to_camera is None:
            raise UserError(f"{path} has no motion of the camera: choose a protocol in the camera's frame.")
        pose, transl = into_camera(pose, transl, SMPL_PELVIS, inverted(found.world_to_camera[rows]))
    betas = np.broadcast_to(found.betas, (len(rows), len(found.betas)))
    kind = {"gender": found.gender, "body": found.body}
    return Prediction("reference", pose, betas, transl, frames, found.fps, **kind)
