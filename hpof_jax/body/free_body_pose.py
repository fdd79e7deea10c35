"""From MakeHuman's A-pose to SMPL's T-pose, one body at a time (part of the build of the free body).

Bone directions in the T-pose are those of SMPL's rest skeleton. Twist (the humerus that turns in the shoulder, the
forearm's pronation) is spread along the bone, so that no ring of skin collapses.
"""

import numpy as np

from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS

# Directions of the left side's bones in the T-pose; the right side is their mirror image in x.
COLLAR_RAISE = np.deg2rad(17)
FOOT_OUT = np.deg2rad(5)
TRUNK_BACK = np.deg2rad(-2.5)
UPPER_ARM = (0.2577, -0.015, -0.027)
FOREARM = (0.2674, 0.0098, -0.0067)
HAND = (0.0867, -0.0106, -0.0156)
THIGH = (0.073, -1.0, 0.010)
SHIN = (0.009, -1.0, -0.085)


def to_t_pose(skin, landmarks, joints, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses one body.

    Args:
      skin: (S, 3) metres, A-pose. landmarks: (33, 3). joints: (24, 3). weights: (S, 24).

    Returns: skin, landmarks, joints in the T-pose, the pelvis at the origin.
    """
    j = {name: joints[k] for k, name in enumerate(SMPL_JOINTS)}
    landmark_names = _landmark_index()
    turns = {name: np.eye(3) for name in SMPL_JOINTS}
    back = _rotation(np.array([1.0, 0.0, 0.0]), TRUNK_BACK)
    for name in ("spine1", "spine2", "spine3", "neck"):
        turns[name] = back
    twists = {}  # bone: (axis after the turn, angle reached at the bone's start, at its end)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        mirror = np.array([sign, 1.0, 1.0])
        at = {name: j[f"{side}_{name}"] for name in ("collar", "shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle")}
        raise_ = _rotation(np.array([0, 0, sign]), COLLAR_RAISE) @ back
        upper, fore, hand = (np.array(d) * mirror for d in (UPPER_ARM, FOREARM, HAND))
        bend = np.cross(at["elbow"] - at["shoulder"], at["wrist"] - at["elbow"])  # elbow's axis, forearm swings forward
        up = np.array([0, -sign, 0])
        arm = _align(at["elbow"] - at["shoulder"], bend, upper, up)
        forearm = _align(at["wrist"] - at["elbow"], bend, fore, up)
        palm = sign * np.cross(
            landmarks[landmark_names[f"{side}_pinky"]] - at["wrist"], landmarks[landmark_names[f"{side}_index"]] - at["wrist"]
        )
        wrist = _align(at["hand"] - at["wrist"], palm, hand, np.array([0.0, -1.0, 0.0]))
        swing = _swing(raise_ @ (at["elbow"] - at["shoulder"]), upper) @ raise_
        turns[f"{side}_collar"] = raise_
        turns[f"{side}_shoulder"], turns[f"{side}_elbow"] = arm, forearm
        turns[f"{side}_wrist"] = turns[f"{side}_hand"] = wrist
        twists[f"{side}_shoulder"] = (upper, _twist(swing @ arm.T, upper), 0.0)
        twists[f"{side}_elbow"] = (fore, 0.0, _twist(wrist @ forearm.T, fore))
        thigh, shin = np.array(THIGH) * mirror, np.array(SHIN) * mirror
        turns[f"{side}_hip"] = _swing(at["knee"] - at["hip"], thigh)
        turns[f"{side}_knee"] = _swing(at["ankle"] - at["knee"], shin)
        turns[f"{side}_ankle"] = turns[f"{side}_foot"] = _rotation(np.array([0.0, 1.0, 0.0]), sign * FOOT_OUT)

    posed = np.zeros_like(joints)
    for k, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            posed[k] = posed[parent] + turns[SMPL_JOINTS[parent]] @ (joints[k] - joints[parent])

    new_skin = np.zeros_like(skin)
    for k, name in enumerate(SMPL_JOINTS):
        if not weights[:, k].any():
            continue
        moved = (skin - joints[k]) @ turns[name].T
        if name in twists:
            axis, start, end = twists[name]
            child = SMPL_PARENTS.index(k)
            along = np.clip(moved @ axis / (axis @ (posed[child] - posed[k])), 0, 1)
            moved = _rotate(moved, axis, start + (end - start) * along)
        new_skin += weights[:, k, None] * (moved + posed[k])
    rigid = _landmark_joints()
    new_landmarks = np.stack(
        [turns[SMPL_JOINTS[k]] @ (point - joints[k]) + posed[k] for k, point in zip(rigid, landmarks, strict=True)]
    )
    return new_skin, new_landmarks, posed


def _landmark_index() -> dict[str, int]:
    from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS

    return {name: k for k, name in enumerate(BLAZEPOSE_LANDMARKS)}


def _landmark_joints() -> list[int]:
    """The joint that each landmark moves with."""
    joints = []
    for name in _landmark_index():
        side, _, part = name.partition("_")
        if name in SMPL_JOINTS:
            joints.append(SMPL_JOINTS.index(name))
        elif part in ("pinky", "index", "thumb"):
            joints.append(SMPL_JOINTS.index(f"{side}_wrist"))
        elif part in ("heel", "foot_index"):
            joints.append(SMPL_JOINTS.index(f"{side}_ankle"))
        else:
            joints.append(SMPL_JOINTS.index("head"))
    return joints


def _frame(direction, second) -> np.ndarray:
    x = direction / np.linalg.norm(direction)
    y = second - x * (x @ second)
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _align(direction, second, new_direction, new_second) -> np.ndarray:
    """The rotation that takes one direction exactly, and a second as well as it can, to new ones."""
    return _frame(new_direction, new_second) @ _frame(direction, second).T


def _swing(direction, new_direction) -> np.ndarray:
    """The smallest rotation from one direction to another."""
    a, b = direction / np.linalg.norm(direction), new_direction / np.linalg.norm(new_direction)
    axis = np.cross(a, b)
    return _rotation(axis, np.arctan2(np.linalg.norm(axis), a @ b))


def _rotation(axis, angle) -> np.ndarray:
    return _rotate(np.eye(3), np.asarray(axis, float), np.full(3, angle)).T


def _rotate(points, axis, angles) -> np.ndarray:
    """Rodrigues' formula for each of the points (N, 3) with its own angle (N,)."""
    axis = axis / max(np.linalg.norm(axis), 1e-12)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return points * cos + np.cross(axis, points) * sin + axis * (points @ axis)[:, None] * (1 - cos)


def _twist(rotation, axis) -> float:
    """The angle by which a rotation turns about `axis`."""
    axis = axis / np.linalg.norm(axis)
    vector = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    return 2 * np.arctan2(axis @ vector, 1 + np.trace(rotation))
