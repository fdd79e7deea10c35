"""Does the detector err on rendered people as it does on real ones?

    python -m benchmarks.detector_statistics rendered/ [more/ ...] [--landmark-model full] [--json FILE] [--plot FILE.png]

Real: `benchmarks.real_views`' four cameras and their triangulated reference, every other frame (30 a second). Rendered: all
clips of folders that `python -m hpof_jax.data render` made, against their own truth. The 12 limb joints, per frame in which
the person was seen, mean over frames and median over clips (a real camera is a clip):

- `pa_mpjpe`, `n_mpjpe`: mm, of the detector's 3D landmarks, as in `benchmarks.real_views`. `accel`: mm/frame^2 at 30
  frames/s. `tilt`: degrees between the trunks. `slope`: of predicted on true depth about the mid-hip (1 is right).
- `error_2d`: median distance in percent of the body's extent in the picture. `swapped`: percent of limb pairs that fit
  better with left and right exchanged, by more than a tenth of that extent. `visibility`: mean, 0 to 100. `seen`: percent.
- `persists`: correlation of a joint's error in the picture (x and y, about its mean over the clip) with that of the next frame.
  `lasts`: frames that a swap of a limb pair goes on for, mean over all of them. `sure`, `unsure`: `error_2d` as a mean over the
  joints with a visibility above 0.9, and of the others.

What a hip is differs: the rendered truth has SMPL's joint, the real reference what the detector takes for it in all views.
"""

import argparse
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np

from benchmarks import real_views
from benchmarks.program import program
from data_pipelines.motion.clip import FPS
from hpof_jax import downloads
from hpof_jax.atomic import replacing
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, LIMB_JOINTS, SMPL_LIMBS
from hpof_jax.errors import UserError
from hpof_jax.observe.cache import observe_cached
from hpof_jax.training import metrics

FIGURES = ("pa_mpjpe", "n_mpjpe", "accel", "tilt", "slope", "error_2d", "swapped", "visibility", "seen",
           "persists", "lasts", "sure", "unsure")  # fmt: skip
SWAP_MARGIN = 0.1
LAGS = 15  # frames
CONFIDENCE = np.linspace(0, 1, 6)  # edges of the bins
CURVES = ("error_of_joint", "error_at_confidence", "persistence")


def statistics(
    found: np.ndarray, found_pixels: np.ndarray, true: np.ndarray, true_pixels: np.ndarray, seen: np.ndarray
) -> dict[str, float | np.ndarray]:
    """The figures of one clip, and its `CURVES`: of each joint, in each bin of confidence, at each lag.

    Args:
      found, true: (T, 12, 3) metres, camera frame. found_pixels: (T, 12, 3) with visibility. true_pixels: (T, 12, 2).
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
    """Correlation of errors (T, K, 2) with those some frames later, (LAGS + 1,), over the frames that were both seen."""
    errors = errors - errors[seen].mean(axis=0)
    curve = []
    for lag in range(LAGS + 1):
        both = seen[lag:] & seen[: len(seen) - lag]
        first, second = errors[: len(seen) - lag][both], errors[lag:][both]
        size = np.sqrt(np.sum(first**2, axis=(0, 2)) * np.sum(second**2, axis=(0, 2)))
        curve.append(np.median(np.sum(first * second, axis=(0, 2)) / np.maximum(size, 1e-9)))
    return np.array(curve)


def real_clips(detector: str) -> Iterator[dict[str, float]]:
    folder = downloads.fetch("pose2sim_demo")
    videos = [folder / "videos" / f"{camera}.mp4" for camera in real_views.CAMERAS]
    reference = real_views.make_reference(
        folder, [observe_cached(video, landmark_model="heavy") for video in videos]
    )
    for camera, video in zip(reference.cameras, videos):
        view = observe_cached(video, landmark_model=detector)
        step = round(float(view.fps) / FPS)
        yield statistics(
            view.landmarks_3d[::step, BLAZEPOSE_LIMBS],
            view.landmarks_2d[::step, BLAZEPOSE_LIMBS],
            camera.to_camera(reference.joints)[::step],
            camera.project(reference.joints)[::step],
            view.seen[::step],
        )


def rendered_clips(folder: pathlib.Path) -> Iterator[dict[str, float]]:
    paths = sorted(folder.glob("clip_*.npz"))
    if not paths:
        raise UserError(
            f"There is no rendered clip in {folder}: make some with python -m hpof_jax.data render."
        )
    for path in paths:
        with np.load(path, allow_pickle=False) as clip:
            height, width = clip["image_size"]
            joints = clip["joints"][:, SMPL_LIMBS]
            pixels = joints[..., :2] / joints[..., 2:] * clip["true_focal_length"] + (width / 2, height / 2)
            yield statistics(
                clip["landmarks_3d"][:, BLAZEPOSE_LIMBS],
                clip["landmarks_2d"][:, BLAZEPOSE_LIMBS],
                joints,
                pixels,
                clip["seen"],
            )


def show(name: str, clips: list[dict[str, float]]) -> dict[str, float]:
    rows = np.array([[clip[figure] for figure in FIGURES] for clip in clips])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a figure of which no clip has any
        middle = np.nanmedian(rows, axis=0)
        curves = {curve: np.nanmedian([clip[curve] for clip in clips], axis=0).tolist() for curve in CURVES}
    print(f"{name:32} {len(rows):5}", *(f"{value:10.2f}" for value in middle))
    return {"clips": len(rows), **dict(zip(FIGURES, middle.tolist())), **curves}


def plot(report: dict[str, dict], path: pathlib.Path) -> None:
    """The curves of each group of clips, side by side."""
    from matplotlib.figure import Figure  # mediapy brings it

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
    axes[1].set(xlabel="visibility that the detector gives", ylabel="mean error, % of the body's extent")
    axes[2].set(xlabel="frames later", ylabel="correlation of a joint's error")
    axes[2].legend()
    with replacing(path, "The plot") as partial:
        figure.savefig(partial, dpi=80, format="png")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", type=pathlib.Path, help="made by python -m hpof_jax.data render"
    )
    parser.add_argument("--landmark-model", choices=real_views.LANDMARK_MODELS, default="full")
    parser.add_argument("--plot", type=pathlib.Path, help="draw errors by joint, by confidence and over time")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    print(f"{'':32} {'clips':>5}", *(f"{figure:>10}" for figure in FIGURES))
    report = {}
    real = list(real_clips(options.landmark_model))
    for number, clip in enumerate(real, start=1):
        report[f"real camera {number}"] = show(f"real camera {number}", [clip])
    groups = {"real": show("real", real)}
    for folder in options.folders:
        name = f"rendered: {folder.name}"
        groups[name] = show(name, list(rendered_clips(folder)))
    report |= groups
    if options.plot:
        plot(groups, options.plot)
    return report


if __name__ == "__main__":
    main()
