"""Error of the model on rendered people with true landmarks in place of the detector's.

    python -m benchmarks.right_landmarks rendered/ [more/ ...] [--weights FILE] [--json FILE]

Clips of folders that `python -m hpof_jax.data render` made, as `hpof_jax.evaluate` measures them, with flip
test-time augmentation and smoothing. In the frames where the person was seen, the model gets the 33 landmarks
as the detector saw them, or with the true 2D ones, or with the true 3D ones, or with both. Visibilities stay
the detector's.

`pa_mpjpe`, `n_mpjpe`: mm, of the 12 limb joints, mean over the frames. `worst`: PA-MPJPE, mean over the worst
tenth of the clips. The model was trained with the detector's errors and does not expect true landmarks; a
model trained for them would do better.
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

from benchmarks.program import print_row, program
from benchmarks.rendered import add_folders
from data_pipelines import stream, validation
from data_pipelines.feed import Batch
from data_pipelines.simulate.camera import landmarks
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.skeletons import BLAZEPOSE_HIPS
from hpof_jax.geometry.camera import project
from hpof_jax.models.build import make_model
from hpof_jax.models.weights import load_weights
from hpof_jax.training import evaluation, metrics

INPUTS = {"as seen": (), "true 2D": ("landmarks_2d",), "true 3D": ("landmarks_3d",),
          "both true": ("landmarks_2d", "landmarks_3d")}  # fmt: skip
FIGURES = ("pa_mpjpe", "n_mpjpe", "worst")
CLIP_LENGTH, WORST = 243, 0.1


def true_landmarks(body: BodyModel, batch: Batch) -> Batch:
    """What a perfect detector would see: `landmarks_2d` (B, T, 33, 2) and `landmarks_3d` (B, T, 33, 3)."""
    points, _ = landmarks(body, batch["pose"], batch["betas"], batch["transl"])
    focal_length, size = batch["true_focal_length"][:, None, None], batch["image_size"][:, None, None]
    return {
        "landmarks_2d": project(points, focal_length, size),
        "landmarks_3d": metrics.centre(points, BLAZEPOSE_HIPS),
    }


def replaced(batch: Batch, true: Batch, keys: Sequence[str]) -> Batch:
    """The batch with the true landmarks of these keys in the frames that were seen."""
    changed = {key: batch[key].copy() for key in keys}
    for key, value in changed.items():
        value[..., : true[key].shape[-1]] = np.where(batch["seen"][..., None, None], true[key], 0)
    return batch | changed


def measure(folder: pathlib.Path, weights: pathlib.Path | None, split: str) -> dict:
    """`FIGURES` for each of `INPUTS`, and the number of clips."""
    params, config = load_weights(weights)
    body, model = load_body(), make_model(config)
    totals = evaluation.make_totals(model, body, raw=False)
    options = stream.StreamOptions(16, CLIP_LENGTH, split=split)
    windows = validation.validation_windows({f"rendered:{folder}": 1.0}, options)
    windows = [(batch, true_landmarks(body, batch), names) for batch, names, _ in windows]
    report = {}
    for given, keys in INPUTS.items():
        # Names in place of motion classes: each clip becomes a class, with metrics of its own.
        batches = ((replaced(batch, true, keys), names, names) for batch, true, names in windows)
        tables = evaluation.evaluate(totals, params, {given: batches})
        clips = sorted(row["limb_pa_mpjpe"] for row in tables["classes"].values())
        worst = clips[-max(int(WORST * len(clips)), 1) :]
        overall = (tables["overall"][key] for key in ("limb_pa_mpjpe", "limb_n_mpjpe"))
        report[given] = dict(zip(FIGURES, (*overall, float(np.mean(worst)))))
    return report | {"clips": len(clips)}


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--weights", type=pathlib.Path, help="a weights .npz (the package's)")
    parser.add_argument("--split", choices=("train", "validation"), default="validation")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    report = {}
    for folder in options.folders:
        report[str(folder)] = figures = measure(folder, options.weights, options.split)
        print_row(f"{folder}, {figures['clips']} clips", FIGURES)
        for given in INPUTS:
            print_row(f"  {given}", figures[given].values())
    return report


if __name__ == "__main__":
    main()
