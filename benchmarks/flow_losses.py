"""The gain in pose from the losses on optical flow: a perturbed motion is fitted with and without each term.

    python -m benchmarks.flow_losses --motion bvh:FOLDER_OR_ZIP --motion synthetic [--clips 56] [--json FILE]

The real detector is run on clips of rendered people (`data_pipelines.render.film`), whose ground truth is
known. The flow is exact (`geometry.flow.rendered_flow`), or DIS flow of the pictures. The true pose gets
random errors, its place a shift, and its shape is set to the mean. Then Adam minimises the terms of a row,
such as KMW; see `benchmarks.flow_fit` for the terms. The camera is known.

Each row has MPJPE, PA-MPJPE and PVE in mm and the acceleration error in m/s^2, over all frames and 24 joints,
with their standard deviations over the clips. "change": the mean over the clips of the paired difference to
the row without flow, with its standard error.

    python -m benchmarks.flow_losses --slopes ...

measures instead how W and V grow with an error in the rotation of each limb, in the place and in the shape,
with exact flow.
"""

import argparse
import dataclasses
import itertools
from collections.abc import Sequence

import jax
import numpy as np

from benchmarks.flow_clips import Clips, make_clips, simulate_landmarks
from benchmarks.flow_fit import PERTURBATIONS, errors, fit, perturb, terms, visible_vertices
from benchmarks.program import print_row, program
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.cli import positive_int
from hpof_jax.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

ROWS = ("K", "KW", "KV", "KWV", "KM", "KMW", "KMV", "KMWV")
FIGURES = ("MPJPE", "PA-MPJPE", "PVE", "acceleration")
ANGLES = 0.0, 2.0, 5.0, 10.0, 20.0  # degrees
SLOPES = dict.fromkeys(
    ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "spine2", "neck", "left_shoulder",
     "right_shoulder", "left_elbow", "right_elbow"), ANGLES
)  # fmt: skip
SLOPES |= {"place": (0.0, 0.02, 0.05, 0.1, 0.2), "depth": (0.0, 0.05, 0.1, 0.2, 0.4)}
SLOPES |= {"shape": (0.0, 0.5, 1.0, 2.0)}


def table(
    body: BodyModel,
    clips: Clips,
    sizes: Sequence[str],
    landmarks: Sequence[str],
    kinds: Sequence[str],
    rows: Sequence[str],
    seed: int,
) -> list[dict]:
    """Fits all clips with the terms of each row.

    Args:
      sizes: of the perturbation, see `PERTURBATIONS`.
      landmarks: "simulated", "detector" or both.
      kinds: of the flow, "exact", "DIS" or both.
      rows: combinations of terms.
    """
    report = []
    for size, source in itertools.product(sizes, landmarks):
        start, observed = perturb(clips, size, seed), clips
        if source == "simulated":
            observed = dataclasses.replace(clips, landmarks=simulate_landmarks(body, clips, seed))
        found = {("start", ""): np.asarray(errors(body, clips, start))}
        # Rows without flow come first, because the others are compared with them.
        plan = [(names, "") for names in rows if not set(names) & set("WV")]
        plan += [(names, kind) for kind in kinds for names in rows if (names, "") not in plan]
        for names, kind in plan:
            guess = fit(body, observed, start, names, kind or "exact")
            found[names, kind] = np.asarray(errors(body, clips, guess))
        for (names, kind), values in found.items():
            line = {"perturbation": size, "landmarks": source, "flow": kind, "terms": names}
            line |= {"errors": values.mean(1).tolist(), "spread": values.std(1, ddof=1).tolist()}
            without = found.get(("KM" if "M" in names else "K", ""))
            if kind and without is not None:
                change = values - without
                line["change"] = change.mean(1).tolist()
                line["change_error"] = (change.std(1, ddof=1) / np.sqrt(change.shape[1])).tolist()
            report.append(line)
            show(line)
    return report


def show(line: dict) -> None:
    label = " ".join(line[key] for key in ("perturbation", "landmarks", "flow", "terms"))
    errors = [f"{value:.1f} ({spread:.1f})" for value, spread in zip(line["errors"], line["spread"])]
    changes = zip(line.get("change", []), line.get("change_error", []))
    print_row(label, errors + [f"{change:+.1f} +- {error:.1f}" for change, error in changes], width=15)


def slopes(body: BodyModel, clips: Clips) -> list[dict]:
    """W and V of the true motion with errors that grow from the first frame to the last, with exact flow."""
    true = {key: np.asarray(getattr(clips, key)) for key in ("pose", "transl", "betas")}
    visible = visible_vertices(body, clips, true)
    measure = jax.jit(lambda guess: terms(body, clips, guess, true, "WV", "exact", visible))
    rng, (count, frames) = np.random.default_rng(0), clips.box.shape[:2]
    grow = np.linspace(0, 1, frames)[:, None]
    axis = rng.normal(size=(count, 1, 3))
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    report = []
    for name, steps in SLOPES.items():
        lines = []
        for step in steps:
            guess = dict(true)
            if name in SMPL_JOINTS:
                joint = SMPL_JOINTS.index(name)
                turn = axis_angle_to_matrix(np.float32(np.deg2rad(step) * axis * grow))
                turned = turn @ axis_angle_to_matrix(true["pose"][:, :, joint])
                guess["pose"] = true["pose"].copy()
                guess["pose"][:, :, joint] = matrix_to_axis_angle(turned)
            elif name == "shape":
                guess["betas"] = np.float32(true["betas"] + step * np.sign(rng.normal(size=(count, 10))))
            else:
                way = np.float32([0, 0, 1]) if name == "depth" else axis * np.float32([1, 1, 0])
                guess["transl"] = np.float32(true["transl"] + step * way * grow)
            lines.append({key: np.asarray(value) for key, value in measure(guess).items()})
        for key in "WV":
            values = np.stack([line[key] for line in lines])
            report.append({"error in": name, "term": key, "at": steps, "mean": values.mean(1).tolist()})
            report[-1]["rises"] = 100 * float(np.mean(np.all(np.diff(values, axis=0) > 0, axis=0)))
            means = [f"{value:.5f}" for value in values.mean(1)]
            print_row(f"{name}, {key}", (*means, f"{report[-1]['rises']:.0f} %"))
    return report


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--motion", action="append", help="as of `hpof_jax.data render` (synthetic)")
    parser.add_argument("--clips", type=positive_int, default=56)
    parser.add_argument("--frames", type=positive_int, default=10, help="of a clip")
    parser.add_argument("--every", type=positive_int, default=1, help="use one of so many frames")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slopes", action="store_true", help="measure how the losses grow, without a fit")
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--landmarks", nargs="+", default=["simulated", "detector"])
    parser.add_argument("--flow", nargs="+", default=["exact", "DIS"])
    parser.add_argument("--perturbation", nargs="+", default=list(PERTURBATIONS))


@program(__doc__, _options)
def main(options: argparse.Namespace) -> list[dict]:
    fine, motions = load_body(), options.motion or ["synthetic"]
    body = decimate(fine)
    clips = make_clips(fine, motions, options.clips, options.frames, options.seed, options.every)
    if options.slopes:
        print_row("error in, term", ("without", "with errors of growing size"), width=12)
        return slopes(body, clips)
    print_row("", (*FIGURES, *(f"change {number + 1}" for number in range(len(FIGURES)))), width=15)
    return table(
        body, clips, options.perturbation, options.landmarks, options.flow, options.rows, options.seed
    )


if __name__ == "__main__":
    main()
