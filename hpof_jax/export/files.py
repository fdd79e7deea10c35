"""Which files each format makes, for the command, for `Motion.export` and for a reconstruction."""

import importlib.util
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hpof_jax.body import load_body
from hpof_jax.body.model import BodyModel
from hpof_jax.errors import UserError
from hpof_jax.export import amass, bvh, csv, glb, mot, rrd, trc, usd, viewer
from hpof_jax.export.skeleton import joint_names
from hpof_jax.world import WorldMotion, check, share_world

if TYPE_CHECKING:
    from hpof_jax.motion import Motion

SCENE = "people"  # the name of the file of several people
OF_SEVERAL = ("glb", "usd", "rrd", "html")  # formats whose files hold several people
NEEDS = {"usd": ("pxr", "usd-core"), "rrd": ("rerun", "rerun-sdk")}  # module and package of some formats
# Format -> what its files end in.
ENDINGS = {
    "glb": (".glb",),
    "bvh": (".bvh",),
    "usd": (".usd",),
    "csv": (".csv", "_angles.csv"),
    "trc": (".trc", "_smpl24.trc"),
    "opencap": ("_opencap.trc",),
    "mot": (".mot",),
    "amass": ("_smpl.npz", "_smplh.npz"),
    "rrd": (".rrd",),
    "html": (".html",),
}


def export(
    motions: Mapping[str, "Motion"],
    out: str | os.PathLike,
    formats: str | Iterable[str],
    body: str | os.PathLike | BodyModel | None = None,
    *,
    names: str = "smpl",
    bvh_unit: str = "m",
    camera_pitch: float | None = None,
    camera_roll: float | None = None,
    camera_height: float | None = None,
    video: str | os.PathLike | None = None,
) -> list[pathlib.Path]:
    """Writes motions as files that other programs open.

    One file per person and format, except that a `.glb`, `.usd`, `.rrd` or `.html` holds all people. Several motions
    are taken to be from one camera and share its world.

    Args:
      motions: by the name that their files get.
      out: the folder; it is made if need be.
      formats: some of `ENDINGS`, or their names with commas between them.
      body: the body that the motions were made with, or its file. None: the free body.
      names: of the joints in `.glb`, `.bvh` and `.usd` files, 'smpl' or 'mixamo'.
      bvh_unit: of lengths in `.bvh` files, 'm' or 'cm'.
      camera_pitch, camera_roll, camera_height: see `world.find_world`.
      video: is shown beside the bodies in `.html`; the one that the motions were made from.

    Returns:
      The paths of the files.

    Raises:
      UserError: an unknown format or name, a format whose package is missing, an empty motion or one of another body, or a folder that cannot be
        written to.
    """
    formats = check_formats(formats)
    if video is not None:
        if "html" not in formats:
            raise UserError("A video is shown only in .html files: add html to the formats.")
        viewer.check_video(video)
    people, body = _people(motions, body, camera_pitch, camera_roll, camera_height)
    options = dict(names=names, unit=bvh_unit, video=video)
    _check_options(names, bvh_unit)
    out = pathlib.Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {out} cannot be made ({error.strerror}): give another one.") from error
    paths = []
    for format_ in formats:
        files = {name: {name: motion} for name, motion in people.items()}
        if format_ in OF_SEVERAL and len(people) > 1:
            files = {SCENE: people}
        for name, shown in files.items():
            for ending in ENDINGS[format_]:
                paths.append(out / f"{name}{ending}")
                _write(paths[-1], ending, shown, body, **options)
    return paths


def export_file(
    motion: "Motion",
    path: str | os.PathLike,
    body: str | os.PathLike | BodyModel | None = None,
    *,
    names: str = "smpl",
    bvh_unit: str = "m",
    camera_pitch: float | None = None,
    camera_roll: float | None = None,
    camera_height: float | None = None,
    video: str | os.PathLike | None = None,
) -> None:
    """Writes one motion as one file, whose format is that of its ending; see `ENDINGS`.

    Names that end in a suffix alone get a format's first file: `.csv` has joint positions, `.trc` the markers of
    BODY_25, `.npz` is AMASS's for SMPL. Arguments and errors as in `export`.
    """
    path = pathlib.Path(path)
    ending = _ending(path)
    check_formats(format_ for format_, endings in ENDINGS.items() if ending in endings)
    people, body = _people({path.stem: motion}, body, camera_pitch, camera_roll, camera_height)
    _check_options(names, bvh_unit)
    _write(path, ending, people, body, names, bvh_unit, video)


def _ending(path: pathlib.Path) -> str:
    """One of the endings in `ENDINGS`: the longest that the path has, or the first with its suffix."""
    endings, suffix = [ending for endings in ENDINGS.values() for ending in endings], path.suffix.lower()
    same = [ending for ending in endings if suffix and ending.endswith(suffix)]
    if not same:
        known = dict.fromkeys(f".{ending.rpartition('.')[2]}" for ending in endings)
        raise UserError(
            f"{path} has the suffix of no format: give the file a name that ends in {', '.join(known)}."
        )
    return max((ending for ending in same if path.name.lower().endswith(ending)), key=len, default=same[0])


def check_formats(formats: str | Iterable[str]) -> tuple[str, ...]:
    """The formats, each once.

    Raises:
      UserError: there is no such format, its package is missing, or none is given.
    """
    words = formats.split(",") if isinstance(formats, str) else formats
    formats = tuple(dict.fromkeys(word.strip().lower() for word in words if word.strip()))
    for name in formats:
        if name not in ENDINGS:
            raise UserError(f"There is no format '{name}': choose some of {', '.join(ENDINGS)}.")
        _check_package(name)
    if not formats:
        raise UserError(f"No format is given: choose some of {', '.join(ENDINGS)}.")
    return formats


def _check_package(format_: str) -> None:
    module, package = NEEDS.get(format_, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        raise UserError(f"The format '{format_}' needs the package {package}: run `pip install {package}`.")


def _check_options(names: str, unit: str) -> None:
    joint_names(names)
    if unit not in bvh.UNITS:
        raise UserError(f"BVH files have no unit '{unit}': choose one of {', '.join(bvh.UNITS)}.")


def _people(motions, body, pitch, roll, height) -> tuple[dict[str, WorldMotion], BodyModel]:
    body = body if isinstance(body, BodyModel) else load_body(body)
    for name, motion in motions.items():
        check(motion, body, f"The motion '{name}'")
    camera = dict(camera_pitch=pitch, camera_roll=roll, camera_height=height)
    shared = share_world([*motions.values()], body, **camera)
    return dict(zip(motions, shared, strict=True)), body


def _write(
    path: pathlib.Path,
    ending: str,
    people: dict[str, WorldMotion],
    body: BodyModel,
    names: str,
    unit: str,
    video: str | os.PathLike | None,
) -> None:
    motion = next(iter(people.values()))  # the only person, except in files of several
    match ending:
        case ".glb":
            glb.write(path, people, body, names)
        case ".usd":
            usd.write(path, people, body, names)
        case ".rrd":
            rrd.write(path, people, body)
        case ".html":
            viewer.write(path, people, body, video)
        case ".bvh":
            bvh.write(path, motion, body, names, unit)
        case ".csv":
            csv.write(path, motion)
        case "_angles.csv":
            csv.write_angles(path, motion)
        case ".trc":
            trc.write(path, motion, body)
        case "_smpl24.trc":
            trc.write(path, motion, body, "smpl24")
        case "_opencap.trc":
            trc.write(path, motion, body, "opencap")
        case ".mot":
            mot.write(path, motion, body)
        case "_smpl.npz":
            amass.write(path, motion, body)
        case "_smplh.npz":
            amass.write(path, motion, body, "smplh")
