"""BVH recordings of any skeleton -> motion of the SMPL skeleton.

This file reads; `retarget.py` maps. The `pybvh` package refuses recordings whose inner joints
carry position channels (whole public data sets do), so reading is done here.
"""

import collections
import dataclasses
import math
import pathlib
import zipfile

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.motion import retarget
from data_pipelines.motion.clip import MotionClip, motion_class
from data_pipelines.motion.joint_names import find_slots
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Bvh:
    """One file. J nodes, parents before children; end sites are nodes with an empty name and no channels."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray  # (J, 3) in the file's unit
    channels: tuple[tuple[str, ...], ...]  # per node, such as ("Xposition", ..., "Zrotation", ...)
    motion: np.ndarray  # (T, all channels) degrees and the file's unit
    fps: float


def read_bvh(path: str | pathlib.Path, report: list[str] | None = None) -> MotionClip:
    """Reads one file; the skeleton is calibrated from its rest pose, else from this file's frames alone.

    Args:
      path: the `.bvh` file.
      report: takes lines about the mapping.

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
    """Reads files of a folder or zip archive; files of one skeleton kind share one calibration.

    Returns:
      the clips, in the order of `files`, and one sentence for each file that was left out.
    """
    read, failures = [], []
    for file in files:
        try:
            bvh = parse_bvh(_text(source, file), str(source / file))
            read.append((file, bvh, find_slots(bvh.names, bvh.parents, str(source / file))))
        except (UserError, OSError) as error:
            failures.append(
                str(error) if isinstance(error, UserError) else f"{source / file} cannot be read: {error}."
            )
    kinds = retarget.group([(bvh, slots) for _, bvh, slots in read])
    clips: dict[int, MotionClip] = {}
    for kind in kinds:
        calibration = retarget.calibrate([read[index][1:] for index in kind.members], forward)
        errors = []
        for index in kind.members:
            file, bvh, slots = read[index]
            pose, transl, error = retarget.convert(bvh, slots, calibration, forward)
            clips[index] = MotionClip(
                pathlib.PurePosixPath(file).name, motion_class(file, source.stem), pose, transl
            )
            errors.append(error)
        if report is not None:
            report += _describe(kind, calibration, read[kind.members[0]][1], errors)
    return [clips[index] for index in sorted(clips)], failures


def parse_bvh(text: str, where: str = "the BVH text") -> Bvh:
    """Parses a BVH file's text. Raises UserError, naming `where`, for anything that is not well-formed BVH."""
    head, mark, tail = text.partition("MOTION")
    try:
        if not mark:
            raise ValueError("it has no MOTION part")
        names, parents, offsets, channels = _parse_hierarchy(head)
        frames, fps, values = _parse_motion(tail)
    except (ValueError, IndexError) as error:
        raise UserError(f"{where} is not a readable BVH file ({error}): export it again.") from error
    width = sum(map(len, channels))
    if values.size < frames * width or frames * width == 0:
        raise UserError(
            f"{where} should hold {frames} frames of {width} channels but holds {values.size} numbers: "
            "export it again."
        )
    motion = values[: frames * width].reshape(frames, width)
    if not np.isfinite(motion).all():
        raise UserError(f"{where} holds numbers that are not finite: export it again.")
    return Bvh(tuple(names), tuple(parents), np.array(offsets, np.float64), tuple(channels), motion, fps)


def forward(bvh: Bvh, frames: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Forward kinematics: global rotations (T, J, 3, 3) and positions (T, J, 3), in the file's frame and unit.

    Position channels replace the offset, as all players do.
    """
    motion = bvh.motion[frames]
    rotations = np.empty((len(motion), len(bvh.names), 3, 3))
    positions = np.empty((len(motion), len(bvh.names), 3))
    column = 0
    for joint, (parent, names) in enumerate(zip(bvh.parents, bvh.channels)):
        values = motion[:, column : column + len(names)]
        column += len(names)
        offset = np.broadcast_to(bvh.offsets[joint], (len(motion), 3)).copy()
        turns = [index for index, name in enumerate(names) if name.endswith("rotation")]
        for index, name in enumerate(names):
            if name.endswith("position"):
                offset[:, "XYZ".index(name[0])] = values[:, index]
        order = "".join(
            names[index][0] for index in turns
        )  # upper case: SciPy's intrinsic order, which is BVH's
        local = Rotation.from_euler(order, values[:, turns], degrees=True).as_matrix() if turns else np.eye(3)
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local, offset
        else:
            rotations[:, joint] = rotations[:, parent] @ local
            positions[:, joint] = positions[:, parent] + (rotations[:, parent] @ offset[..., None])[..., 0]
    return rotations, positions


def _text(source: pathlib.Path, file: str) -> str:
    if source.is_dir():
        return (source / file).read_text(encoding="utf-8", errors="replace")
    with zipfile.ZipFile(source) as archive:
        return archive.read(file).decode("utf-8", "replace")


def _parse_hierarchy(text: str):
    names, parents, offsets, channels, open_nodes = [], [], [], [], []
    for line in text.replace("{", "\n{\n").replace("}", "\n}\n").splitlines():
        key, *words = line.split() or [""]
        key = key.upper()
        if key in ("ROOT", "JOINT", "END"):
            if (key == "ROOT") == bool(names) or (names and not open_nodes):
                raise ValueError(f"'{' '.join(words)}' stands where no {key} may be")
            parents.append(open_nodes[-1] if open_nodes else -1)
            names.append("" if key == "END" else " ".join(words))
            offsets.append([0.0, 0.0, 0.0])
            channels.append(())
        elif key == "{":
            open_nodes.append(len(names) - 1)
        elif key == "}":
            open_nodes.pop()
        elif key == "OFFSET":
            offsets[open_nodes[-1]] = [float(word) for word in words]
        elif key == "CHANNELS":
            listed = tuple(word[:1].upper() + word[1:].lower() for word in words[1:])
            if len(listed) != int(words[0]) or any(channel not in _CHANNELS for channel in listed):
                raise ValueError(f"the channels of '{names[-1]}' are not understood")
            channels[open_nodes[-1]] = listed
        elif key not in ("", "HIERARCHY"):
            raise ValueError(f"'{line.strip()[:40]}' is no part of a hierarchy")
    if not names or open_nodes or any(len(offset) != 3 for offset in offsets):
        raise ValueError("its hierarchy is not complete")
    return names, parents, offsets, channels


_CHANNELS = frozenset(f"{axis}{what}" for axis in "XYZ" for what in ("position", "rotation"))


def _parse_motion(text: str) -> tuple[int, float, np.ndarray]:
    lines = text.strip().split("\n", 2)
    if (
        len(lines) < 3
        or not lines[0].lower().startswith("frames")
        or not lines[1].lower().startswith("frame time")
    ):
        raise ValueError("its MOTION part has no 'Frames:' and 'Frame Time:' or no frame")
    frames, seconds = int(lines[0].split(":")[1]), float(lines[1].split(":")[1])
    if frames < 1 or not 1e-4 < seconds < 10 or not math.isfinite(seconds):
        raise ValueError(f"{frames} frames of {seconds} s each make no motion")
    return frames, 1.0 / seconds, np.array(lines[2].split(), np.float64)


def describe(source: pathlib.Path, files: list[str]) -> str:
    """A report on files of a folder or zip archive: joint mapping, limb directions, and rotation angles by joint."""
    report: list[str] = []
    clips, failures = read_all(source, files, report)
    report += [f"left out: {sentence}" for sentence in failures]
    return "\n".join([*report, _describe_angles(clips)] if clips else report)


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
            f"  {bone:15s} direction differs by {angles.mean():5.2f} deg on average, {angles.max():5.2f} at most"
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
