"""The BVH file format: a parser, and forward kinematics of a file's own skeleton.

The `pybvh` package is not used: it refuses recordings whose inner joints have position channels, as those of
some public data sets have.
"""

import dataclasses
import math

import numpy as np
from scipy.spatial.transform import Rotation

from hpof_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Bvh:
    """One file. J nodes, parents before children. End sites are nodes with an empty name and no channels."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray  # (J, 3) in the file's unit
    channels: tuple[tuple[str, ...], ...]  # of each node, such as ("Xposition", ..., "Zrotation", ...)
    motion: np.ndarray  # (T, all channels) degrees and the file's unit
    fps: float


def parse_bvh(text: str, where: str = "the BVH text") -> Bvh:
    """Parses the text of a BVH file.

    Raises:
      UserError: the text is not well-formed BVH. The sentence starts with `where`.
    """
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
    """Forward kinematics in the file's frame and unit: global rotations (T, J, 3, 3), positions (T, J, 3).

    Position channels replace a joint's offset, as in every BVH player.
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
        # Upper case: SciPy's intrinsic rotations, as BVH has them.
        order = "".join(names[index][0] for index in turns)
        local = Rotation.from_euler(order, values[:, turns], degrees=True).as_matrix() if turns else np.eye(3)
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local, offset
        else:
            rotations[:, joint] = rotations[:, parent] @ local
            positions[:, joint] = positions[:, parent] + (rotations[:, parent] @ offset[..., None])[..., 0]
    return rotations, positions


def _parse_hierarchy(text: str):
    names, parents, offsets, channels, open_nodes = [], [], [], [], []
    for line in text.replace("{", "\n{\n").replace("}", "\n}\n").splitlines():
        key, *words = line.split() or [""]
        key = key.upper()
        if key in ("ROOT", "JOINT", "END"):
            if (key == "ROOT") == bool(names) or (names and not open_nodes):
                raise ValueError(f"{key} '{' '.join(words)}' is not allowed at its place")
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
                raise ValueError(f"the channels of '{names[-1]}' are unknown")
            channels[open_nodes[-1]] = listed
        elif key not in ("", "HIERARCHY"):
            raise ValueError(f"'{line.strip()[:40]}' does not belong in a hierarchy")
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
        raise ValueError("its MOTION part lacks 'Frames:', 'Frame Time:' or any frame")
    frames, seconds = int(lines[0].split(":")[1]), float(lines[1].split(":")[1])
    if frames < 1 or not 1e-4 < seconds < 10 or not math.isfinite(seconds):
        raise ValueError(f"{frames} frames of {seconds} s are not 1 or more of 0.0001 to 10 s")
    return frames, 1.0 / seconds, np.array(lines[2].split(), np.float64)
