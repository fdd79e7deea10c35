"""Prepares training data: rendered clips, the field's data sets, and motion as a tfds data set.

    python -m hpof_jax.data render --motion synthetic --out rendered/ --frames 100000
    python -m hpof_jax.data render --motion bvh:PATH --motion amass:PATH --out mine/ --frames 500000 --processes 8
    python -m hpof_jax.train --config configs/hpof.py --config.data.rendered=rendered/

    python -m hpof_jax.data prepare 3dpw --raw 3DPW/ --out prepared/3dpw --processes 8
    python -m hpof_jax.train --config configs/hpof.py --config.data.prepared=prepared/3dpw

    python -m hpof_jax.data skeletons recordings/
    python -m hpof_jax.data records --motion bvh:recordings/ --out my_motion
    python -m hpof_jax.train --config configs/hpof.py --config.data.tfds=my_motion

`render` draws the body in random clothes, places and cameras, and runs the detector on the pictures. The same
command resumes a stopped run; a larger --frames adds clips. `prepare` reads the original files of a data set that
you have downloaded, and runs the detector on its frames; docs/datasets.md says what to download. The same command
resumes a stopped run. `skeletons` prints which joint of each file
becomes which joint of SMPL. `records` writes motion for `tfds.builder_from_directory`.
"""

import argparse
import pathlib

from hpof_jax import cli
from hpof_jax.errors import UserError


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (_add_render, _add_prepare, _add_skeletons, _add_records):
        add(commands)
    args = parser.parse_args()
    args.run(args)


def _add_render(commands) -> None:
    command = commands.add_parser("render", help="render people and run the detector on them")
    add = command.add_argument
    add(
        "--motion",
        action="append",
        required=True,
        metavar="SOURCE",
        help="synthetic, bvh:PATH, amass:PATH or tfds:PATH; may be repeated; named twice: twice the share",
    )
    add("--out", required=True, type=pathlib.Path, metavar="FOLDER", help="the folder of the clips")
    add("--frames", required=True, type=cli.positive_int, help="frames of all clips together")
    add("--clip-frames", type=cli.positive_int, help="frames of a clip (default: 120)")
    add("--landmark-model", choices=("full", "heavy"), default="full", help="model of the detector")
    add(
        "--processes",
        type=cli.positive_int,
        default=1,
        help="number of processes, each with one thread (default: 1)",
    )
    add("--seed", type=int, default=0, help="seed of the collection (default: 0)")
    add("--pictures", metavar="FOLDER", help="photographs and videos for the background, without people")
    add(
        "--camera-motion",
        choices=("pan", "handheld", "walk"),
        help="a camera that moves, in a room (default: on a tripod or in the hand, at a fixed place)",
    )
    add("--keep-flow", action="store_true", help="also compute and store optical flow")
    add("--as-recorded", action="store_true", help="do not augment the motion")
    add("--keep-video", action="store_true", help="also write the pictures of each clip as a video")
    command.set_defaults(run=_render)


def _render(args: argparse.Namespace) -> None:
    import jax

    from data_pipelines.render import collection

    jax.config.update("jax_platforms", "cpu")  # JAX only places cameras here
    options = collection.Options(
        motions=tuple(args.motion),
        landmark_model=args.landmark_model,
        seed=args.seed,
        pictures=args.pictures,
        augment=not args.as_recorded,
        keep_flow=args.keep_flow,
        camera_motion=args.camera_motion,
        **({"frames": args.clip_frames} if args.clip_frames else {}),
    )
    made, seen = collection.make_clips(args.out, args.frames, options, args.processes, args.keep_video)
    print(f"{args.out}: {made} new clips; the person is seen in {100 * seen:.1f} % of their frames.")


def _add_prepare(commands) -> None:
    from data_pipelines.datasets.catalogue import MODULES

    command = commands.add_parser("prepare", help="read a data set of the field and run the detector on it")
    add = command.add_argument
    add("name", choices=MODULES, help="the data set")
    add("--raw", required=True, metavar="FOLDER", help="the folder of its original files")
    add("--out", required=True, metavar="FOLDER", help="the folder of the clips")
    add(
        "--split",
        choices=("train", "validation", "test"),
        action="append",
        help="only this split (default: all)",
    )
    add("--processes", type=cli.positive_int, default=1, help="number of processes (default: 1)")
    add("--partial", action="store_true", help="go on with what is there if files are missing")
    add("--landmark-model", choices=("full", "heavy"), default="full", help="model of the detector")
    add("--features", metavar="FILE", help="also store image features, by a ResNet-50 with these weights")
    add("--no-landmarks", action="store_true", help="only the annotations; the frames are not read")
    add("--no-masks", action="store_true", help="store no masks of the people")
    add("--no-flow", action="store_true", help="store no optical flow, most of the size of the clips")
    command.set_defaults(run=_prepare)


def _prepare(args: argparse.Namespace) -> None:
    import jax

    from data_pipelines.datasets import prepare

    jax.config.update("jax_platforms", "cpu")  # JAX only computes boxes here
    options = prepare.Options(
        landmarks=not args.no_landmarks,
        masks=not args.no_masks,
        flow=not args.no_flow,
        landmark_model=args.landmark_model,
        features=args.features,
    )
    outcomes = prepare.prepare(
        args.name,
        args.raw,
        args.out,
        options,
        splits=tuple(args.split or ("train", "validation", "test")),
        processes=args.processes,
        partial=args.partial,
    )
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    clips, frames, seen = (sum(getattr(o, name) for o in outcomes) for name in ("clips", "frames", "seen"))
    share = f"; the person is seen in {100 * seen / frames:.1f} % of their {frames} frames" if seen else ""
    print(
        f"{args.out}: {clips} new clips{share}." + f" {failed} units were left out: see above." * bool(failed)
    )


def _add_skeletons(commands) -> None:
    command = commands.add_parser(
        "skeletons", help="print which joint of each BVH file becomes which joint of SMPL"
    )
    command.add_argument("source", type=pathlib.Path, help="a folder or zip of .bvh files, or one file")
    command.set_defaults(run=_skeletons)


def _skeletons(args: argparse.Namespace) -> None:
    from data_pipelines.motion import bvh
    from data_pipelines.motion.load import list_files

    source = args.source
    if source.suffix.lower() == ".bvh":
        if not source.is_file():
            raise UserError(f"There is no BVH file at {source}: give an existing one.")
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
    command.add_argument(
        "--out", required=True, metavar="FOLDER", help="a new folder; its name is the data set's"
    )
    command.set_defaults(run=_records)


def _records(args: argparse.Namespace) -> None:
    from data_pipelines.motion import tfds
    from data_pipelines.motion.load import load_source

    splits = {
        split: [clip for spec in args.motion for clip in load_source(spec, split)] for split in tfds.SPLITS
    }
    folder = tfds.write_records(splits, args.out)
    print(f"{folder}: " + ", ".join(f"{len(clips)} clips in {split}" for split, clips in splits.items()))


if __name__ == "__main__":
    main()
