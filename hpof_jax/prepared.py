"""Scores a model on a prepared data set by a benchmark's protocol.

python -m hpof_jax.evaluate --data prepared:FOLDER --protocol 3dpw --body smpl/ --regressor J_regressor_h36m.npy
"""

import os
import pathlib

import numpy as np
from absl import logging

from hpof_jax import lifting, scoring
from hpof_jax.errors import UserError
from hpof_jax.models.weights import load_weights
from hpof_jax.observe.clip import Observations
from hpof_jax.predictions.formats import FREE_BODY, Prediction
from hpof_jax.progress import progress
from hpof_jax.training.protocols import PROTOCOLS

SPLIT = "test"  # the frames that benchmarks count


def score_prepared(
    folder: str | os.PathLike,
    protocol: str,
    weights: str | os.PathLike | None = None,
    *,
    body: str | os.PathLike | None = None,
    regressor: str | os.PathLike | None = None,
    raw: bool = False,
) -> dict:
    """Scores a model on the test clips of a folder that `hpof_jax.data prepare` wrote.

    The model sees what the detector found in each clip, at the clip's own frame rate, as in a reconstruction. A person
    who is seen in no frame of a clip counts in `coverage` alone.

    Args:
      protocol: a key of `PROTOCOLS` whose motions are in the camera frame.
      weights: a weights `.npz` or a training run's folder; None: the shipped weights.
      body, regressor: see `scoring.score`; not needed where the reference is points.
      raw: the raw prediction, without flip test-time augmentation and smoothing.

    Returns:
      what `scoring.score` returns, of one program.

    Raises:
      UserError: no test clip of the protocol, or one that cannot be read, or a body that is needed and not given.
    """
    from data_pipelines.observed.prepared import (
        clip_files,
        read_reference,
    )  # here, because it imports the detector

    rules = PROTOCOLS[protocol]
    if rules.frame != "camera":
        raise UserError(f"{protocol} needs motions in the world: give results as --predictions.")
    folder = pathlib.Path(folder).expanduser()
    references = {path: read_reference(path) for path in clip_files(folder, SPLIT)}
    references = {
        path: found for path, found in references.items() if not found.subsets or protocol in found.subsets
    }
    if not references:
        raise UserError(
            f"{folder} has no test clip that {protocol} counts: make some with python -m hpof_jax.data prepare."
        )
    loaded, bodies = load_weights(weights), scoring.Bodies(body, regressor, rules.keypoints)
    totals, trues, unseen = {}, [], 0
    for path, found in progress(references.items(), "scoring", len(references), "clip"):
        true = _truth(found, rules.keypoints, path)
        trues.append(true)
        observations = Observations.load(path)
        if not observations.seen.any():
            logging.warning("%s shows nobody whom the detector finds: it is left out.", path)
            unseen += 1
            continue
        motion = lifting.lift(observations, loaded, flip=not raw, smooth=not raw)
        pred = Prediction(
            "hpof_jax",
            np.asarray(motion.poses, np.float64).reshape(-1, 24, 3),
            np.broadcast_to(np.asarray(motion.betas, np.float64), (len(motion.poses), len(motion.betas))),
            np.asarray(motion.trans, np.float64),
            found.frame_index,
            true.fps,
            body=FREE_BODY,
        )
        totals[path.stem.removeprefix("clip_")] = scoring.compare(rules, pred, true, bodies, str(path))
    if not totals:
        raise UserError(f"The detector finds nobody in the test clips of {folder}: prepare them with frames.")
    notes = [f"{unseen} clips that show nobody are left out."] * bool(unseen)
    if any(true.body not in (FREE_BODY, "points") for true in trues):
        notes.append(
            "hpof_jax: the prediction is on the free body and the reference on SMPL; there is no PVE."
        )
    names = [str(path) for path in references]
    notes += scoring.gender_notes(trues, body)
    return scoring.report(protocol, {"hpof_jax": scoring.table(totals)}, names, notes)


def _truth(found, keypoints: str, path: pathlib.Path) -> Prediction | scoring.Points:
    """The reference of a clip in its valid frames: points if it has them for such a protocol, else SMPL's motion."""
    rows = np.flatnonzero(found.valid)
    frames = found.frame_index[rows]
    if found.reference is not None and keypoints != "smpl24":
        return scoring.Points(found.reference[rows], found.reference_set, frames, found.fps)
    if found.pose is None:
        raise UserError(f"{path} has no SMPL parameters: choose a protocol of its data set.")
    betas = np.broadcast_to(found.betas, (len(rows), len(found.betas)))
    kind = {"gender": found.gender, "body": found.body}
    return Prediction("reference", found.pose[rows], betas, found.transl[rows], frames, found.fps, **kind)
