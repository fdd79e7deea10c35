"""BVH recordings of any skeleton -> clips of SMPL motion."""

import collections
import contextlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines.motion import retarget
from data_pipelines.motion.bvh_format import Bvh, parse_bvh
from data_pipelines.motion.clip import MotionClip, motion_class
from data_pipelines.motion.joint_names import find_slots
from hpof_jax.archives import damage, open_archive
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError

LARGEST = 2**28  # bytes of a file
READABLE = "readable", "export or download it again"
_NO_BODY = "the motion of a person", "leave it out"


def read_bvh(path: str | pathlib.Path, report: list[str] | None = None) -> MotionClip:
    """Reads one file. Its skeleton is calibrated from its rest pose, or else from its own frames.

    Args:
      path: the `.bvh` file.
      report: receives lines about the mapping.

    Raises:
      UserError: no such file, not a BVH file, or a skeleton whose limbs cannot be recognised.
    """
    path = pathlib.Path(path)
    clips, failures = read_all(path.parent, [path.name], report)
    if failures:
        raise UserError(failures[0])
    return clips[0]


def read_all(
    source: pathlib.Path, files: list[str], report: list[str] | None = None
) -> tuple[list[MotionClip], list[str]]:
    """Reads files of a folder or zip archive. Files with the same kind of skeleton share one calibration.

    Args:
      source: the folder or archive. files: paths in it.
      report: receives lines about the mapping.

    Returns:
      the clips, in the order of `files`, and one sentence for each file that was left out.
    """
    read, failures = [], []
    with _texts(source) as text_of:
        for file in files:
            try:
                bvh = parse_bvh(text_of(file), str(source / file))
                read.append((file, bvh, find_slots(bvh.names, bvh.parents, str(source / file))))
            except UserError as error:
                failures.append(str(error))
    kinds = retarget.group([(bvh, slots) for _, bvh, slots in read])
    clips: dict[int, MotionClip] = {}
    for kind in kinds:
        errors = []
        try:
            with damage(source / read[kind.members[0]][0], *_NO_BODY):
                calibration = retarget.calibrate([read[index][1:] for index in kind.members])
        except UserError as error:
            others = len(kind.members) - 1
            failures.append(
                f"{error} {others} files of the same kind are left out, too." if others else str(error)
            )
            continue
        for index in kind.members:
            file, bvh, slots = read[index]
            try:
                with damage(source / file, *_NO_BODY):
                    pose, transl, error = retarget.convert(bvh, slots, calibration)
                    name = pathlib.PurePosixPath(file).name
                    clips[index] = MotionClip(name, motion_class(file, source.stem), pose, transl)
                errors.append(error)
            except UserError as error:
                failures.append(str(error))
        if report is not None and errors:
            report += _describe(kind, calibration, read[kind.members[0]][1], errors)
    return [clips[index] for index in sorted(clips)], failures


def describe(source: pathlib.Path, files: list[str]) -> str:
    """A report on files of a folder or archive: mapping, errors of limb directions, angles of each joint."""
    report: list[str] = []
    clips, failures = read_all(source, files, report)
    report += [f"left out: {sentence}" for sentence in failures]
    return "\n".join([*report, _describe_angles(clips)] if clips else report)


@contextlib.contextmanager
def _texts(source: pathlib.Path) -> Iterator[Callable[[str], str]]:
    """Yields a function that reads a file of a folder or zip archive and raises `UserError`."""

    def read(file: str) -> bytes:
        path = source / file
        with damage(path, *READABLE):
            if path.stat().st_size > LARGEST:
                raise ValueError(f"it is larger than {LARGEST / 1e6:.0f} MB")
            return path.read_bytes()

    with contextlib.ExitStack() as stack:
        if not source.is_dir():
            archive = stack.enter_context(open_archive(source, *READABLE))
            yield lambda file: archive.read(file, LARGEST).decode("utf-8", "replace")
        else:
            yield lambda file: read(file).decode("utf-8", "replace")


def _describe(
    kind: retarget.Kind, calibration: retarget.Calibration, bvh: Bvh, errors: list[dict]
) -> list[str]:
    used = set(kind.names.values())
    left_out = [name for name in bvh.names if name and name not in used]
    lines = [
        f"{len(kind.members)} files, {bvh.fps:.4g} fps, leg {calibration.leg:.4g} units, calibrated from: "
        f"{calibration.method}",
        "  " + ", ".join(f"{slot} <- {name}" for slot, name in kind.names.items()),
        f"  left out: {', '.join(left_out)[:300] or 'none'}",
    ]
    for bone in errors[0]:
        angles = np.concatenate([error[bone] for error in errors])
        lines.append(
            f"  {bone:15s} direction differs by {angles.mean():5.2f} deg on average, "
            f"{angles.max():5.2f} at most"
        )
    return lines


def _describe_angles(clips: list[MotionClip]) -> str:
    angles = np.degrees(np.linalg.norm(np.concatenate([clip.pose for clip in clips]), axis=-1))
    middle, high = np.percentile(angles, [50, 99], axis=0)
    rows = [f"{name:15s} {a:6.1f} {b:6.1f}" for name, a, b in zip(SMPL_JOINTS, middle, high)]
    classes = collections.Counter(clip.motion_class for clip in clips)
    counts = ", ".join(f"{name} {count}" for name, count in classes.most_common())
    return "\n".join(
        [f"{len(clips)} clips, {len(angles)} frames; rotation angle, degrees: p50, p99", *rows, counts]
    )
