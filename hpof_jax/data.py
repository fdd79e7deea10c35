"""Prepares training data: rendered clips, a check of BVH skeletons, and motion as a tfds data set.

    python -m hpof_jax.data render --motion synthetic --out rendered/ --frames 100000
    python -m hpof_jax.data render --motion bvh:FOLDER_OR_ZIP --motion amass:FOLDER --out rendered/ --frames 500000 --processes 8
    python -m hpof_jax.train --config configs/hpof.py --config.data.rendered=rendered/

    python -m hpof_jax.data skeletons recordings/                         # which joint of each file became which joint of SMPL
    python -m hpof_jax.data records --motion bvh:recordings/ --out my_motion

`render` draws the body in random clothes, places and cameras, and runs the same detector on the pictures that runs on
real video. A clip is 120 frames (`--clip-frames`) of one motion. The same command goes on where it stopped; more
`--frames` add clips. `records` writes motion for `tfds.builder_from_directory`.
"""

import argparse
import pathlib

from hpof_jax import cli


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (_add_render, _add_skeletons, _add_records):
        add(commands)
    args = parser.parse_args()
    args.run(args)


def _add_render(commands) -> None:
    command = commands.add_parser("render", help="render people and run the detector on them")
    add = command.add_argument
    add("--motion", action="append", required=True, metavar="SOURCE", help="synthetic, bvh:PATH, amass:PATH or tfds:PATH; may be repeated")  # fmt: skip
    add("--out", required=True, type=pathlib.Path, help="the folder for the clips")
    add("--frames", required=True, type=_positive, help="how many frames, of all clips together")
    add("--clip-frames", type=_positive, help="how many frames in a clip (default: 120)")
    add("--landmark-model", choices=("full", "heavy"), default="full", help="which detector model")
    add("--processes", type=_positive, default=1, help="how many work in parallel")
    add("--seed", type=int, default=0)
    add("--pictures", help="a folder of photographs and videos for the background")
    add("--keep-flow", action="store_true", help="also compute and store optical flow")
    add("--as-recorded", action="store_true", help="do not augment the motion")
    add("--keep-video", action="store_true", help="also write each clip's pictures as a video")
    command.set_defaults(run=_render)


def _render(args: argparse.Namespace) -> None:
    import jax

    from data_pipelines.render import collection

    jax.config.update("jax_platforms", "cpu")  # it only places the camera
    options = collection.Options(
        motions=tuple(args.motion),
        detector=args.landmark_model,
        seed=args.seed,
        pictures=args.pictures,
        vary=not args.as_recorded,
        keep_flow=args.keep_flow,
        **({"frames": args.clip_frames} if args.clip_frames else {}),
    )
    made, seen = collection.make_clips(args.out, args.frames, options, args.processes, args.keep_video)
    print(f"{args.out}: {made} new clips; the person is seen in {100 * seen:.1f} % of their frames.")


def _add_skeletons(commands) -> None:
    command = commands.add_parser(
        "skeletons", help="report how the skeletons of BVH files map to SMPL's 24 joints"
    )
    command.add_argument("source", type=pathlib.Path, help="a folder or zip of .bvh files, or one file")
    command.set_defaults(run=_skeletons)


def _skeletons(args: argparse.Namespace) -> None:
    from data_pipelines.motion import bvh
    from data_pipelines.motion.load import list_files

    source = args.source
    if source.suffix.lower() == ".bvh":
        print(bvh.describe(source.parent, [source.name]))
    else:
        print(bvh.describe(source, [name for name, _, _ in list_files(source, ".bvh")]))


def _add_records(commands) -> None:
    command = commands.add_parser("records", help="write motion as a tfds data set")
    command.add_argument(
        "--motion",
        required=True,
        action="append",
        metavar="SOURCE",
        help="bvh:PATH or amass:PATH; may be repeated",
    )
    command.add_argument("--out", required=True, help="the data set's folder; its name is the data set's")
    command.set_defaults(run=_records)


def _records(args: argparse.Namespace) -> None:
    from data_pipelines.motion import tfds
    from data_pipelines.motion.load import load_source

    splits = {
        split: [clip for spec in args.motion for clip in load_source(spec, split)] for split in tfds.SPLITS
    }
    folder = tfds.write_records(splits, args.out)
    print(f"{folder}: " + ", ".join(f"{len(clips)} clips in {split}" for split, clips in splits.items()))


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


if __name__ == "__main__":
    main()
