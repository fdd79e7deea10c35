"""How much of the error on rendered people is the detector's? The model is told the truth in place of what was seen.

    python -m benchmarks.right_landmarks rendered/ [more/ ...] [--weights FILE] [--split validation] [--json FILE]

Clips of folders that `python -m hpof_jax.data render` made, as `hpof_jax.evaluate` measures them (with the mirror image,
smoothed). Of the 33 landmarks in every frame that was seen: as the detector saw them; those in 2D right, as the truth's
landmarks fall into the picture; those in 3D right; both right. Visibilities stay the detector's. PA-MPJPE and N-MPJPE of the 12 limb
joints, mm, mean over frames; `worst`, PA-MPJPE of the worse tenth of the clips. A model that was trained with a detector's errors
does not expect that there are none, so this is more than a model trained for it would be left with.
"""

import argparse
import pathlib

import numpy as np

from benchmarks.program import program
from data_pipelines import stream, validation
from data_pipelines.simulate.camera import landmarks
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_HIPS
from hpof_jax.geometry.camera import project
from hpof_jax.models.build import make_model
from hpof_jax.models.weights import load_weights
from hpof_jax.training import evaluation, metrics

WAYS = {"as seen": (), "2D right": ("landmarks_2d",), "3D right": ("landmarks_3d",),
        "both right": ("landmarks_2d", "landmarks_3d")}  # fmt: skip
CLIP_LENGTH, WORST = 243, 0.1


def right(body, batch):
    """What a perfect detector would have said: `landmarks_2d` (B, T, 33, 2), `landmarks_3d` (B, T, 33, 3)."""
    points, _ = landmarks(body, batch["pose"], batch["betas"], batch["transl"])
    focal_length, size = batch["true_focal_length"][:, None, None], batch["image_size"][:, None, None]
    return {
        "landmarks_2d": project(points, focal_length, size),
        "landmarks_3d": metrics.centre(points, BLAZEPOSE_HIPS),
    }


def told(batch, truth, keys):
    """The batch with these of its landmarks right."""
    changed = {key: batch[key].copy() for key in keys}
    for key, value in changed.items():
        value[..., : truth[key].shape[-1]] = np.where(batch["seen"][..., None, None], truth[key], 0)
    return batch | changed


def measure(folder, weights, split):
    """Way -> its figures."""
    params, config = load_weights(weights)
    body, model = load_body(), make_model(config)
    totals = evaluation.make_totals(model, body, raw=False)
    options = stream.StreamOptions(16, CLIP_LENGTH, split=split)
    windows = validation.validation_windows({f"rendered:{folder}": 1.0}, options)
    windows = [(batch, right(body, batch), names) for batch, names, _ in windows]
    figures = {}
    for way, keys in WAYS.items():
        shown = ((told(batch, truth, keys), names, names) for batch, truth, names in windows)
        tables = evaluation.evaluate(totals, params, {way: shown})  # its "classes" are the clips
        clips = sorted(row["limb_pa_mpjpe"] for row in tables["classes"].values())
        figures[way] = {key: tables["overall"][f"limb_{key}"] for key in ("pa_mpjpe", "n_mpjpe")}
        figures[way]["worst"] = float(np.mean(clips[-max(int(WORST * len(clips)), 1) :]))
    return figures | {"clips": len(clips)}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", type=pathlib.Path, help="made by python -m hpof_jax.data render"
    )
    parser.add_argument("--weights", type=pathlib.Path, help="a weights .npz (the package's)")
    parser.add_argument("--split", choices=("train", "validation"), default="validation")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    report = {}
    for folder in options.folders:
        report[str(folder)] = figures = measure(folder, options.weights, options.split)
        print(f"{folder}: {figures['clips']} clips")
        for way in WAYS:
            print(f"  {way:12}", *(f"{name} {value:6.1f}  " for name, value in figures[way].items()))
    return report


if __name__ == "__main__":
    main()
