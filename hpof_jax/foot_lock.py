"""Holds planted feet in place: a smooth change of the root's path, and inverse kinematics of the legs.

The root moves mostly along the line of sight, so that the picture of the body hardly changes. Each contact has an
anchor, which is found together with the path by least squares. What is left of the distance between a foot and
its anchor is closed by the leg: hip and knee turn, and the foot keeps its direction.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

from hpof_jax.body.numpy_kinematics import global_rotations
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.contacts import FEET, contact_points, contact_runs, find_contacts
from hpof_jax.geometry.placement import acceleration_bands
from hpof_jax.gravity import up_in_camera

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.motion import Motion

SIDEWAYS = (
    0.002  # share of the person's box: standard deviation of the root's change across the line of sight
)
DEPTH = 0.15  # metres: the same along the line of sight
ACCELERATION = 2.0  # m/s^2: the same of the acceleration of the change
HELD = 0.01  # metres: the same of a planted point about its anchor
LEVEL = 0.04  # metres: the same of the anchors' heights about the floor
OUTLIER = 4.0  # standard deviations, from which a contact counts less
ROUNDS = 4  # of reweighting
FADE = 0.2  # seconds in which a leg's change fades before and after a contact
REACH = 0.995  # share of the leg's length that the leg may be stretched to
FARTHEST = 0.03  # metres: a leg's largest change


def lock_feet(
    motion: "Motion", body: "BodyModel", contacts: np.ndarray | None = None, up: np.ndarray | None = None
) -> "Motion":
    """The motion with planted feet in place. The camera must stand still.

    Args:
      body: the body that the motion was made with.
      contacts: (T, 9) bool, from `contacts.find_contacts`. None: they are found.
      up: (3,) against gravity in the camera frame. None: the motion's, or estimated.
    """
    up = up_in_camera(motion, body) if up is None else up
    contacts = find_contacts(motion, body, up) if contacts is None else np.asarray(contacts, bool)
    planted = contacts[:, :FEET]
    if len(motion) < 3 or not planted.any():
        return motion
    motion = _with_steady_feet(motion, planted)
    points, runs = contact_points(motion, body)[:, :FEET], contact_runs(planted)
    shift, anchors = _root_change(motion, points, runs, planted.shape, up)
    misses = anchors - (points + shift[:, None])  # NaN where not planted
    legs = [_fade(_mean(misses[:, 2 * leg : 2 * leg + 2]), motion.times) for leg in (0, 1)]
    return _moved(motion, shift, legs)


def _with_steady_feet(motion: "Motion", planted: np.ndarray) -> "Motion":
    """The motion in which a foot that stands on heel and toe (T, 4) keeps its direction."""
    pose, joints = motion.pose.astype(np.float64), motion.joints.astype(np.float64)
    turns = global_rotations(motion.pose)
    for leg, side in enumerate(("left", "right")):
        knee, ankle, foot = (SMPL_JOINTS.index(f"{side}_{name}") for name in ("knee", "ankle", "foot"))
        direction = Rotation.from_matrix(turns[:, ankle])
        change = np.full((len(motion), 3), np.nan)
        flat = planted[:, 2 * leg : 2 * leg + 2].all(axis=1, keepdims=True)
        for _, start, stop in contact_runs(flat):
            there = direction[start:stop]
            change[start:stop] = (there.mean() * there.inv()).as_rotvec()
        change = Rotation.from_rotvec(_fade(change, motion.times))
        pose[:, ankle] = _rotvec(np.swapaxes(turns[:, knee], 1, 2) @ (change * direction).as_matrix())
        joints[:, foot] = joints[:, ankle] + change.apply(joints[:, foot] - joints[:, ankle])
    return dataclasses.replace(motion, poses=pose.reshape(-1, 72), joints=joints)


def _root_change(motion, points, runs, shape, up) -> tuple[np.ndarray, np.ndarray]:
    """The change of the root's path (T, 3) and each point's anchor (T, 4, 3), NaN where it is not planted."""
    frames, count = len(motion), len(runs)
    run = np.repeat(np.arange(count), [stop - start for _, start, stop in runs])
    rows = np.concatenate([np.arange(start, stop) for _, start, stop in runs])
    point = np.repeat([point for point, _, _ in runs], [stop - start for _, start, stop in runs])
    held = points[rows, point]  # (N, 3)
    # Unknowns: the change of each frame, the anchor of each run, the floor's height.
    size = 3 * (frames + count) + 1
    fixed = _path_terms(motion, size) + 1e-9 * sparse.eye(size)
    one = sparse.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), rows)), (len(rows), frames + count))
    two = sparse.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), frames + run)), one.shape)
    pull = sparse.hstack(
        [sparse.kron(two - one, sparse.eye(3)), sparse.csr_matrix((3 * len(rows), 1))]
    ).tocsr()
    anchors = sparse.csr_matrix(
        (np.ones(count), (np.arange(count), frames + np.arange(count))), (count, frames + count)
    )
    level = sparse.hstack([sparse.kron(anchors, up[None]), -np.ones((count, 1))]).tocsr()
    weight, flat = np.ones(len(rows)), np.ones(count)
    lengths = np.array([stop - start for _, start, stop in runs], float)
    for _ in range(ROUNDS):
        scaled = sparse.diags(np.repeat(weight, 3) / HELD**2)
        even = sparse.diags(flat * lengths / LEVEL**2)
        normal = fixed + pull.T @ scaled @ pull + level.T @ even @ level
        found = _solved(normal, pull.T @ (scaled @ held.ravel()))
        miss = np.linalg.norm((pull @ found - held.ravel()).reshape(-1, 3), axis=1)
        weight = 1 / (1 + (miss / (OUTLIER * HELD)) ** 2)
        flat = 1 / (1 + (level @ found / (OUTLIER / 2 * LEVEL)) ** 2)
    shift, place = np.split(found[:-1].reshape(-1, 3), [frames])
    anchor = np.full((*shape, 3), np.nan)
    anchor[rows, point] = place[run]
    return shift, anchor


def _solved(normal: sparse.csr_matrix, right: np.ndarray) -> np.ndarray:
    """The solution of a positive definite system.

    The floor's height is in every contact's row. The minimum degree order of a symmetric matrix eliminates it late: for
    ten minutes it takes a twentieth of the memory and time of SuperLU's default.
    """
    symmetric = {"SymmetricMode": True}
    factors = splu(normal.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=symmetric)
    return factors.solve(right)


def _path_terms(motion: "Motion", size: int) -> sparse.csr_matrix:
    """The normal matrix of the terms that keep the root's change small in the picture, and smooth."""
    frames, pelvis = len(motion), motion.joints[:, 0].astype(np.float64)
    ray = pelvis / np.linalg.norm(pelvis, axis=1, keepdims=True)
    along = ray[:, :, None] * ray[:, None]
    sideways = SIDEWAYS * np.maximum(motion.box[:, 2], 1.0) * pelvis[:, 2] / motion.focal_length
    small = (np.eye(3) - along) / sideways[:, None, None] ** 2 + along / DEPTH**2
    bands = acceleration_bands(motion.times.astype(np.float64)) / ACCELERATION**2
    smooth = sparse.diags(
        [bands[0], bands[1][:-1], bands[1][:-1], bands[2][:-2], bands[2][:-2]], [0, 1, -1, 2, -2]
    )
    terms = sparse.block_diag(list(small)) + sparse.kron(smooth, sparse.eye(3))
    rest = size - 3 * frames
    return sparse.block_diag([terms, sparse.csr_matrix((rest, rest))]).tocsr()


def _mean(misses: np.ndarray) -> np.ndarray:
    """(T, 2, 3) -> (T, 3), over the planted points of a foot; NaN where none is planted."""
    there = np.isfinite(misses[..., :1])
    count = there.sum(axis=1)
    total = np.where(there, misses, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _fade(misses: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A foot's change (T, 3) in all frames: between contacts it fades out and in."""
    there = np.flatnonzero(np.isfinite(misses[:, 0]))
    change = np.zeros_like(misses)
    if not len(there):
        return change
    rows = np.arange(len(misses))
    after = np.searchsorted(there, rows)
    before = there[np.clip(np.searchsorted(there, rows, side="right") - 1, 0, None)]
    after = there[np.clip(after, None, len(there) - 1)]
    for neighbour in (before, after):
        away = np.clip(np.abs(times[rows] - times[neighbour]) / FADE, 0, 1)
        share = 1 - away * away * (3 - 2 * away)
        change += share[:, None] * misses[neighbour]
    return np.where(np.isfinite(misses), misses, change)


def _moved(motion: "Motion", shift: np.ndarray, legs: list[np.ndarray]) -> "Motion":
    """The motion with a changed path (T, 3) and changes (T, 3) of both ankles."""
    from hpof_jax.geometry.camera import translation_to_cam

    pose, joints = motion.pose.astype(np.float64), motion.joints.astype(np.float64) + shift[:, None]
    turns = global_rotations(motion.pose)
    for side, change in zip(("left", "right"), legs):
        chain = [SMPL_JOINTS.index(f"{side}_{name}") for name in ("hip", "knee", "ankle", "foot")]
        _bend(pose, joints, turns, chain, change)
    pelvis = joints[:, 0]
    cam = translation_to_cam(
        np.float32(pelvis), motion.box, np.float32(motion.focal_length), motion.image_size
    )
    return dataclasses.replace(
        motion,
        poses=pose.reshape(-1, 72),
        trans=motion.trans + shift,
        joints=joints,
        cam=np.asarray(cam),
    )


def _bend(pose, joints, turns, chain, change) -> None:
    """Moves one ankle by `change` (T, 3), in place: hip and knee turn, the foot's direction stays."""
    hip, knee, ankle, foot = chain
    length = np.linalg.norm(change, axis=1, keepdims=True)
    change = change * np.minimum(1.0, FARTHEST / np.maximum(length, 1e-9))
    thigh, shank = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
    a, b = np.linalg.norm(thigh, axis=1), np.linalg.norm(shank, axis=1)
    old = joints[:, ankle] - joints[:, hip]
    longest = np.maximum(REACH * (a + b), np.linalg.norm(old, axis=1))
    target = old + change
    reach = np.linalg.norm(target, axis=1)
    target *= np.minimum(1.0, longest / np.maximum(reach, 1e-9))[:, None]

    def inner(distance):  # the angle between the leg's bones at the knee
        return np.arccos(np.clip((a * a + b * b - distance * distance) / (2 * a * b), -1, 1))

    # The axis of the bend; of a straight leg it is the thigh's own x axis.
    axis = np.cross(thigh, shank)
    sideways = turns[:, hip, :, 0] * (a * b * 0.02)[:, None]
    axis = axis + sideways * np.where((axis * sideways).sum(axis=1) < 0, -1.0, 1.0)[:, None]
    axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    straighter = inner(np.linalg.norm(old, axis=1)) - inner(np.linalg.norm(target, axis=1))
    at_knee = Rotation.from_rotvec(axis * straighter[:, None])
    at_hip = _between(thigh + at_knee.apply(shank), target)
    new_hip = at_hip.as_matrix() @ turns[:, hip]
    new_knee = (at_hip * at_knee).as_matrix() @ turns[:, knee]
    parent = turns[:, 0]
    pose[:, hip] = _rotvec(np.swapaxes(parent, 1, 2) @ new_hip)
    pose[:, knee] = _rotvec(np.swapaxes(new_hip, 1, 2) @ new_knee)
    pose[:, ankle] = _rotvec(np.swapaxes(new_knee, 1, 2) @ turns[:, ankle])
    joints[:, knee] = joints[:, hip] + at_hip.apply(thigh)
    moved = joints[:, knee] + (at_hip * at_knee).apply(shank) - joints[:, ankle]
    joints[:, ankle] += moved
    joints[:, foot] += moved


def _between(source: np.ndarray, target: np.ndarray) -> Rotation:
    """The smallest rotations that turn vectors (T, 3) into the directions of others, less than half a turn."""
    source, target = (
        v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9) for v in (source, target)
    )
    axis = np.cross(source, target)
    quaternion = np.concatenate([axis, 1 + (source * target).sum(axis=1, keepdims=True)], axis=1)
    return Rotation.from_quat(quaternion)


def _rotvec(matrices: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(matrices).as_rotvec()
