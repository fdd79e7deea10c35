"""From MakeHuman's A-pose to SMPL's T-pose, one body at a time.

Bones get the directions of SMPL's rest skeleton. The twist of upper arm and forearm is distributed along the
bone, so that the skin does not collapse at one place.
"""

import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS, SMPL_PARENTS

# Directions of the left side's bones in the T-pose; the right side is their mirror image in x.
UPPER_ARM = (0.2577, -0.015, -0.027)
FOREARM = (0.2674, 0.0098, -0.0067)
HAND = (0.0867, -0.0106, -0.0156)
THIGH = (0.073, -1.0, 0.010)
SHIN = (0.009, -1.0, -0.085)
COLLAR_RAISE = np.deg2rad(17)  # the collar's part in raising the arm from the A-pose
FOOT_OUT = np.deg2rad(5)
TRUNK_BACK = np.deg2rad(2.5)  # SMPL's neck and shoulders are slightly behind its hips

X, Y, Z = np.eye(3)


def to_t_pose(
    skin: np.ndarray, landmarks: np.ndarray, joints: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Puts one body into the T-pose.

    Args:
      skin: (S, 3) metres, A-pose. landmarks: (33, 3). joints: (24, 3). weights: (S, 24), rows add up to 1.

    Returns:
      skin, landmarks and joints in the T-pose, the pelvis at the origin.
    """
    turns, twists = _turns(
        dict(zip(SMPL_JOINTS, joints, strict=True)), dict(zip(BLAZEPOSE_LANDMARKS, landmarks, strict=True))
    )
    posed = np.zeros_like(joints)
    for k, parent in enumerate(SMPL_PARENTS[1:], start=1):
        posed[k] = posed[parent] + turns[SMPL_JOINTS[parent]] @ (joints[k] - joints[parent])
    new_skin = np.zeros_like(skin)
    for k, name in enumerate(SMPL_JOINTS):
        moved = (skin - joints[k]) @ turns[name].T
        if name in twists:
            axis, start, end = twists[name]
            length = axis @ (posed[SMPL_PARENTS.index(k)] - posed[k])
            moved = _rotate(moved, axis, start + (end - start) * np.clip(moved @ axis / length, 0, 1))
        new_skin += weights[:, k, None] * (moved + posed[k])
    new_landmarks = np.zeros_like(landmarks)
    for i, name in enumerate(BLAZEPOSE_LANDMARKS):
        k = SMPL_JOINTS.index(_carrier(name))
        new_landmarks[i] = turns[SMPL_JOINTS[k]] @ (landmarks[i] - joints[k]) + posed[k]
    return new_skin, new_landmarks, posed


def _turns(joints: dict[str, np.ndarray], landmarks: dict[str, np.ndarray]):
    """Each joint's absolute rotation (3, 3), and the twists: bone -> (axis, angle at start, at end)."""
    turns, twists = {name: np.eye(3) for name in SMPL_JOINTS}, {}
    back = _rotation(X, -TRUNK_BACK)
    turns |= dict.fromkeys(("spine1", "spine2", "spine3", "neck"), back)
    for side, sign in (("left", 1.0), ("right", -1.0)):

        def bone(start, end, side=side):
            return joints[f"{side}_{end}"] - joints[f"{side}_{start}"]

        upper, fore, hand, thigh, shin = (
            np.array(d) * (sign, 1, 1) for d in (UPPER_ARM, FOREARM, HAND, THIGH, SHIN)
        )
        collar = _rotation(Z, sign * COLLAR_RAISE) @ back
        # The elbow's hinge axis is vertical in the T-pose: the forearm bends forward.
        hinge = np.cross(bone("shoulder", "elbow"), bone("elbow", "wrist"))
        arm = _align(bone("shoulder", "elbow"), hinge, upper, -sign * Y)
        forearm = _align(bone("elbow", "wrist"), hinge, fore, -sign * Y)
        pinky, index = (
            landmarks[f"{side}_{finger}"] - joints[f"{side}_wrist"] for finger in ("pinky", "index")
        )
        wrist = _align(bone("wrist", "hand"), sign * np.cross(pinky, index), hand, -Y)  # palms down
        untwisted = _swing(collar @ bone("shoulder", "elbow"), upper) @ collar
        twists[f"{side}_shoulder"] = _unit(upper), _twist(untwisted @ arm.T, upper), 0.0
        twists[f"{side}_elbow"] = _unit(fore), 0.0, _twist(wrist @ forearm.T, fore)
        foot = _rotation(Y, sign * FOOT_OUT)
        turns |= {
            f"{side}_collar": collar,
            f"{side}_shoulder": arm,
            f"{side}_elbow": forearm,
            f"{side}_wrist": wrist,
            f"{side}_hand": wrist,
            f"{side}_hip": _swing(bone("hip", "knee"), thigh),
            f"{side}_knee": _swing(bone("knee", "ankle"), shin),
            f"{side}_ankle": foot,
            f"{side}_foot": foot,
        }
    return turns, twists


def _carrier(landmark: str) -> str:
    """The joint that a landmark moves with."""
    side, _, part = landmark.partition("_")
    if landmark in SMPL_JOINTS:
        return landmark
    if part in ("pinky", "index", "thumb"):
        return f"{side}_wrist"
    if part in ("heel", "foot_index"):
        return f"{side}_ankle"
    return "head"


def _unit(vector) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _frame(direction, second) -> np.ndarray:
    x = _unit(direction)
    y = _unit(second - x * (x @ second))
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _align(direction, second, new_direction, new_second) -> np.ndarray:
    """The rotation that maps one direction exactly, and a second one as closely as possible, to new ones."""
    return _frame(new_direction, new_second) @ _frame(direction, second).T


def _swing(direction, new_direction) -> np.ndarray:
    """The smallest rotation from one direction to another."""
    a, b = _unit(direction), _unit(new_direction)
    axis = np.cross(a, b)
    return _rotation(_unit(axis), np.arctan2(np.linalg.norm(axis), a @ b))


def _rotation(axis, angle) -> np.ndarray:
    return _rotate(np.eye(3), axis, np.full(3, angle)).T


def _rotate(points, axis, angles) -> np.ndarray:
    """Rodrigues' formula: points (N, 3), each with its own angle (N,), about one unit axis."""
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return points * cos + np.cross(axis, points) * sin + axis * (points @ axis)[:, None] * (1 - cos)


def _twist(rotation, axis) -> float:
    """The angle by which a rotation turns about `axis` (swing-twist decomposition)."""
    skew = rotation - rotation.T
    vector = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    return 2 * np.arctan2(_unit(axis) @ vector, 1 + np.trace(rotation))
