"""Errors of the detector on rendered people beside those on real video.

    python -m benchmarks.detector_statistics rendered/ [more/ ...] [--json FILE] [--plot FILE.png]

Real: the four cameras of `benchmarks.real_views` and their triangulated reference, every other frame (30
frames/s). Rendered: all clips of folders that `python -m hpof_jax.data render` made, with their ground truth.
Each figure is over the 12 limb joints in the frames where the person was seen: the mean over a clip's frames,
then the median over the clips. A real camera counts as a clip.

- `pa_mpjpe`, `n_mpjpe`: mm, of the detector's 3D landmarks, as in `benchmarks.real_views`. `accel`:
  mm/frame^2 at 30 frames/s. `tilt`: degrees between the trunks. `slope`: of predicted over true depth about
  the mid-hip; 1 is right.
- `error_2d`: median distance in percent of the body's extent in the picture. `swapped`: percent of the pairs
  of a left and a right joint that fit better the other way round, by more than a tenth of that extent.
  `visibility`: mean, in percent. `seen`: percent of the frames.
- `persists`: correlation of a joint's 2D error, about its mean over the clip, with that in the next frame.
  `lasts`: mean length of a left-right swap of a pair, in frames. `sure`: mean 2D error of the joints with a
  visibility above 0.9, as `error_2d`; `unsure`: of the others.

The two ground truths define a hip differently: SMPL's joint in rendered clips, and in real video the place
that the detector gives it in all views.
"""

import argparse
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np

from benchmarks import real_views
from benchmarks.program import print_row, program
from benchmarks.rendered import add_folders, read_clips, true_limbs
from data_pipelines.motion.clip import FPS
from hpof_jax.atomic import replacing
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, LIMB_JOINTS
from hpof_jax.training import metrics

FIGURES = ("pa_mpjpe", "n_mpjpe", "accel", "tilt", "slope", "error_2d", "swapped", "visibility", "seen",
           "persists", "lasts", "sure", "unsure")  # fmt: skip
SWAP_MARGIN = 0.1  # of the body's extent
LAGS = 15  # frames
CONFIDENCE = np.linspace(0, 1, 6)  # edges of the bins of visibility
CURVES = ("error_of_joint", "error_at_confidence", "persistence")


def statistics(
    found: np.ndarray, found_pixels: np.ndarray, true: np.ndarray, true_pixels: np.ndarray, seen: np.ndarray
) -> dict[str, float | np.ndarray]:
    """The figures of one clip, and its `CURVES`: for each joint, each bin of visibility and each lag.

    Args:
      found, true: (T, 12, 3) metres, camera frame.
      found_pixels: (T, 12, 3) with visibility. true_pixels: (T, 12, 2).
      seen: (T,) bool.
    """
    found, true = np.asarray(found, np.float32), np.asarray(true, np.float32)

    def average(errors, mask=seen):
        return metrics.mean(metrics.total(np.asarray(errors, np.float32), mask))

    about, true_about = (np.asarray(metrics.centre(points, real_views.HIPS)) for points in (found, true))
    extent = np.ptp(true_pixels, axis=1).max(-1)
    apart = np.linalg.norm(found_pixels[:, :, None, :2] - true_pixels[:, None], axis=-1)  # (T, found, true)
    left, right = real_views.PAIRS.T
    straight = apart[:, left, left] + apart[:, right, right]
    crossed = apart[:, left, right] + apart[:, right, left]
    own = np.diagonal(apart, axis1=1, axis2=2)
    percent = np.where(seen[:, None], 100 * own / extent[:, None], np.nan)
    swaps = (straight > crossed + SWAP_MARGIN * extent[:, None]) & seen[:, None]
    confidence = np.where(seen[:, None], found_pixels[..., 2], np.nan)
    bins = [(confidence >= low) & (confidence <= high) for low, high in zip(CONFIDENCE, CONFIDENCE[1:])]
    persistence = _persistence(found_pixels[..., :2] - true_pixels, seen)
    depth = np.sum(about[..., 2] * true_about[..., 2], axis=1) / np.maximum(
        np.sum(true_about[..., 2] ** 2, axis=1), 1e-9
    )
    return {
        "pa_mpjpe": average(metrics.pa_mpjpe(found, true)),
        "n_mpjpe": average(metrics.n_mpjpe(found, true, root=real_views.HIPS)),
        "accel": average(metrics.acceleration_error(about, true_about), metrics.acceleration_mask(seen)),
        "tilt": average(real_views.trunk_angle(found, true)),
        "slope": average(depth),
        "error_2d": average(100 * np.median(own, axis=1) / extent),
        "swapped": average(100 * np.mean(swaps, axis=1)),
        "visibility": average(100 * found_pixels[..., 2].mean(1)),
        "seen": 100 * float(np.mean(seen)),
        "persists": persistence[1],
        "lasts": _mean(np.concatenate([_runs(column) for column in swaps.T])),
        "sure": _mean(percent[confidence > 0.9]),
        "unsure": _mean(percent[confidence <= 0.9]),
        "error_of_joint": np.array([np.nanmedian(column) for column in percent.T]),
        "error_at_confidence": np.array([_mean(percent[where]) for where in bins]),
        "persistence": persistence,
    }


def _mean(values):
    return float(np.mean(values)) if len(values) else np.nan


def _runs(state):
    """Lengths of the runs of True in (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], state, [False]])))
    return np.diff(edges.reshape(-1, 2), axis=1)[:, 0]


def _persistence(errors, seen):
    """Correlation of errors (T, K, 2) with later ones at each lag, (LAGS + 1,), over pairs of seen frames."""
    errors = errors - errors[seen].mean(axis=0)
    curve = []
    for lag in range(LAGS + 1):
        both = seen[lag:] & seen[: len(seen) - lag]
        first, second = errors[: len(seen) - lag][both], errors[lag:][both]
        size = np.sqrt(np.sum(first**2, axis=(0, 2)) * np.sum(second**2, axis=(0, 2)))
        curve.append(np.median(np.sum(first * second, axis=(0, 2)) / np.maximum(size, 1e-9)))
    return np.array(curve)


def real_clips(landmark_model: str) -> Iterator[dict[str, float | np.ndarray]]:
    """`statistics` of each real camera."""
    reference = real_views.make_reference(real_views.observe_views("heavy"))
    for camera, view in zip(reference.cameras, real_views.observe_views(landmark_model)):
        step = round(float(view.fps) / FPS)
        yield statistics(
            view.landmarks_3d[::step, BLAZEPOSE_LIMBS],
            view.landmarks_2d[::step, BLAZEPOSE_LIMBS],
            camera.to_camera(reference.joints)[::step],
            camera.project(reference.joints)[::step],
            view.seen[::step],
        )


def rendered_clips(folder: pathlib.Path) -> Iterator[dict[str, float | np.ndarray]]:
    """`statistics` of each rendered clip."""
    for _, clip in read_clips(folder):
        observed = clip["landmarks_3d"][:, BLAZEPOSE_LIMBS], clip["landmarks_2d"][:, BLAZEPOSE_LIMBS]
        yield statistics(*observed, *true_limbs(clip), clip["seen"])


def summarise(name: str, clips: list[dict[str, float | np.ndarray]]) -> dict[str, float | list]:
    """Medians over a group of clips. Prints the figures as a row."""
    rows = np.array([[clip[figure] for figure in FIGURES] for clip in clips])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no clip has the figure, such as the length of swaps
        middle = np.nanmedian(rows, axis=0)
        curves = {curve: np.nanmedian([clip[curve] for clip in clips], axis=0).tolist() for curve in CURVES}
    print_row(name, (len(rows), *middle), decimals=2, width=11)
    return {"clips": len(rows), **dict(zip(FIGURES, middle.tolist())), **curves}


def plot(report: dict[str, dict], path: pathlib.Path) -> None:
    """Draws the curves of each group of clips."""
    from matplotlib.figure import Figure  # installed with mediapy

    figure = Figure(figsize=(14, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    width = 0.8 / len(report)
    middles = (CONFIDENCE[1:] + CONFIDENCE[:-1]) / 2
    for number, (name, group) in enumerate(report.items()):
        places = np.arange(len(LIMB_JOINTS)) + (number - (len(report) - 1) / 2) * width
        axes[0].bar(places, group["error_of_joint"], width, label=name)
        axes[1].plot(middles, group["error_at_confidence"], "o-", label=name)
        axes[2].plot(group["persistence"], "o-", label=name)
    names = [joint.replace("_", " ") for joint in LIMB_JOINTS]
    axes[0].set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes[0].set_ylabel("median error, % of the body's extent")
    axes[1].set(xlabel="the detector's visibility", ylabel="mean error, % of the body's extent")
    axes[2].set(xlabel="lag in frames", ylabel="correlation of a joint's error")
    axes[2].legend()
    with replacing(path, "The plot") as partial:
        figure.savefig(partial, dpi=80, format="png")


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--landmark-model", choices=real_views.LANDMARK_MODELS, default="full")
    parser.add_argument("--plot", type=pathlib.Path, help="draw errors by joint, by confidence and over time")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    print_row("", ("clips", *FIGURES), width=11)
    report = {}
    real = list(real_clips(options.landmark_model))
    for number, clip in enumerate(real, start=1):
        report[f"real camera {number}"] = summarise(f"real camera {number}", [clip])
    groups = {"real": summarise("real", real)}
    for folder in options.folders:
        name = f"rendered: {folder.name}"
        groups[name] = summarise(name, list(rendered_clips(folder)))
    report |= groups
    if options.plot:
        plot(groups, options.plot)
    return report


if __name__ == "__main__":
    main()
