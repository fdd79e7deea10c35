"""Error of the body's shape on rendered people: stature, lengths of bones and betas, beside the mean shape.

    python -m benchmarks.shape rendered/ [more/ ...] [--weights FILE] [--json FILE]

Clips of folders that `python -m hpof_jax.data render` made: our own bodies of random shape, seen by the real detector. The
model reconstructs each clip as `reconstruct` does; the focal length is assumed. `mean shape` answers betas of zero for
everybody.

`stature` is the height of the mesh in the rest pose, the lengths are those between joints, left and right together. `error`:
mean of the absolute error, `bias`: mean of predicted minus true, `spread`: standard deviation of the true lengths; mm.
`r`: correlation of predicted and true. Betas are in their own unit, the standard deviation of the population.
"""

import argparse
import pathlib

import numpy as np

from benchmarks.program import print_row, program
from benchmarks.rendered import add_folders, read_clips
from benchmarks.swaps import OBSERVED
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.observe.clip import Observations

BONES = {
    "thigh": ("left_hip", "left_knee"),
    "shank": ("left_knee", "left_ankle"),
    "upper arm": ("left_shoulder", "left_elbow"),
    "forearm": ("left_elbow", "left_wrist"),
    "hips": ("left_hip", "right_hip"),
    "shoulders": ("left_shoulder", "right_shoulder"),
    "trunk": ("pelvis", "neck"),
}
FIGURES = ("error", "bias", "r", "mean shape", "spread")


def lengths(body: BodyModel, betas: np.ndarray) -> dict[str, np.ndarray]:
    """The stature and the lengths of `BONES` of shapes (N, 10), in mm, (N,) each."""
    template, shapes = np.asarray(body.v_template, np.float64), np.asarray(body.shapedirs, np.float64)
    heights = template[:, 1] + betas @ shapes[:, 1].T
    joints = np.asarray(body.J_template) + np.tensordot(betas, np.asarray(body.J_shapedirs), axes=1)
    places = {name: joints[:, SMPL_JOINTS.index(name)] for name in SMPL_JOINTS}
    bones = {name: np.linalg.norm(places[a] - places[b], axis=-1) for name, (a, b) in BONES.items()}
    return {name: 1000.0 * value for name, value in ({"stature": np.ptp(heights, axis=1)} | bones).items()}


def compare(pred: np.ndarray, true: np.ndarray, mean: float) -> dict[str, float]:
    """`FIGURES` of one quantity, (N,) each; `mean` is that of the mean shape."""
    error = pred - true
    varies = min(pred.std(), true.std()) > 0
    return {
        "error": float(np.abs(error).mean()),
        "bias": float(error.mean()),
        "r": float(np.corrcoef(pred, true)[0, 1]) if varies else 0.0,
        "mean shape": float(np.abs(mean - true).mean()),
        "spread": float(true.std()),
    }


def measure(folder: pathlib.Path, weights: pathlib.Path | None, body: BodyModel) -> dict:
    """The figures of a folder's clips in which the person is seen."""
    params = load_weights(weights)
    pred, true = [], []
    for _, clip in read_clips(folder):
        if clip["seen"].any():
            observations = Observations(**{key: clip[key] for key in OBSERVED})
            pred.append(lift(observations, params, body).betas)
            true.append(clip["betas"])
    pred, true = np.array(pred, np.float64), np.array(true, np.float64)
    of_mean = lengths(body, np.zeros((1, true.shape[1])))
    of_pred, of_true = lengths(body, pred), lengths(body, true)
    rows = {name: compare(of_pred[name], of_true[name], of_mean[name][0]) for name in of_true}
    return {
        "clips": len(true),
        "lengths": rows,
        "betas": [compare(pred[:, k], true[:, k], 0.0) for k in range(true.shape[1])],
    }


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--weights", type=pathlib.Path, help="a weights .npz (the package's)")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    body, report = load_body(), {}
    for folder in options.folders:
        found = report[str(folder)] = measure(folder, options.weights, body)
        print_row(f"{folder}, {found['clips']} clips", FIGURES)
        for name, row in found["lengths"].items():
            print_row(f"  {name}, mm", row.values())
        for number, row in enumerate(found["betas"]):
            print_row(f"  betas[{number}]", row.values(), decimals=2)
    return report


if __name__ == "__main__":
    main()
