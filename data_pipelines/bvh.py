"""BVH recordings of any skeleton -> motion of the SMPL skeleton.

    python -m data_pipelines.bvh FOLDER      # what was mapped to what, and how well the limbs agree

This file reads; `retarget.py` maps. The `pybvh` package, which the export uses, refuses recordings whose inner joints
carry position channels (whole public data sets do), so reading is done here.
"""

import argparse
import dataclasses
import math
import pathlib
import sys
import zipfile
from collections.abc import Iterable

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines import retarget
from data_pipelines.motion import MotionClip, motion_class
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
    for file, text in _texts(source, files):
        try:
            bvh = parse_bvh(text() if callable(text) else text, str(source / file))
            read.append((file, bvh, retarget.find_slots(bvh.names, bvh.parents, str(source / file))))
        except (UserError, OSError) as error:
            failures.append(str(error) if isinstance(error, UserError) else f"{source / file} cannot be read: {error}.")
    kinds = retarget.group([(bvh, slots) for _, bvh, slots in read])
    clips: dict[int, MotionClip] = {}
    for kind in kinds:
        calibration = retarget.calibrate([read[index][1] for index in kind.members], kind.slots, forward)
        errors = []
        for index in kind.members:
            file, bvh, slots = read[index]
            pose, transl, error = retarget.convert(bvh, slots, calibration, forward)
            clips[index] = MotionClip(
                pathlib.PurePosixPath(file).name, motion_class(file, source.stem), pose, transl
            )
            errors.append(error)
        if report is not None:
            first = read[kind.members[0]][1]
            report += retarget.describe(calibration, len(kind.members), first.names, first.fps, errors)
    return [clips[index] for index in sorted(clips)], failures


def parse_bvh(text: str, where: str = "the BVH text") -> Bvh:
    """Parses a BVH file's text. Raises UserError, naming `where`, for anything that is not well-formed BVH."""
    head, mark, tail = text.partition("MOTION")
    try:
        if not mark:
            raise ValueError("it has no MOTION part")
        names, parents, offsets, channels = _parse_hierarchy(head.split())
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
        order = "".join(names[index][0] for index in turns)  # upper case: SciPy's intrinsic order, which is BVH's
        local = Rotation.from_euler(order, values[:, turns], degrees=True).as_matrix() if turns else np.eye(3)
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local, offset
        else:
            rotations[:, joint] = rotations[:, parent] @ local
            positions[:, joint] = positions[:, parent] + (rotations[:, parent] @ offset[..., None])[..., 0]
    return rotations, positions


def _texts(source: pathlib.Path, files: list[str]) -> Iterable[tuple[str, object]]:
    """(file, its text or a function that reads it), so that one unreadable file is that file's own failure."""
    if source.is_dir():
        for file in files:
            yield file, (source / file).open if False else _reader(source / file)
        return
    with zipfile.ZipFile(source) as archive:
        for file in files:
            yield file, archive.read(file).decode("utf-8", "replace")


def _reader(path: pathlib.Path):
    return lambda: path.read_text(encoding="utf-8", errors="replace")


def _parse_hierarchy(tokens: list[str]):
    names, parents, offsets, channels, open_nodes = [], [], [], [], []
    words = iter(tokens)
    for word in words:
        key = word.upper()
        if key in ("ROOT", "JOINT", "END"):
            name = next(words, "")
            if key == "ROOT" and names:
                raise ValueError("it has more than one root")
            if key != "ROOT" and not open_nodes:
                raise ValueError(f"'{name}' stands outside the root")
            parents.append(open_nodes[-1] if open_nodes else -1)
            names.append("" if key == "END" else name)
            offsets.append([0.0, 0.0, 0.0])
            channels.append(())
        elif key == "{":
            open_nodes.append(len(names) - 1)
        elif key == "}":
            open_nodes.pop()
        elif key == "OFFSET":
            offsets[open_nodes[-1]] = [float(next(words, "")) for _ in range(3)]
        elif key == "CHANNELS":
            listed = tuple(next(words, "") for _ in range(int(next(words, ""))))
            listed = tuple(name[:1].upper() + name[1:].lower() for name in listed)
            if any(name[:1] not in "XYZ" or name[1:] not in ("position", "rotation") for name in listed):
                raise ValueError(f"'{names[-1]}' has an unknown channel in {listed}")
            channels[open_nodes[-1]] = listed
        elif names and not open_nodes:
            raise ValueError(f"'{word}' was not expected")
        elif names and names[open_nodes[-1]] is not None and parents and offsets[open_nodes[-1]] == [0.0] * 3:
            names[open_nodes[-1]] += " " + word  # names with spaces, as 3ds Max writes them
        elif key != "HIERARCHY":
            names[-1] += " " + word
    if not names or open_nodes:
        raise ValueError("its HIERARCHY part is not complete")
    return names, parents, offsets, channels


def _parse_motion(text: str) -> tuple[int, float, np.ndarray]:
    lines = text.strip().split("\n", 2)
    if len(lines) < 3 or not lines[0].lower().startswith("frames") or not lines[1].lower().startswith("frame time"):
        raise ValueError("its MOTION part has no 'Frames:' and 'Frame Time:' or no frame")
    frames, seconds = int(lines[0].split(":")[1]), float(lines[1].split(":")[1])
    if frames < 1 or not 1e-4 < seconds < 10 or not math.isfinite(seconds):
        raise ValueError(f"{frames} frames of {seconds} s each make no motion")
    return frames, 1.0 / seconds, np.array(lines[2].split(), np.float64)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Reports how the skeletons of BVH files map to SMPL's 24 joints.")
    parser.add_argument("folder", type=pathlib.Path, help="a folder or zip archive of .bvh files, or one file")
    folder = parser.parse_args(arguments).folder
    from data_pipelines.motion import list_files

    try:
        if folder.suffix.lower() == ".bvh":
            source, files = folder.parent, [folder.name]
        else:
            source, files = folder, [name for name, _, _ in list_files(folder, ".bvh")]
        report: list[str] = []
        clips, failures = read_all(source, files, report)
        print("\n".join(report))
        for sentence in failures:
            print(f"left out: {sentence}")
        print(retarget.describe_angles(clips))
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
