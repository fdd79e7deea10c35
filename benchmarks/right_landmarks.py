"""How much of the error on rendered people is the detector's? The model is told the truth in place of what was seen.

    python -m benchmarks.right_landmarks rendered/ [more/ ...] [--weights FILE] [--split validation] [--json FILE]

Clips of folders that `python -m hpof_jax.data render` made, as `hpof_jax.evaluate` measures them (with the mirror image,
smoothed). Of the 33 landmarks in every frame that was seen: as the detector saw them; those in 2D right, as the truth's
landmarks fall into the picture; those in 3D right; both right. Visibilities stay the detector's. PA-MPJPE and N-MPJPE of the 12 limb
joints, mm, mean over frames; `worst`, PA-MPJPE of the worse tenth of the clips. A model that was trained with a detector's errors
does not expect that there are none, so this is more than a model trained for it would be left with.
"""

import argparse
import json
import pathlib

import jax
import numpy as np

from data_pipelines import stream
from data_pipelines.simulate import landmarks
from hpof_jax import cli
from hpof_jax.body import load_body
from hpof_jax.files import replacing
from hpof_jax.geometry.camera import project
from hpof_jax.observe.blazepose import HIPS
from hpof_jax.training import checkpoint, evaluation, state

WAYS = {"as seen": (), "2D right": ("landmarks_2d",), "3D right": ("landmarks_3d",),
        "both right": ("landmarks_2d", "landmarks_3d")}  # fmt: skip
CLIP_LENGTH, WORST = 243, 0.1


@jax.jit
def right(body, batch):
    """What a perfect detector would have said: `landmarks_2d` (B, T, 33, 2) and `landmarks_3d` (B, T, 33, 3)."""
    points, rest = landmarks(body, batch["pose"], batch["betas"])
    points = points + (batch["transl"] + rest[:, None])[:, :, None]
    places = project(points, batch["true_focal_length"][:, None, None], batch["image_size"][:, None, None])
    return {
        "landmarks_2d": places,
        "landmarks_3d": points - points[:, :, HIPS, :].mean(axis=2, keepdims=True),
    }


def told(body, batch, keys):
    """The batch with these of its landmarks right."""
    seen, truth = batch["seen"][..., None, None], right(body, {k: batch[k] for k in batch if batch[k].ndim})
    changed = {}
    for key in keys:
        value = batch[key].copy()
        value[..., : truth[key].shape[-1]] = truth[key]
        changed[key] = np.where(seen, value, np.float32(0))
    return batch | changed


def measure(folder, weights, split):
    """Way -> its figures."""
    params, config = checkpoint.load_weights(weights)
    body, model = load_body(), state.make_model(config)
    totals = evaluation.make_totals(model, body, bare=False)
    windows = [*stream.validation_windows({f"rendered:{folder}": 1.0}, CLIP_LENGTH, 0, split=split)]
    figures = {}
    for way, keys in WAYS.items():
        found = []
        for batch, names, _ in windows:
            values = totals(params, told(body, batch, keys))
            values = {key: np.asarray(values[f"limb_{key}"], np.float64) for key in ("pa_mpjpe", "n_mpjpe")}
            found += [
                {key: value[row] for key, value in values.items()} for row, name in enumerate(names) if name
            ]
        clips = np.sort([total / count for total, count in (row["pa_mpjpe"] for row in found) if count])
        sums = {key: np.sum([row[key] for row in found], axis=0) for key in found[0]}
        figures[way] = {key: total / count for key, (total, count) in sums.items()}
        figures[way]["worst"] = float(clips[-max(int(WORST * len(clips)), 1) :].mean())
    return figures | {"clips": len(clips)}


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description="The model's error if the detector made none.")
    parser.add_argument(
        "folders", nargs="+", type=pathlib.Path, help="made by python -m hpof_jax.data render"
    )
    parser.add_argument("--weights", type=pathlib.Path, help="a weights .npz (the package's)")
    parser.add_argument("--split", choices=("train", "validation"), default="validation")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here as well")
    args = parser.parse_args()
    report = {}
    for folder in args.folders:
        report[str(folder)] = figures = measure(folder, args.weights, args.split)
        print(f"{folder}: {figures['clips']} clips")
        for way in WAYS:
            print(f"  {way:12}", *(f"{name} {value:6.1f}  " for name, value in figures[way].items()))
    if args.json:
        with replacing(args.json, "The report") as partial:
            partial.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
