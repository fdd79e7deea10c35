"""BVH: a skeleton and its motion as text. y up, metres or centimetres, a constant frame rate.

The rest pose is SMPL's T-pose, in which every joint's axes are those of the world. Frame 1 is the first frame.
"""

import os

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import LEAVES, joint_names, rest_body, y_up
from hpof_jax.geometry.euler import cardan_angles, continuous_cardan_angles
from hpof_jax.world import WorldMotion

UNITS = {"m": 1.0, "cm": 100.0}

_ROTATIONS = "Zrotation Xrotation Yrotation"
_PLACE = "Xposition Yposition Zposition"
_DIRECTIONS = {  # of the bones without a child joint, in the rest pose
    "head": np.array([0.0, 1.0, 0.0]),
    "left_foot": np.array([0.0, 0.0, 1.0]),
    "right_foot": np.array([0.0, 0.0, 1.0]),
    "left_hand": np.array([1.0, 0.0, 0.0]),
    "right_hand": np.array([-1.0, 0.0, 0.0]),
}


def write(
    path: str | os.PathLike, motion: WorldMotion, body: BodyModel, names: str = "smpl", unit: str = "m"
) -> None:
    """Writes one person. Times that vary are resampled; see `constant_rate.at_constant_rate`.

    Args:
      names: of the joints, 'smpl' or 'mixamo'.
      unit: of lengths, 'm' or 'cm'.

    Raises:
      UserError: the file cannot be written, or there are no such names.
    """
    motion, scale = at_constant_rate(motion, body), UNITS[unit]
    joints, vertices = rest_body(body, motion.betas)
    lines = _hierarchy(joints * scale, _tips(joints, vertices, body) * scale, joint_names(names))
    rotations, pelvis = y_up(motion)
    angles = cardan_angles(rotations.as_matrix().reshape(-1, 24, 3, 3), "zxy")
    angles = np.degrees(continuous_cardan_angles(angles))  # programs interpolate between frames
    values = np.concatenate([pelvis * scale, angles[:, _depth_first()].reshape(-1, 72)], axis=1)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.8f}"]
    with (
        replacing(path, "The BVH file") as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, values, fmt="%.6f")


def _children(joint: int) -> list[int]:
    return [child for child, parent in enumerate(SMPL_PARENTS) if parent == joint]


def _depth_first(joint: int = 0) -> list[int]:
    """The joints in the order in which a BVH file lists them."""
    return [joint, *(below for child in _children(joint) for below in _depth_first(child))]


def _hierarchy(joints: np.ndarray, tips: np.ndarray, names: tuple[str, ...]) -> list[str]:
    lines = ["HIERARCHY"]

    def add(joint: int, indent: str) -> None:
        parent = SMPL_PARENTS[joint]
        # Position channels replace the root's offset; at rest it stands on the floor.
        offset = joints[joint] - (joints[parent] if parent >= 0 else 0.0)
        channels = f"3 {_ROTATIONS}" if parent >= 0 else f"6 {_PLACE} {_ROTATIONS}"
        lines.append(f"{indent}{'JOINT' if parent >= 0 else 'ROOT'} {names[joint]}")
        inner = indent + "  "
        lines.extend([f"{indent}{{", f"{inner}OFFSET {_numbers(offset)}", f"{inner}CHANNELS {channels}"])
        for child in _children(joint):
            add(child, inner)
        if joint in LEAVES:
            lines.extend([f"{inner}End Site", f"{inner}{{", f"{inner}  OFFSET {_numbers(tips[joint])}"])
            lines.append(f"{inner}}}")
        lines.append(f"{indent}}}")

    add(0, "")
    return lines


def _numbers(vector: np.ndarray) -> str:
    return " ".join(f"{number:.6f}" for number in vector)


def _tips(joints: np.ndarray, vertices: np.ndarray, body: BodyModel) -> np.ndarray:
    """The ends of the bones without a child joint, (24, 3) from the joint: crown, toes and fingers."""
    owner = np.argmax(np.asarray(body.lbs_weights), axis=1)
    tips = np.zeros((24, 3))
    for joint in LEAVES:
        direction = _DIRECTIONS[SMPL_JOINTS[joint]]
        tips[joint] = direction * ((vertices[owner == joint] - joints[joint]) @ direction).max()
    return tips
