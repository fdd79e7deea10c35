"""The command line of `hpof_jax.reconstruct`."""

import argparse

from hpof_jax import cli, moving_camera, refine, visualize


def parser() -> argparse.ArgumentParser:
    """Its options have the names of the settings. One that is not given is missing from the result."""
    made = argparse.ArgumentParser(
        prog="python -m hpof_jax.reconstruct",
        description="Recovers a person's 3D body from a video.",
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument(
        "video",
        nargs="?",
        default=None,
        help="video file, folder of pictures or webcam number (default: a sample video)",
    )
    made.add_argument(
        "--out", default="out", help="folder for motion.npz, overlay.mp4 and report.html (default: out)"
    )
    _add_observing(made)
    _add_fitting(made)
    _add_output(made)
    _add_batch(made)
    return made


def _add_observing(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--person",
        help="largest, leftmost, a number (people count from 1, from the left), or all (default: largest)",
    )
    add(
        "--landmark-model",
        choices=("full", "heavy"),
        help="heavy is slower and more accurate (default: full)",
    )
    add("--fps", type=float, help="frame rate, instead of the video's (default for pictures: 30)")
    add("--start", type=float, help="begin at this time, in seconds")
    add("--end", type=float, help="end before this time, in seconds")
    add("--max-frames", type=int, help="read at most this many frames")
    add(
        "--min-seen",
        type=float,
        help="least share of frames that must show the person; 0 accepts all (default: 0.1)",
    )
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--focal-length", type=float, help="in pixels (default: from metadata, or assumed)")
    lens.add_argument(
        "--fov", type=float, help="horizontal field of view in degrees, instead of --focal-length"
    )
    add(
        "--camera",
        choices=moving_camera.MODES,
        help="whether the camera stands still or moves (default: auto, as the background shows)",
    )
    cli.add_camera(parser)


def _add_fitting(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--weights", help="nc (default) or free, of this package; a weights .npz; or a training run's folder")
    add("--features", metavar="WEIGHTS", help="weights of a ResNet-50, for a model that takes image features")
    add("--body", help="a body file in SMPL's format (default: the free body)")
    add(
        "--refine",
        choices=refine.MODES,
        help="fit the body to masks and landmarks (fast), also to optical flow (full), or not (off); default: auto, which "
        "is fast on the free body",
    )
    add("--height", type=float, help="the person's stature in metres, such as 1.83 (default: estimated)")
    add("--no-foot-lock", dest="foot_lock", action="store_false", help="let planted feet slide")


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--style", choices=visualize.STYLES, help="what overlay.mp4 shows of the body (default: mesh)")
    add(
        "--layout",
        choices=visualize.LAYOUTS,
        help="show the unchanged frames beside the body's, or only the body over them (default: beside)",
    )
    add("--side-view", action="store_true", help="also show the body from its side in overlay.mp4")
    add("--no-overlay", dest="overlay", action="store_false", help="do not draw overlay.mp4")
    add("--export", metavar="FORMATS", help="also write files for other programs, such as glb,bvh")


def _add_batch(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--batch",
        metavar="FOLDER",
        default=None,
        help="reconstruct every video below this folder, and write OUT/table.csv",
    )
    add("--shard", default="1/1", metavar="I/N", help="with --batch on N machines: this is number I, from 1")
    add(
        "--jobs",
        type=cli.positive_int,
        default=None,
        help="with --batch: videos at a time (default: half the processors)",
    )
