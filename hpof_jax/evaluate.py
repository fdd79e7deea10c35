"""Measures a model on clips of a simulated or a real detector, or results of programs against references.

    python -m hpof_jax.evaluate --weights runs/hpof --data synthetic,bvh:FOLDER [--json FILE] [--latex FILE]
    python -m hpof_jax.evaluate --predictions wham_output.pkl hmr4d_results.pt --reference truth.npz \\
        --protocol emdb2 --body SMPL_NEUTRAL.pkl [--json FILE] [--latex FILE]
    python -m hpof_jax.evaluate --session DIR [--trial NAME] [--camera NAME] [--predictions motion.npz] [--json FILE]
    python -m hpof_jax.evaluate --predictions motion.npz --reference lab.trc lab.mot [--json FILE]

With --data prepared:FOLDER and --protocol, a model is scored on the test clips of a data set that `hpof_jax.data
prepare` wrote, in the protocol's joints and frames (docs/datasets.md):

    python -m hpof_jax.evaluate --data prepared:prepared/3dpw --protocol 3dpw --body smpl/ \\
        --regressor J_regressor_h36m.npy

With --session or references in .trc and .mot, the videos or results are scored against the joint centres and
angles of a motion laboratory; see docs/biomechanics.md. Otherwise, with --predictions, results of this
package, of AMASS (.npz), WHAM, GVHMR and 4D-Humans are scored in one table. With several references, list the
files of one program in the references' order, then those of the next. docs/protocols.md has the protocols and
the published numbers.

A model is evaluated so: the validation split of each source is the files whose name's CRC32 is 0 modulo 10;
the synthetic source uses other seeds than training. Clips are evaluated whole, at 30 frames/s, in windows of
--clip-length frames. A clip of motion has one simulated camera and detector. Joints: SMPL's 24, about the
pelvis. `limb_*` and `detector_*` are errors of the model and of the detector's own 3D landmarks on the 12
limb joints, in frames in which the person is seen. Flip test-time augmentation and smoothing are applied, as
in a reconstruction, unless --raw is given. The interval of the mean is a bootstrap over clips.

A reconstruction also fits the body to the video. An evaluation does so only with --refine, which --session and
prepared data sets take: published numbers of other programs are mostly without such a fit.
"""

import argparse
import json
import os
import pathlib

from hpof_jax import cli, prepared, refine, scoring, session_evaluation
from hpof_jax.atomic import replacing
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.models.build import model_for
from hpof_jax.models.weights import SHIPPED, check_backbone, load_weights
from hpof_jax.score_tables import format_latex, format_scores, format_table
from hpof_jax.training import evaluation
from hpof_jax.training.protocols import PROTOCOLS


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
      weights: as `models.weights.load_weights` takes it.
      data: the sources, as `data_pipelines.stream.make_stream` takes them.
      clip_length: frames in a window.
      split: "validation" or "train".
      max_frames: how many frames of each clip are used; None: all.
      synthetic_clips: how many clips the synthetic source gives.
      vertices: also the per-vertex error, which takes most of the time.
      raw: the raw prediction, without flip test-time augmentation and smoothing.
      hide_3d: whether the detector's 3D landmarks are withheld from the model; many detectors give none.

    Raises:
      UserError: no such weights or data, no ground truth in a source, or parameters of another model, or
        image features of another ResNet-50 than in its training.
    """
    from data_pipelines import stream, validation  # here, because TensorFlow may be imported with them
    from data_pipelines.sources import open_sources

    if not data:
        raise UserError("No source is named to evaluate on: give one, such as --data synthetic.")
    params, config = load_weights(weights)
    body = load_body()
    model = model_for(params, config, body, str(weights or SHIPPED))
    if model.image_head is not None:
        for backbone in open_sources(dict.fromkeys(data, 1.0), split).backbones:
            check_backbone(config, backbone, "those of the data")
    options = stream.StreamOptions(
        batch_size=16,
        clip_length=clip_length,
        seed=seed,
        split=split,
        features=model.image_head is not None,
    )
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


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--weights", help="nc (default) or free, of this package; a weights .npz; or a training run's folder"
    )
    parser.add_argument(
        "--data",
        default="synthetic",
        help="comma-separated: synthetic, bvh:PATH, amass:PATH, tfds:PATH, rendered:PATH, prepared:PATH",
    )
    parser.add_argument("--json", type=pathlib.Path, help="also write the result there")
    parser.add_argument("--latex", type=pathlib.Path, help="also write the table there, for LaTeX")
    parser.add_argument(
        "--predictions", nargs="+", metavar="FILE", help="score these results instead of a model"
    )
    parser.add_argument(
        "--reference",
        nargs="+",
        metavar="FILE",
        help="motion .npz, one for each sequence; or a .trc, a .mot or both",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="of --predictions (default: smpl24), or of one --data prepared:FOLDER",
    )
    parser.add_argument(
        "--body", help="SMPL's file, or the folder with those of all genders, for SMPL motions"
    )
    parser.add_argument("--regressor", help="J_regressor_h36m.npy, for protocols of other joints than SMPL's")
    parser.add_argument("--person", help="of --predictions (default: the one in most frames)")
    parser.add_argument("--session", metavar="DIR", help="score against this session of OpenCap or Pose2Sim")
    parser.add_argument("--trial", help="of --session (default: all)")
    parser.add_argument("--camera", help="of --session (default: all, each alone)")
    parser.add_argument(
        "--offset", type=float, help="seconds from the video to the reference of --session (default: found)"
    )
    parser.add_argument(
        "--landmark-model", default="full", choices=("full", "heavy"), help="on the videos of --session"
    )
    parser.add_argument(
        "--refine",
        choices=refine.MODES,
        default="off",
        help="the test-time fit of a reconstruction, with --session or --protocol on a prepared data set: fit the body to "
        "masks and landmarks (fast), also to optical flow (full); default: off",
    )
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
    for option, path in (("--json", args.json), ("--latex", args.latex)):
        if path and path.is_dir():
            raise UserError(f"{path} is a folder: give the name of a file for {option}.")
        if path and not path.parent.is_dir():
            raise UserError(f"There is no folder {path.parent} to write {path.name} into: make it first.")
    of_videos = not args.predictions and (args.session or args.protocol)
    if args.refine != "off" and not of_videos:
        raise UserError("--refine needs videos: give --session, or --data prepared:FOLDER with --protocol.")
    laboratory = args.session or any(path.lower().endswith((".trc", ".mot")) for path in args.reference or ())
    if laboratory:
        chosen = ("trial", "camera", "offset", "weights", "landmark_model", "refine", "body", "person")
        result = session_evaluation.evaluate_session(
            args.session,
            predictions=args.predictions or (),
            reference=args.reference or (),
            **{name: getattr(args, name) for name in chosen},
        )
        print(session_evaluation.format_session(result))
    elif bool(args.predictions) != bool(args.reference):
        raise UserError("--predictions and --reference belong together: give both.")
    elif args.predictions:
        result = scoring.score(
            args.predictions,
            args.reference,
            args.protocol or "smpl24",
            body=args.body,
            regressor=args.regressor,
            person=args.person,
        )
        print(format_scores(result))
    elif args.protocol:
        if "," in args.data or not args.data.startswith("prepared:"):
            raise UserError(
                "--protocol needs --predictions, or one prepared data set: --data prepared:FOLDER."
            )
        result = prepared.score_prepared(
            args.data.removeprefix("prepared:"),
            args.protocol,
            args.weights,
            body=args.body,
            regressor=args.regressor,
            raw=args.raw,
            refine=args.refine,
        )
        print(format_scores(result))
    else:
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
    latex = session_evaluation.latex_session(result) if laboratory else format_latex(result)
    for path, text in ((args.json, json.dumps(result, indent=2) + "\n"), (args.latex, latex)):
        if path:
            with replacing(path, "The result") as partial:
                partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
