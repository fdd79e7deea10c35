"""Writes motions as files that Blender, Unity, OpenSim and other programs open.

    python -m hpof_jax.export out/motion.npz --to glb,bvh --out files

Files are named after the motions. Several motions, of people in one video, share one world and one `.glb`,
`.usd`, `.rrd` or `.html`.
"""

import argparse
import pathlib
from collections import Counter

from absl import logging

from hpof_jax import cli
from hpof_jax.errors import UserError
from hpof_jax.export.files import ENDINGS, export
from hpof_jax.export.skeleton import JOINT_NAMES
from hpof_jax.motion import Motion


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.export", description="Writes motions as files that other programs open."
    )
    add = parser.add_argument
    add("motions", nargs="+", metavar="MOTION.npz", help="the motion.npz of a reconstruction")
    add("--to", default="glb,bvh", metavar="FORMATS", help=f"some of {','.join(ENDINGS)} (default: glb,bvh)")
    add("--out", default="export", help="folder for the files (default: export)")
    add(
        "--names",
        default="smpl",
        choices=JOINT_NAMES,
        help="joint names in .glb, .bvh and .usd (default: smpl)",
    )
    add("--bvh-unit", default="m", choices=("m", "cm"), help="unit of lengths in .bvh (default: m)")
    cli.add_camera(parser)
    add("--with-video", dest="video", metavar="VIDEO", help="show this video beside the bodies in .html")
    add("--body", help="the body file that the motions were made with (default: the free body)")
    args = vars(parser.parse_args())
    motions, formats = _load(args.pop("motions")), args.pop("to")
    for path in export(motions, args.pop("out"), formats, args.pop("body"), **args):
        logging.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)


def _load(paths: list[str]) -> dict[str, Motion]:
    """The motions by the stem of their files; where stems are equal, by folder and stem, such as left_motion."""
    files = [pathlib.Path(path).absolute() for path in paths]
    count = Counter(file.stem for file in files)
    names = [file.stem if count[file.stem] == 1 else f"{file.parent.name}_{file.stem}" for file in files]
    if doubles := [name for name, number in Counter(names).items() if number > 1]:
        raise UserError(f"Two motions would get the name '{doubles[0]}': rename one of the files.")
    return {name: Motion.load(path) for name, path in zip(names, files, strict=True)}


if __name__ == "__main__":
    main()
