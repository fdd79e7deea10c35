"""How far observations lie from the truth: the figures by which the simulated detector is held against the real one.

python -m benchmarks.detector_errors      # of the default noise on synthetic motion
"""

import numpy as np

from data_pipelines.simulate.camera import landmarks
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import BLAZEPOSE_HIPS, BLAZEPOSE_LIMBS
from hpof_jax.geometry.camera import project
from hpof_jax.training import metrics


def detector_errors(batch: dict[str, np.ndarray], body: BodyModel) -> dict[str, np.ndarray]:
    """Errors of a batch's observations over the 12 limb joints, one number a clip; unseen frames do not count.

    Args:
      batch: of `stream.make_stream`.

    Returns:
      (B,) each, mean over the frames: `pa_mpjpe` and `n_mpjpe` (mm; similarity, and scale with the mid-hips put
      together), `acceleration` (mm / frame^2 of landmarks_3d's error), `error_2d` (% of the body's height in the
      picture), `depth_slope` (of predicted on true depth), `visibility` (0..1).
    """
    truth, pelvis = landmarks(body, batch["pose"], batch["betas"], batch["transl"])
    focal_length, size = batch["true_focal_length"][:, None, None], batch["image_size"][:, None, None]
    pixels = np.asarray(project(truth, focal_length, size))
    truth, depth = np.asarray(truth), np.asarray(pelvis)[..., 2]
    seen = batch["seen"] & batch["mask"]
    height = batch["true_focal_length"][:, None] / np.maximum(depth, 0.1) * _STATURE
    error_2d = np.linalg.norm(batch["landmarks_2d"][..., :2] - pixels, axis=-1)[:, :, BLAZEPOSE_LIMBS]

    true = (truth - truth[:, :, BLAZEPOSE_HIPS].mean(2, keepdims=True))[:, :, BLAZEPOSE_LIMBS]
    found = batch["landmarks_3d"][:, :, BLAZEPOSE_LIMBS]
    scale = np.sum(found * true, axis=(-1, -2)) / np.maximum(np.sum(found * found, axis=(-1, -2)), 1e-9)
    normalised = np.linalg.norm(found * scale[..., None, None] - true, axis=-1).mean(-1)
    aligned = np.asarray(metrics.pa_mpjpe(found, true))
    jerk = np.linalg.norm(np.diff(found - true, n=2, axis=1), axis=-1).mean(-1)
    steady = seen[:, 2:] & seen[:, 1:-1] & seen[:, :-2]
    slope = np.sum(found[..., 2] * true[..., 2], axis=-1) / np.maximum(
        np.sum(true[..., 2] ** 2, axis=-1), 1e-9
    )
    return dict(
        pa_mpjpe=_mean(aligned, seen),
        n_mpjpe=1e3 * _mean(normalised, seen),
        acceleration=1e3 * _mean(jerk, steady),
        error_2d=100 * _mean(np.median(error_2d, axis=-1) / height, seen),
        depth_slope=_mean(slope, seen),
        visibility=_mean(batch["landmarks_2d"][:, :, BLAZEPOSE_LIMBS, 2].mean(-1), seen),
    )


_STATURE = 1.7  # metres


def _mean(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(B, T) -> (B,): NaN for a clip without a valid frame."""
    with np.errstate(invalid="ignore"):
        return np.sum(values * valid, axis=1) / np.sum(valid, axis=1)


def table(errors: dict[str, np.ndarray]) -> str:
    """Percentiles over the clips, one line a figure."""
    lines = [f"{'':14}" + "".join(f"{p:>8}%" for p in PERCENTILES)]
    for name, values in errors.items():
        lines.append(f"{name:14}" + "".join(f"{v:9.2f}" for v in np.nanpercentile(values, PERCENTILES)))
    return "\n".join(lines)


PERCENTILES = (5, 25, 50, 75, 95)


def main() -> None:
    from data_pipelines.stream import StreamOptions, batch_maker
    from hpof_jax.body.files import load_body

    body = load_body()
    make = batch_maker({"synthetic": 1.0}, StreamOptions(64, 81, body=body))
    batches = [detector_errors(make(step), body) for step in range(4)]
    print(table({key: np.concatenate([b[key] for b in batches]) for key in batches[0]}))


if __name__ == "__main__":
    main()
