"""Errors of the simulated detector on synthetic motion, to be compared with those of the real one.

    python -m benchmarks.detector_errors [--json FILE]

Each figure is a mean over a clip's frames; the table has percentiles over 256 clips of 81 frames, made with
the default noise. Figures of the real detector: `python -m benchmarks.detector_statistics`.
"""

import argparse
from collections.abc import Mapping

import numpy as np

from benchmarks.program import print_row, program
from data_pipelines.simulate.camera import landmarks
from data_pipelines.stream import StreamOptions, batch_maker
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.skeletons import BLAZEPOSE_HIPS, BLAZEPOSE_LIMBS
from hpof_jax.geometry.camera import project
from hpof_jax.training import metrics

PERCENTILES = (5, 25, 50, 75, 95)
STATURE = 1.7  # metres, of everybody
BATCHES = 4


def detector_errors(batch: Mapping[str, np.ndarray], body: BodyModel) -> dict[str, np.ndarray]:
    """Errors of a batch's observations over the 12 limb joints, one number a clip, without unseen frames.

    Args:
      batch: of `stream.make_stream`.

    Returns:
      (B,) each, mean over the frames: `pa_mpjpe` and `n_mpjpe` of the 3D landmarks in mm, the latter with the
      mid-hips at the origin; `acceleration`, mm/frame^2 of the 3D landmarks' error; `error_2d`, % of the
      body's height in the picture; `depth_slope`, of predicted over true depth; `visibility`, 0 to 1.
    """
    points, pelvis = landmarks(body, batch["pose"], batch["betas"], batch["transl"])
    focal_length, size = batch["true_focal_length"][:, None, None], batch["image_size"][:, None, None]
    pixels = np.asarray(project(points, focal_length, size))
    points, depth = np.asarray(points), np.asarray(pelvis)[..., 2]
    seen = batch["seen"] & batch["mask"]
    height = batch["true_focal_length"][:, None] / np.maximum(depth, 0.1) * STATURE
    error_2d = np.linalg.norm(batch["landmarks_2d"][..., :2] - pixels, axis=-1)[:, :, BLAZEPOSE_LIMBS]

    true = (points - points[:, :, BLAZEPOSE_HIPS].mean(2, keepdims=True))[:, :, BLAZEPOSE_LIMBS]
    found = batch["landmarks_3d"][:, :, BLAZEPOSE_LIMBS]
    scale = np.sum(found * true, axis=(-1, -2)) / np.maximum(np.sum(found * found, axis=(-1, -2)), 1e-9)
    normalised = np.linalg.norm(found * scale[..., None, None] - true, axis=-1).mean(-1)
    aligned = np.asarray(metrics.pa_mpjpe(found, true))
    acceleration = np.linalg.norm(np.diff(found - true, n=2, axis=1), axis=-1).mean(-1)
    neighbours = seen[:, 2:] & seen[:, 1:-1] & seen[:, :-2]
    slope = np.sum(found[..., 2] * true[..., 2], axis=-1) / np.maximum(
        np.sum(true[..., 2] ** 2, axis=-1), 1e-9
    )
    return dict(
        pa_mpjpe=_mean(aligned, seen),
        n_mpjpe=1e3 * _mean(normalised, seen),
        acceleration=1e3 * _mean(acceleration, neighbours),
        error_2d=100 * _mean(np.median(error_2d, axis=-1) / height, seen),
        depth_slope=_mean(slope, seen),
        visibility=_mean(batch["landmarks_2d"][:, :, BLAZEPOSE_LIMBS, 2].mean(-1), seen),
    )


def _mean(values, valid):
    """(B, T) -> (B,): NaN for a clip without a valid frame."""
    with np.errstate(invalid="ignore"):
        return np.sum(values * valid, axis=1) / np.sum(valid, axis=1)


def percentiles(errors: list[dict[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    """Percentiles of each figure over the clips of all batches, without those in which nobody was seen."""
    return {
        key: dict(
            zip(
                map(str, PERCENTILES),
                np.nanpercentile(np.concatenate([batch[key] for batch in errors]), PERCENTILES).tolist(),
            )
        )
        for key in errors[0]
    }


def show(found: dict[str, dict[str, float]]) -> None:
    print_row("percentile over the clips", PERCENTILES)
    for name, values in found.items():
        print_row(name, values.values(), decimals=2)


@program(__doc__)
def main(options: argparse.Namespace) -> dict:
    body = load_body()
    make = batch_maker({"synthetic": 1.0}, StreamOptions(64, 81, body=body))
    report = percentiles([detector_errors(make(step), body) for step in range(BATCHES)])
    show(report)
    return report


if __name__ == "__main__":
    main()
