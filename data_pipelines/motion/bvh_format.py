"""The BVH file format: a parser, and forward kinematics of a file's own skeleton.

The `pybvh` package is not used: it refuses recordings whose inner joints have position channels, as those of
some public data sets have.
"""

import dataclasses
import re

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.motion.clip import LONGEST
from hpof_jax.archives import damage
from hpof_jax.errors import UserError

MOST_NODES = 1000
LONGEST_HIERARCHY = 2**20  # characters
LONGEST_NAME = 200  # characters
LARGEST_NUMBER = 1e7  # degrees, or the file's unit of length
MOST_PLACES = 2**25  # of all nodes in all frames
_BLOCK = 2**20  # characters of numbers that are parsed at once: as text, each takes 50 bytes


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
    with damage(where, "a readable BVH file", "export it again"):
        end = text.find("MOTION")
        if end < 0:
            raise ValueError("it has no MOTION part")
        if end > LONGEST_HIERARCHY:
            raise ValueError(f"its hierarchy has {end} characters")
        names, parents, offsets, channels = _parse_hierarchy(text[:end])
        width = sum(map(len, channels))
        frames, fps, start = _parse_rate(text, end + len("MOTION"))
        # Fewer channels than nodes are no recording, and the places of the nodes take memory.
        if len(names) > 2 * width + 10 or frames * len(names) > MOST_PLACES:
            raise ValueError(f"{frames} frames of {len(names)} nodes and {width} channels are too much")
        values = _parse_numbers(text, start, frames * width)
        if not (np.abs(offsets) <= LARGEST_NUMBER).all():
            raise ValueError("an offset is not finite or too large")
    if values.size < frames * width or frames * width == 0:
        raise UserError(
            f"{where} should hold {frames} frames of {width} channels but holds {values.size} numbers: "
            "export it again."
        )
    motion = values[: frames * width].reshape(frames, width)
    if not (np.abs(motion) <= LARGEST_NUMBER).all():
        raise UserError(f"{where} holds numbers that are not finite or too large: export it again.")
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
                raise ValueError(f"{key} '{' '.join(words)[:40]}' is not allowed at its place")
            if len(names) == MOST_NODES:
                raise ValueError(f"it has more than {MOST_NODES} nodes")
            if len(line) > LONGEST_NAME:
                raise ValueError(f"the name of node {len(names)} is too long")
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


_RATE = re.compile(
    r"\s*frames[^\n:]*:([^\n:]*)[^\n]*\n[^\S\n]*frame time[^\n:]*:([^\n:]*)[^\n]*\n", re.IGNORECASE
)
_SPACE = re.compile(r"\s")


def _parse_rate(text: str, start: int) -> tuple[int, float, int]:
    """The number of frames, the frame rate, and where the numbers begin."""
    match = _RATE.match(text, start)
    if match is None:
        raise ValueError("its MOTION part lacks 'Frames:', 'Frame Time:' or any frame")
    frames, seconds = int(match[1]), float(match[2])
    if frames < 1 or not 1e-4 < seconds < 10:
        raise ValueError(f"{frames} frames of {seconds} s are not 1 or more of 0.0001 to 10 s")
    if frames * seconds > LONGEST:
        raise ValueError(f"it takes {frames * seconds:.0f} s, more than {LONGEST}")
    return frames, 1.0 / seconds, match.end()


def _parse_numbers(text: str, start: int, count: int) -> np.ndarray:
    """At least `count` numbers, if there are so many."""
    parts, found = [np.zeros(0)], 0
    while start < len(text) and found < count:
        space = _SPACE.search(text, min(start + _BLOCK, len(text)))
        stop = space.start() if space else len(text)
        parts.append(np.array(text[start:stop].split(), np.float64))
        start, found = stop, found + len(parts[-1])
    return np.concatenate(parts)
