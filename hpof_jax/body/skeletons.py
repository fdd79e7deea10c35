"""Joint names, trees and keypoint sets: plain data, no JAX.

Left and right are the person's own. Permutations `*_MIRROR` give, for each index, its partner on the other
side.

Points with the same name in two sets correspond, but data sets place them a little differently: `neck` is
SMPL's joint in `smpl24` and lies between the collarbones in `h36m17`. `docs/keypoints.md` says where the
points are.
"""

import numpy as np

from hpof_jax.errors import UserError

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

OPENPOSE25 = tuple(
    """nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist mid_hip right_hip right_knee
    right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_big_toe
    left_small_toe left_heel
    right_big_toe right_small_toe right_heel""".split()
)
# The second half of SPIN's 49. `head_top_lsp` is LSP's crown of the head. `head_top` is Human3.6M's end of
# the head, which SPIN and its successors evaluate.
SPIN24 = tuple(
    """right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder left_shoulder
    left_elbow left_wrist neck head_top_lsp pelvis thorax spine jaw head_top nose left_eye right_eye left_ear
    right_ear""".split()
)

# The twelve joints on which all keypoint sets agree; the evaluation on real videos uses them.
LIMB_JOINTS = tuple(
    f"{side}_{joint}"
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)

KEYPOINT_SETS: dict[str, tuple[str, ...]] = {
    "smpl24": SMPL_JOINTS,
    "coco17": tuple(
        """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist
        right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle""".split()
    ),
    "h36m17": tuple(
        """pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle spine neck jaw head_top left_shoulder
        left_elbow left_wrist right_shoulder right_elbow right_wrist""".split()
    ),
    # The data set calls its last point the head, SPIN calls it the jaw.
    "mpi_inf_3dhp17": tuple(
        """head_top neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee
        right_ankle left_hip left_knee left_ankle pelvis spine jaw""".split()
    ),
    "lsp14": tuple(
        """right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder
        left_shoulder left_elbow left_wrist neck head_top""".split()
    ),
    "blazepose33": BLAZEPOSE_LANDMARKS,
    "openpose25": OPENPOSE25,
    "spin49": tuple(f"{name}_openpose" for name in OPENPOSE25) + SPIN24,
    "anatomical12": LIMB_JOINTS,  # joint centres as motion laboratories define them
}

# For each of BlazePose's landmarks the joint with which it moves.
BLAZEPOSE_CARRIERS = (
    *["head"] * 11,
    *(f"{side}_{part}" for part in ("shoulder", "elbow", "wrist") for side in ("left", "right")),
    *["left_hand", "right_hand"] * 3,
    *(f"{side}_{part}" for part in ("hip", "knee", "ankle", "ankle", "foot") for side in ("left", "right")),
)


def mirror_permutation(names: tuple[str, ...]) -> np.ndarray:
    """Index of each name's left/right partner, (len(names),) int; names on the midline map to themselves."""
    swap = {"left": "right", "right": "left"}
    partners = []
    for name in names:
        side, _, rest = name.partition("_")
        partners.append(names.index(f"{swap[side]}_{rest}") if side in swap else names.index(name))
    return np.array(partners)


def keypoint_names(name: str) -> tuple[str, ...]:
    """The names of a set's points, in the data set's own order.

    Raises:
      UserError: there is no such set.
    """
    if name not in KEYPOINT_SETS:
        raise UserError(f"There is no keypoint set {name!r}: choose one of {', '.join(KEYPOINT_SETS)}.")
    return KEYPOINT_SETS[name]


def keypoint_parents(name: str) -> tuple[int, ...]:
    """The index of each point's parent, -1 for none. A parent may come after its child."""
    names = keypoint_names(name)
    if name == "spin49":
        half = len(OPENPOSE25)
        return _parents(OPENPOSE25) + tuple(p + half if p >= 0 else -1 for p in _parents(SPIN24))
    return _parents(names)


def index_map(source: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Maps the points of one set to another by name.

    Returns:
      index: (K,) int, the source's point for each of the target's; 0 where the source has no such point.
      there: (K,) bool, whether the source has it.
    """
    have, want = keypoint_names(source), keypoint_names(target)
    if {source, target} == {
        "openpose25",
        "spin49",
    }:  # the first 25 of the 49 are OpenPose's, under longer names
        half = KEYPOINT_SETS["spin49"][: len(OPENPOSE25)]
        have, want = (half if names is OPENPOSE25 else names for names in (have, want))
    there = np.array([name in have for name in want])
    return np.array([have.index(name) if name in have else 0 for name in want]), there


def convert(points: np.ndarray, source: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Converts points (..., K, D) of one set to another by name; inside `jax.jit` use `index_map`.

    Returns:
      points: (..., K', D) of the target; zero, including the confidence, where the source has no such point.
      there: (K',) bool, whether the source has it.

    Raises:
      UserError: there is no such set, or `points` has another number of points than the source.
    """
    points, (index, there) = np.asarray(points), index_map(source, target)
    expected = len(keypoint_names(source))
    if points.ndim < 2 or points.shape[-2] != expected:
        raise UserError(
            f"Points of {source} are (..., {expected}, D), but these are {points.shape}: name the right set."
        )
    return np.where(there[:, None], points[..., index, :], 0), there


def indices_of(wanted: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """Positions of `wanted` in `names`, (len(wanted),) int."""
    return np.array([names.index(name) for name in wanted])


def tree_levels(parents: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Joints grouped by depth, root first. Forward kinematics makes one batched step per level: 9."""
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents):
        if parent >= joint:
            raise ValueError(f"parents must precede their children, but joint {joint} has parent {parent}.")
        depth[joint] = depth[parent] + 1 if parent >= 0 else 0
    return tuple(np.flatnonzero(np.array(depth) == level) for level in range(max(depth) + 1))


# The parent of a point: the first of these that the set has, on the same side where possible.
_UP = {
    "hip": "pelvis mid_hip shoulder",
    "knee": "hip",
    "ankle": "knee",
    "foot": "ankle",
    "heel": "ankle",
    "foot_index": "heel",
    "big_toe": "ankle",
    "small_toe": "big_toe",
    "spine1": "pelvis",
    "spine2": "spine1",
    "spine3": "spine2",
    "spine": "pelvis",
    "thorax": "spine",
    "neck": "spine3 thorax spine mid_hip",
    "collar": "spine3",
    "shoulder": "collar thorax neck",
    "elbow": "shoulder",
    "wrist": "elbow",
    "hand": "wrist",
    "pinky": "wrist",
    "index": "wrist",
    "thumb": "wrist",
    "head": "neck",
    "jaw": "neck",
    "head_top": "jaw head neck",
    "head_top_lsp": "jaw",
    "nose": "jaw neck",
    "mouth": "nose",
    "eye_inner": "nose",
    "eye": "eye_inner nose",
    "eye_outer": "eye",
    "ear": "eye_outer eye",
}


def _parents(names: tuple[str, ...]) -> tuple[int, ...]:
    parents = []
    for name in names:
        side, _, part = name.partition("_")
        if side not in ("left", "right"):
            part = name
        above = (
            up for short in _UP.get(part, "").split() for up in (f"{side}_{short}", short) if up in names
        )
        parents.append(next((names.index(up) for up in above), -1))
    return tuple(parents)


SMPL_MIRROR = mirror_permutation(SMPL_JOINTS)
BLAZEPOSE_MIRROR = mirror_permutation(BLAZEPOSE_LANDMARKS)
SMPL_LIMBS = indices_of(LIMB_JOINTS, SMPL_JOINTS)
BLAZEPOSE_LIMBS = indices_of(LIMB_JOINTS, BLAZEPOSE_LANDMARKS)
BLAZEPOSE_HIPS = indices_of(("left_hip", "right_hip"), BLAZEPOSE_LANDMARKS)
