"""Motion of any skeleton -> motion of SMPL's skeleton, by one constant rotation per joint.

Each mapped joint has a constant C with R_smpl(t) = W G(t) C, where G is the joint's global rotation in the
file and W takes the file's vertical to +y. C comes from one of these, the first that exists:

- the zero pose of the file's offsets, if it is an upright body with straight limbs, or a T-pose in the first
  frame. Trunk, head and feet are neutral there; the limbs are swung from SMPL's rest directions.
- the motion: hip line, shoulder line and spine give the trunk, the floor gives the feet. Every other joint is
  neutral on average, about its own bone.

In both cases the limbs have exactly the directions of the file's limbs. The axes about which elbows and knees
flex give the twist of upper arms and thighs.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.motion.bvh_format import Bvh, forward
from data_pipelines.motion.clip import resample
from data_pipelines.motion.joint_names import BONES, Slots, chain, limb_bones
from data_pipelines.motion.skeleton import clamp_to_limits, on_floor, rest_skeleton
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS

_LEG = (("left_hip", "left_knee"), ("left_knee", "left_ankle"))
_HINGES = {  # joint -> the axis about which the next joint of the limb flexes, in SMPL's rest pose
    "left_hip": (1.0, 0.0, 0.0),
    "right_hip": (1.0, 0.0, 0.0),
    "left_shoulder": (0.0, -1.0, 0.0),
    "right_shoulder": (0.0, 1.0, 0.0),
}
# Few markers are on the ends of the limbs, so angles outside the joint limits there are recording errors.
_ENDS = [
    SMPL_JOINTS.index(f"{side}_{part}") for part in ("ankle", "foot", "wrist") for side in ("left", "right")
]
_UP = np.array([0.0, 1.0, 0.0])
_CALIBRATION_FRAMES = 6000


@dataclasses.dataclass(frozen=True)
class Kind:
    """Files whose mapped joints have the same names and bone directions. They share one calibration."""

    names: dict[str, str]  # slot -> name of the joint
    bones: np.ndarray  # (bones, 3) unit directions in the zero pose
    members: list[int]  # indices of the files


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The constants that map the files of one kind to SMPL."""

    constants: dict[str, np.ndarray]  # slot -> C (3, 3)
    world: np.ndarray  # W (3, 3)
    leg: float  # length of thigh and shin together, in the file's unit
    method: str  # where the constants come from, for the report


def group(files: Sequence[tuple[Bvh, Slots]]) -> list[Kind]:
    """Sorts files into kinds."""
    kinds: list[Kind] = []
    for index, (bvh, slots) in enumerate(files):
        names = {slot: bvh.names[joint] for slot, joint in slots.items()}
        _, places = _take(slots, *_zero_pose(bvh))
        bones = np.concatenate([_unit(places[far] - places[near]) for near, far in limb_bones(slots)])
        for kind in kinds:
            if names == kind.names and np.all(np.sum(bones * kind.bones, axis=-1) > 0.99):
                kind.members.append(index)
                break
        else:
            kinds.append(Kind(names, bones, [index]))
    return kinds


def calibrate(files: Sequence[tuple[Bvh, Slots]]) -> Calibration:
    """Finds the constants of one kind from all its files."""
    share = max(20, _CALIBRATION_FRAMES // len(files))
    picked = []
    for bvh, slots in files:
        frames = np.unique(np.linspace(0, len(bvh.motion) - 1, share).astype(int))
        picked.append(_take(slots, *forward(bvh, frames)))
    turns = {slot: np.concatenate([turn[slot] for turn, _ in picked]) for slot in files[0][1]}
    places = {slot: np.concatenate([place[slot] for _, place in picked]) for slot in files[0][1]}
    leg = float(np.median(sum(np.linalg.norm(places[near] - places[far], axis=-1) for near, far in _LEG)))
    world = _level(places)
    hinges = {slot: _hinge(slot, turns, places) for slot in _HINGES}
    bvh, slots = files[0]
    zero = _take(slots, *_zero_pose(bvh))
    body = standing_body(zero[1])
    if body is not None:
        return Calibration(_constants(*zero, hinges, body), world, leg, "zero pose")
    for bvh, slots in files:
        if has_calibration_frame(bvh, slots):
            first = _take(slots, *forward(bvh, slice(0, 1)))
            return Calibration(
                _constants(*first, hinges, standing_body(first[1])), world, leg, "T-pose before a motion"
            )
    turns = {slot: world @ turn for slot, turn in turns.items()}
    places = {slot: place @ world.T for slot, place in places.items()}
    return Calibration(_constants(turns, places, hinges, None, leg), world, leg, "motion")


def convert(bvh: Bvh, slots: Slots, calibration: Calibration):
    """One file's motion on SMPL's skeleton at 30 frames/s, with the feet on the floor.

    Returns:
      pose (T, 24, 3) axis-angle and transl (T, 3) metres, float32, world frame; and
      {bone: (T',) degrees between its directions in the file and in the result}.
    """
    turns, places = _take(slots, *forward(bvh, slice(int(has_calibration_frame(bvh, slots)), None)))
    turns = {slot: calibration.world @ turn @ calibration.constants[slot] for slot, turn in turns.items()}
    places = {slot: place @ calibration.world.T for slot, place in places.items()}
    rotations = _all_joints(turns)
    rest = rest_skeleton()
    leg = sum(np.linalg.norm(_rest_bone(near, far)) for near, far in _LEG)
    # The pelvis joint lies anywhere between hips and waist, so the hips place the body.
    hips = (places["left_hip"] + places["right_hip"]) / 2 * (leg / calibration.leg)
    pelvis = hips - rotations[:, 0] @ ((rest[1] + rest[2]) / 2 - rest[0])
    errors = {}
    for near, far in limb_bones(slots):
        ours = rotations[:, SMPL_JOINTS.index(near)] @ _unit(_rest_bone(near, far))
        errors[near] = _degrees_between(ours, places[far] - places[near])
    local = np.swapaxes(rotations[:, SMPL_PARENTS[1:]], -1, -2) @ rotations[:, 1:]
    local = np.concatenate([rotations[:, :1], local], axis=1)
    pose = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)
    pose[:, _ENDS] = clamp_to_limits(pose)[:, _ENDS]
    pose, pelvis = resample(pose, pelvis, bvh.fps)
    return pose.astype(np.float32), on_floor(pose, pelvis).astype(np.float32), errors


def has_calibration_frame(bvh: Bvh, slots: Slots) -> bool:
    """Whether the first frame is a T-pose before the motion: the next frame is far from it."""
    turns, places = _take(slots, *forward(bvh, slice(0, 3)))
    body = standing_body({slot: place[:1] for slot, place in places.items()})
    if body is None or len(places["pelvis"]) < 3:
        return False
    arms = [places[f"{side}_elbow"] - places[f"{side}_shoulder"] for side in ("left", "right")]
    if max(_degrees_between(arm, sign * body[:, 0])[0] for arm, sign in zip(arms, (1, -1))) > 25:
        return False
    jumps = np.max([_degrees(np.swapaxes(turn[:-1], 1, 2) @ turn[1:]) for turn in turns.values()], axis=0)
    return bool(jumps[0] > 15 and jumps[0] > 3 * jumps[1])


def standing_body(places: dict[str, np.ndarray]) -> np.ndarray | None:
    """The axes [left, up, forward] of an upright body with straight limbs in frame 0, else None."""
    at = {slot: place[0] for slot, place in places.items()}
    hips = (at["left_hip"] + at["right_hip"]) / 2
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    trunk = shoulders - hips
    up = np.zeros(3)
    up[np.argmax(np.abs(trunk))] = np.sign(trunk[np.argmax(np.abs(trunk))])
    left = at["left_hip"] - at["right_hip"]
    if (
        np.linalg.norm(left) == 0
        or _degrees_between(trunk, up) > 25
        or abs(_degrees_between(left, up) - 90) > 25
    ):
        return None
    body = _frame(_unit(left - up * (left @ up)), up)
    allowed = {"hip": (-up, 35), "knee": (-up, 35), "ankle": (body[:, 2], 75)}
    for near, far in limb_bones(places):
        side, part = near.split("_")
        bone = at[far] - at[near]
        outwards = body[:, 0] if side == "left" else -body[:, 0]
        if part == "shoulder" and (
            bone @ outwards < -0.2 * np.linalg.norm(bone) or _degrees_between(bone, up) < 60
        ):
            return None
        if part == "elbow" and _degrees_between(bone, at[near] - at[f"{side}_shoulder"]) > 35:
            return None
        if part in allowed and _degrees_between(bone, allowed[part][0]) > allowed[part][1]:
            return None
    if _degrees_between(at["left_shoulder"] - at["right_shoulder"], left) > 30:
        return None
    return body


def _constants(turns, places, hinges, body, leg=1.0) -> dict[str, np.ndarray]:
    """C of every slot, from the root on. `body`: the axes of a neutral body, or None for frames of motion."""
    constants: dict[str, np.ndarray] = {}
    trunk, neck = chain(turns, "spine"), chain(turns, "neck")
    chest = trunk[-1] if trunk else "pelvis"

    def inside(slot, vectors):
        """The median direction of world vectors (T, 3) in the joint's own frame."""
        return _unit(np.median(np.einsum("tij,ti->tj", turns[slot], _unit(vectors)), axis=0))

    def neutral(slot, reference):
        """The C that gives `slot` the rotations `reference` on average: the mean of G^T R."""
        return _nearest_rotation(np.mean(np.swapaxes(turns[slot], -1, -2) @ reference, axis=0))

    if body is not None:
        for slot in ("pelvis", *trunk, *neck, "head"):
            if slot in turns:
                constants[slot] = turns[slot][0].T @ body
    else:
        hips = (places["left_hip"] + places["right_hip"]) / 2
        top = [places[slot] for slot in (*neck, "head") if slot in places]
        spread = places["left_shoulder"] - places["right_shoulder"]
        top = top[0] if top else (places["left_shoulder"] + places["right_shoulder"]) / 2
        left = inside("pelvis", places["left_hip"] - places["right_hip"])
        constants["pelvis"] = _frame(left, inside("pelvis", places[chest] - hips if trunk else top - hips))
        pelvis = turns["pelvis"] @ constants["pelvis"]
        if trunk:
            constants[chest] = _frame(inside(chest, spread), inside(chest, top - places[chest]))
        for place, slot in enumerate(trunk[:-1]):
            between = _between(pelvis, turns[chest] @ constants[chest], (place + 1) / len(trunk))
            constants[slot] = neutral(slot, between)
        if "head" in turns:
            constants["head"] = neutral("head", turns[chest] @ constants[chest])
        for slot in neck:
            constants[slot] = neutral(slot, turns[chest] @ constants[chest])
    for side in ("left", "right"):
        parent = turns[chest] @ constants[chest]
        for part in ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot"):
            slot = f"{side}_{part}"
            if part == "hip":
                parent = turns["pelvis"] @ constants["pelvis"]
            if slot not in turns:
                continue
            constant = neutral(slot, parent)
            if slot in BONES and BONES[slot] in places:
                far = BONES[slot]
                ours = _unit(_rest_bone(slot, far))
                bone = inside(slot, places[far] - places[slot])
                if part == "ankle":
                    constant = _foot(constant, bone, ours, turns[slot], places[slot], body, leg)
                else:
                    constant = _swing(constant @ ours, bone) @ constant
                if hinges.get(slot) is not None:
                    constant = _frame(bone, hinges[slot]) @ _frame(ours, np.array(_HINGES[slot])).T
            constants[slot] = constant
            parent = turns[slot] @ constant
    return constants


def _foot(constant, bone, ours, turn, place, body, leg):
    """C of a foot with the heading of its bone. It is flat where the ankle is lowest."""
    if body is not None:
        up = constant @ _UP
    else:
        height = place[:, 1]
        planted = height < np.percentile(height, 5) + 0.03 * leg
        up = _unit(np.median(turn[planted, 1], axis=0))  # row 1 of G is the vertical in the foot's frame
        if _degrees_between(up, bone) < 30 or _degrees_between(up, bone) > 150:
            return _swing(constant @ ours, bone) @ constant
    return _frame(up, bone) @ _frame(_UP, ours).T


def _hinge(slot: str, turns, places) -> np.ndarray | None:
    """The axis about which the next joint flexes, in this joint's frame; None if it flexes too little.

    The next bone's direction moves on a circle. The axis is the normal of its plane, with the sign of a
    flexion.
    """
    middle, far = BONES[slot], BONES[BONES[slot]]
    near_bone = np.einsum("tij,ti->tj", turns[slot], _unit(places[middle] - places[slot]))
    far_bone = np.einsum("tij,ti->tj", turns[slot], _unit(places[far] - places[middle]))
    spread, axes = np.linalg.eigh(np.cov(far_bone.T))
    flexion = np.mean(np.cross(near_bone, far_bone), axis=0)
    if len(far_bone) < 3 or spread[2] < 0.02 or spread[1] < 5 * spread[0] or abs(axes[:, 0] @ flexion) < 0.1:
        return None
    return axes[:, 0] * np.sign(axes[:, 0] @ flexion)


def _all_joints(turns: dict[str, np.ndarray]) -> np.ndarray:
    """Global rotations of all 24 joints, (T, 24, 3, 3).

    Spines and necks of any length are resampled to SMPL's joints. Missing joints have their parent's
    rotation.
    """
    rotations = np.empty((len(turns["pelvis"]), 24, 3, 3))
    rotations[:, 0] = turns["pelvis"]
    spread = {}
    spine = [turns["pelvis"], *(turns[slot] for slot in chain(turns, "spine"))]
    for place, name in enumerate(("spine1", "spine2", "spine3")):
        spread[name] = _along(spine, (place + 1) / 3)
    neck = [spread["spine3"], *(turns[slot] for slot in (*chain(turns, "neck"), "head") if slot in turns)]
    spread["neck"] = _along(neck, 0.5 if "head" in turns else 1.0)
    for joint, name in enumerate(SMPL_JOINTS[1:], start=1):
        given = spread.get(name, turns.get(name))
        rotations[:, joint] = rotations[:, SMPL_PARENTS[joint]] if given is None else given
    return rotations


def _along(knots: list[np.ndarray], fraction: float) -> np.ndarray:
    """The rotation at a fraction of the way along evenly spaced rotations."""
    place = fraction * (len(knots) - 1)
    below = min(int(place + 1e-9), max(len(knots) - 2, 0))
    return _between(knots[below], knots[min(below + 1, len(knots) - 1)], place - below)


def _between(a: np.ndarray, b: np.ndarray, fraction: float) -> np.ndarray:
    if fraction < 1e-9 or fraction > 1 - 1e-9:
        return a if fraction < 0.5 else b
    step = Rotation.from_matrix(np.swapaxes(a, -1, -2) @ b).as_rotvec()
    return a @ Rotation.from_rotvec(fraction * step).as_matrix()


def _level(places) -> np.ndarray:
    """W. The vertical of BVH is y, unless the bodies stand along z."""
    feet = (places["left_ankle"] + places["right_ankle"]) / 2
    mean = np.mean(_unit((places["left_shoulder"] + places["right_shoulder"]) / 2 - feet), axis=0)
    if abs(mean[2]) > 0.7 and abs(mean[1]) < 0.35:
        return np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    return np.eye(3)


def _zero_pose(bvh) -> tuple[np.ndarray, np.ndarray]:
    places = np.zeros((1, len(bvh.names), 3))
    for joint, parent in enumerate(bvh.parents):
        places[0, joint] = bvh.offsets[joint] + (places[0, parent] if parent >= 0 else 0.0)
    return np.broadcast_to(np.eye(3), (1, len(bvh.names), 3, 3)), places


def _take(slots: Slots, turns: np.ndarray, places: np.ndarray):
    return {slot: turns[:, j] for slot, j in slots.items()}, {slot: places[:, j] for slot, j in slots.items()}


def _rest_bone(near: str, far: str) -> np.ndarray:
    rest = rest_skeleton()
    return rest[SMPL_JOINTS.index(far)] - rest[SMPL_JOINTS.index(near)]


def _frame(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The rotation whose first column is along x and whose second column is as near to y as possible."""
    x = _unit(x)
    y = _unit(y - x * (x @ y))
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _swing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes the unit vector a to b."""
    axis, cosine = np.cross(a, b), float(a @ b)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        axis, sine = np.cross(a, np.eye(3)[np.argmin(np.abs(a))]), max(sine, 1e-12)
    return Rotation.from_rotvec(_unit(axis) * np.arctan2(sine, cosine)).as_matrix()


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    u, _, vt = np.linalg.svd(matrix)
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip(np.sum(_unit(a) * _unit(b), axis=-1), -1.0, 1.0)))


def _degrees(rotation: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((np.trace(rotation, axis1=-2, axis2=-1) - 1) / 2, -1.0, 1.0)))
