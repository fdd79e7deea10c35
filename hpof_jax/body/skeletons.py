"""Joint names, trees and keypoint sets: plain data, no JAX.

Left and right are the person's own. Permutations `*_MIRROR` give, for each index, its partner on the other side.
"""

import numpy as np

SMPL_JOINTS = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

BLAZEPOSE_LANDMARKS = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "left_mouth",
    "right_mouth",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)

# The twelve joints that every keypoint set agrees on; real-video evaluation uses them.
LIMB_JOINTS = tuple(
    f"{side}_{joint}"
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)


def mirror_permutation(names: tuple[str, ...]) -> np.ndarray:
    """Index of each name's left/right partner, (len(names),) int; names on the midline map to themselves."""
    swap = {"left": "right", "right": "left"}
    partners = []
    for name in names:
        side, _, rest = name.partition("_")
        partners.append(names.index(f"{swap[side]}_{rest}") if side in swap else names.index(name))
    return np.array(partners)


def indices_of(wanted: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """Positions of `wanted` in `names`, (len(wanted),) int."""
    return np.array([names.index(name) for name in wanted])


def tree_levels(parents: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Joints grouped by depth, root first: forward kinematics takes one batched step a level (9 for SMPL)."""
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents):
        if parent >= joint:
            raise ValueError(f"parents must precede their children, but joint {joint} has parent {parent}.")
        depth[joint] = depth[parent] + 1 if parent >= 0 else 0
    return tuple(np.flatnonzero(np.array(depth) == level) for level in range(max(depth) + 1))


SMPL_MIRROR = mirror_permutation(SMPL_JOINTS)
BLAZEPOSE_MIRROR = mirror_permutation(BLAZEPOSE_LANDMARKS)
SMPL_LIMBS = indices_of(LIMB_JOINTS, SMPL_JOINTS)
BLAZEPOSE_LIMBS = indices_of(LIMB_JOINTS, BLAZEPOSE_LANDMARKS)
