"""Measures a model on clips of a simulated or a real detector.

    python -m hpof_jax.evaluate --weights runs/hpof --data synthetic,bvh:FOLDER [--json FILE]

Protocol: the validation split of each source is the files whose name's CRC32 is 0 modulo 10; the synthetic
source uses other seeds than training. Clips are evaluated whole, at 30 frames/s, in windows of --clip-length
frames. A clip of motion has one simulated camera and detector. Joints: SMPL's 24, about the pelvis. `limb_*`
and `detector_*` are errors of the model and of the detector's own 3D landmarks on the 12 limb joints, in
frames in which the person is seen. Flip test-time augmentation and smoothing are applied, as in a
reconstruction, unless --raw is given.
"""

import argparse
import json
import os
import pathlib

from hpof_jax import cli
from hpof_jax.atomic import replacing
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.models.build import model_for
from hpof_jax.models.weights import SHIPPED, load_weights
from hpof_jax.training import evaluation

COLUMNS = {
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "pve": "PVE",
    "pck_150": "PCK@150",
    "pck_50": "PCK@50",
    "acceleration_error": "accel",
    "betas_spread": "betas sd",
    "bone_spread": "bone sd",
    "limb_pa_mpjpe": "limbs PA",
    "detector_pa_mpjpe": "detector PA",
    "detector_acceleration_error": "detector accel",
    "coverage": "seen %",
    "clips": "clips",
    "frames": "frames",
}
_COUNTS = ("clips", "frames")


def evaluate(
    weights: str | os.PathLike | None = None,
    data: tuple[str, ...] = ("synthetic",),
    *,
    clip_length: int = 243,
    seed: int = 0,
    split: str = "validation",
    max_frames: int | None = None,
    synthetic_clips: int = 64,
    vertices: bool = True,
    raw: bool = False,
    hide_3d: bool = False,
) -> dict:
    """Metrics of a model in millimetres: {"protocol": ..., "overall": ..., "classes": ..., "sources": ...}.

    Args:
      weights: a weights `.npz` or a training run's folder; None: the shipped weights.
      data: the sources, as `data_pipelines.stream.make_stream` takes them.
      clip_length: frames in a window.
      split: "validation" or "train".
      max_frames: how many frames of each clip are used; None: all.
      synthetic_clips: how many clips the synthetic source gives.
      vertices: also the per-vertex error, which takes most of the time.
      raw: the raw prediction, without flip test-time augmentation and smoothing.
      hide_3d: whether the detector's 3D landmarks are withheld from the model; many detectors give none.

    Raises:
      UserError: no such weights or data, no ground truth in a source, or parameters of another model.
    """
    from data_pipelines import stream, validation  # here, because it imports TensorFlow

    if not data:
        raise UserError("No source is named to evaluate on: give one, such as --data synthetic.")
    params, config = load_weights(weights)
    body = load_body()
    model = model_for(params, config, body, str(weights or SHIPPED))
    options = stream.StreamOptions(batch_size=16, clip_length=clip_length, seed=seed, split=split)
    windows = {
        source: validation.validation_windows(
            {source: 1.0}, options, max_frames=max_frames, synthetic_clips=synthetic_clips
        )
        for source in data
    }
    tables = evaluation.evaluate(evaluation.make_totals(model, body, vertices, raw, hide_3d), params, windows)
    if without := [source for source in data if source not in tables["sources"]]:
        raise UserError(f"There is no ground truth in {without[0]}: evaluate on another source.")
    return {
        "protocol": {
            "joints": "SMPL-24 about the pelvis",
            "fps": 30,
            "split": split,
            "data": list(data),
            "clip_length": clip_length,
            "raw": raw,
            "hide_3d": hide_3d,
            "seed": seed,
            "weights": str(weights or SHIPPED),
            "units": "mm, mm/frame^2, percent; betas in their own unit",
        },
        **tables,
    }


def format_table(result: dict) -> str:
    """The result as a plain-text table: a row for each motion class and source, and one overall."""
    sources = result["sources"] if len(result["sources"]) > 1 else {}
    rows = {**result["classes"], **{f"[{name}]": row for name, row in sources.items()}}
    rows["overall"] = result["overall"]
    columns = [key for key in COLUMNS if key in result["overall"]]
    width = max(len(name) for name in rows) + 2
    widths = {key: max(len(COLUMNS[key]), 6) + 2 for key in columns}
    lines = [" " * width + "".join(f"{COLUMNS[key]:>{widths[key]}}" for key in columns)]
    for name, row in rows.items():
        numbers = (f"{row[key]:>{widths[key]}.{0 if key in _COUNTS else 1}f}" for key in columns)
        lines.append(f"{name:<{width}}" + "".join(numbers))
    protocol = ", ".join(f"{key}: {value}" for key, value in result["protocol"].items())
    return "\n".join([*lines, "", protocol])


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--weights", help="a weights .npz or a training run's folder (default: the package's)"
    )
    parser.add_argument(
        "--data",
        default="synthetic",
        help="comma-separated: synthetic, bvh:PATH, amass:PATH, tfds:PATH, rendered:PATH",
    )
    parser.add_argument("--json", type=pathlib.Path, help="also write the result there")
    parser.add_argument("--clip-length", type=cli.positive_int, default=243)
    parser.add_argument("--max-frames", type=cli.positive_int, help="of each clip")
    parser.add_argument("--synthetic-clips", type=cli.positive_int, default=64)
    parser.add_argument("--split", default="validation", choices=("train", "validation"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--no-vertices", action="store_true", help="leave the per-vertex error out: much faster"
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="the raw prediction, without flip test-time augmentation and smoothing",
    )
    parser.add_argument(
        "--hide-3d", action="store_true", help="as if the detector gave no 3D landmarks, as many do"
    )
    args = parser.parse_args()
    if args.json and args.json.is_dir():
        raise UserError(f"{args.json} is a folder: give the name of a file for --json.")
    if args.json and not args.json.parent.is_dir():
        raise UserError(
            f"There is no folder {args.json.parent} to write {args.json.name} into: make it first."
        )
    result = evaluate(
        args.weights,
        tuple(source for source in args.data.split(",") if source),
        clip_length=args.clip_length,
        seed=args.seed,
        split=args.split,
        max_frames=args.max_frames,
        synthetic_clips=args.synthetic_clips,
        vertices=not args.no_vertices,
        raw=args.raw,
        hide_3d=args.hide_3d,
    )
    print(format_table(result))
    if args.json:
        with replacing(args.json, "The result") as partial:
            partial.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
