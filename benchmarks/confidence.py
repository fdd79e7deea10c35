"""What the confidence of a motion is worth, on rendered people with ground truth.

    python -m benchmarks.confidence rendered/ [more/ ...] [--fit] [--plot FILE] [--json FILE]

Clips of folders that `python -m hpof_jax.data render` made, reconstructed as `hpof_jax.reconstruct` does. A pose
is right if its PA-MPJPE over the 12 limb joints is below `hpof_jax.confidence.RIGHT`. All frames count, those
without a detection too. The confidence is compared with the mean visibility of the detector's landmarks, which
was the confidence before. Figures:

- `right`: share of the right poses, %; `mean`: mean confidence, %.
- `ece`: expected calibration error over ten bins, % (Guo et al., ICML 2017).
- `auroc`: probability that a wrong frame has a lower confidence than a right one; 0.5 is chance.
- `doubted`: share of the frames with a confidence of at most 0.5; `precision`: share of the wrong ones among
  them; `recall`: share of the wrong ones that are among them, %.

`--fit` also prints the constants of `hpof_jax/confidence.py` that fit these clips best, by logistic regression in
which all folders weigh the same.
"""

import argparse
import pathlib

import jax
import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata

from benchmarks.program import print_row, program
from benchmarks.rendered import add_folders, read_clips, true_limbs
from data_pipelines.observed.rendered import clip_path
from hpof_jax import confidence
from hpof_jax.atomic import replacing
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.skeletons import SMPL_LIMBS
from hpof_jax.geometry.temporal import sliding_mean
from hpof_jax.lifting import lift_and_compare
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import CONFIDENT
from hpof_jax.observe.clip import Observations
from hpof_jax.report import measure
from hpof_jax.training import metrics

FIGURES = ("right", "mean", "ece", "auroc", "doubted", "precision", "recall")
BINS = 10
GAP_FRAMES = 15.0  # of the earlier confidence

_pa_mpjpe = jax.jit(metrics.pa_mpjpe)


def measured_clip(
    clip: dict, observations: Observations, weights: tuple, body: BodyModel
) -> dict[str, np.ndarray]:
    """A clip's frames, (T,) each: seen, error in mm, confidence, visibility (the earlier one); evidence (T, 2)."""
    motion, disagreement = lift_and_compare(observations, weights, body)
    window = confidence.window(motion)
    seen_from = motion.keypoints_2d, motion.box, motion.focal_length, motion.image_size
    means = (
        sliding_mean(values, motion.seen, window)
        for values in (confidence.residuals(measure.landmarks(motion, body), *seen_from), disagreement)
    )
    visibility = motion.keypoints_2d[..., 2].mean(axis=1)
    frames, there = np.arange(len(motion)), np.flatnonzero(motion.seen)
    away = np.abs(frames[:, None] - there).min(axis=1)
    return {
        "seen": motion.seen,
        "error": np.asarray(_pa_mpjpe(motion.joints[:, SMPL_LIMBS], true_limbs(clip)[0])),
        "confidence": motion.confidence,
        "visibility": np.where(motion.seen, visibility, 0.5 * np.exp(-away / GAP_FRAMES)),
        "evidence": confidence.evidence(*means),
    }


def figures(sure: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """`FIGURES` of a confidence (T,) about whether the poses are `right` (T,) bool."""
    doubted = sure <= CONFIDENT
    *_, gaps = reliability(sure, right)
    found = {
        "right": 100 * right.mean(),
        "mean": 100 * sure.mean(),
        "ece": 100 * gaps,
        "auroc": auroc(sure, right),
        "doubted": 100 * doubted.mean(),
        "precision": 100 * (~right[doubted]).mean() if doubted.any() else float("nan"),
        "recall": 100 * doubted[~right].mean() if not right.all() else float("nan"),
    }
    return {name: float(value) for name, value in found.items()}


def auroc(sure: np.ndarray, right: np.ndarray) -> float:
    """The area under the ROC curve of a confidence (T,) about `right` (T,) bool; NaN if all are alike."""
    many, few = right.sum(), (~right).sum()
    if not many or not few:
        return float("nan")
    return float((rankdata(sure)[right].sum() - many * (many + 1) / 2) / (many * few))


def reliability(sure: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Mean confidence, share of right poses and share of the frames in each bin that has any; the ECE."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    there = counts > 0
    means, shares = (np.bincount(bins, x, BINS)[there] / counts[there] for x in (sure, right))
    return means, shares, counts[there] / len(sure), float(counts[there] @ np.abs(means - shares) / len(sure))


def fit(evidence: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The logit at usual measurements and its change with both, (3,), by weighted logistic regression."""
    rows = np.column_stack([np.ones(len(evidence)), evidence])
    sign = np.where(right, -1.0, 1.0)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (rows @ values)
        slope = weight * sign / (1.0 + np.exp(-margin))
        return float(weight @ np.logaddexp(0.0, margin)), rows.T @ slope

    return minimize(loss, np.zeros(rows.shape[1]), jac=True, method="BFGS").x


def plot(groups: dict[str, dict[str, np.ndarray]], path: pathlib.Path) -> None:
    """Draws the share of right poses over the confidence, for the confidence and for the visibility."""
    from matplotlib.figure import Figure  # installed with mediapy

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("confidence", "visibility")):
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, frames in groups.items():
            means, shares, counts, _ = reliability(frames[kind], frames["error"] < confidence.RIGHT)
            (line,) = axes.plot(means, shares, "-", label=name)
            axes.scatter(means, shares, 10 + 300 * counts, color=line.get_color())
        axes.set(xlabel=f"mean {kind} of a bin", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("the confidence before: mean visibility", fontsize=10)
    figure.axes[0].set_title("the confidence", fontsize=10)
    figure.axes[0].set_ylabel(f"share of poses with PA-MPJPE < {confidence.RIGHT:.0f} mm")
    figure.axes[0].legend()
    with replacing(path, "The plot") as partial:
        figure.savefig(partial, dpi=80, format="png")


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--weights", type=pathlib.Path, help="a weights .npz (the package's)")
    parser.add_argument(
        "--fit", action="store_true", help="also print the constants that fit these clips best"
    )
    parser.add_argument(
        "--plot", type=pathlib.Path, help="draw the share of right poses over the confidence, a PNG"
    )


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    weights, body, groups, report = load_weights(options.weights), load_body(), {}, {}
    for folder in options.folders:
        clips = [
            measured_clip(clip, Observations.load(clip_path(folder, number)), weights, body)
            for number, clip in read_clips(folder)
            if clip["seen"].any()
        ]
        groups[folder.name] = {key: np.concatenate([clip[key] for clip in clips]) for key in clips[0]}
    if len(groups) > 1:
        joined = {key: np.concatenate([frames[key] for frames in groups.values()]) for key in clips[0]}
        groups["all"] = joined
    print_row("", FIGURES, width=11)
    for name, frames in groups.items():
        for kind in ("confidence", "visibility"):
            row = figures(frames[kind], frames["error"] < confidence.RIGHT)
            report[f"{name}, {kind}"] = row
            print_row(f"{name}, {kind}", row.values(), decimals=2, width=11)
    if options.fit:
        seen = [frames["seen"] for name, frames in groups.items() if name != "all"]
        weight = np.concatenate([np.full(s.sum(), 1 / (len(seen) * s.sum())) for s in seen])
        frames = groups.get("all", groups[options.folders[0].name])
        there = frames["seen"]
        found = fit(frames["evidence"][there], frames["error"][there] < confidence.RIGHT, weight)
        report["fit"] = dict(zip(("LOGIT", "BY_RESIDUAL", "BY_DISAGREEMENT"), found.tolist()))
        print(", ".join(f"{name} {value:.2f}" for name, value in report["fit"].items()))
    if options.plot:
        plot({name: frames for name, frames in groups.items() if name != "all"}, options.plot)
    return report


if __name__ == "__main__":
    main()
