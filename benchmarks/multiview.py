"""Joints in 3D from several calibrated views: robust triangulation that undoes left-right swaps.

World frame: the calibration's, metres, z up. Camera frames: x right, y down, z forward. There are C cameras,
T frames and J joints.
"""

import dataclasses
import itertools
import pathlib

import cv2
import numpy as np
from scipy.signal import butter, filtfilt

from hpof_jax.sessions import pose2sim

OUTLIER_PX = 30.0  # a view with a larger reprojection error does not count; about 6 cm in `real_views`
SWAP_COST_PX = 4.0  # for each view whose left and right are swapped: the error that the swap must save
MOTION_COST_PX = 0.2  # for each mm that a joint moves between two frames
CUTOFF_HZ = 6.0  # of the Butterworth low-pass filter, usual for human movement (Winter, Biomechanics)
CALIBRATION_ROUNDS = 20


@dataclasses.dataclass(frozen=True)
class Camera:
    """A calibrated camera."""

    intrinsics: np.ndarray  # (3, 3)
    distortion: np.ndarray  # (4,) as OpenCV has it
    rotation: np.ndarray  # (3, 3) world -> camera
    translation: np.ndarray  # (3,) metres, world -> camera

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) in this camera's frame."""
        return points @ self.rotation.T + self.translation

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) to pixels (..., 2), with lens distortion."""
        pixels, _ = cv2.projectPoints(
            self.to_camera(points).reshape(-1, 3), np.zeros(3), np.zeros(3), self.intrinsics, self.distortion
        )
        return pixels.reshape(*points.shape[:-1], 2)

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) to undistorted image coordinates (..., 2) at depth 1."""
        flat = cv2.undistortPoints(pixels.reshape(-1, 1, 2).astype(float), self.intrinsics, self.distortion)
        return flat.reshape(pixels.shape)

    def shifted(self, offset: np.ndarray) -> "Camera":
        """The camera with its principal point moved by `offset` (2,) pixels."""
        intrinsics = self.intrinsics.copy()
        intrinsics[:2, 2] += offset
        return dataclasses.replace(self, intrinsics=intrinsics)


@dataclasses.dataclass(frozen=True)
class Reference:
    """The joints, and how each view fits them."""

    joints: np.ndarray  # (T, J, 3) metres, world, smoothed
    raw: np.ndarray  # the same before smoothing
    cameras: list[Camera]  # with corrected principal points
    swapped: np.ndarray  # (C, T, J) bool: left and right of the view were swapped, and are here put right
    used: np.ndarray  # (C, T, J) bool: the view counted
    residual: np.ndarray  # (C, T, J) pixels between the view's landmark, put right, and the smoothed joint
    offsets: np.ndarray  # (C, 2) pixels, corrections of the principal points


def read_qualisys(path: pathlib.Path) -> list[Camera]:
    """The cameras of a Qualisys `.qca.txt` file."""
    return [
        Camera(camera.intrinsics, camera.distortion, camera.rotation, camera.translation)
        for camera in pose2sim.read_qualisys(path)
    ]


def reconstruct(cameras: list[Camera], landmarks: np.ndarray, pairs: np.ndarray, fps: float) -> Reference:
    """Joints from the landmarks of all cameras.

    Left-right swaps are found in each view and frame from the other views and the neighbouring frames. Each
    joint is triangulated from the subset of views that agrees best. A constant error of each camera's
    principal point is estimated from all joints and frames, in rounds.

    Args:
      cameras: C of them.
      landmarks: (C, T, J, 3) [x px, y px, confidence]; confidence 0 where unseen.
      pairs: (L, 2) the indices of the left and the right joint of each pair; together all J.
      fps: frames/s.
    """
    offsets = np.zeros((len(cameras), 2))
    for _ in range(CALIBRATION_ROUNDS):
        current = [camera.shifted(offset) for camera, offset in zip(cameras, offsets)]
        raw, swapped, used = _resolve(current, landmarks, pairs)
        chosen = _unswap(landmarks, swapped, pairs)[..., :2]
        difference = chosen - np.stack([camera.project(raw) for camera in current])
        sure = landmarks[..., 2] > 0.5
        offsets += np.stack(
            [np.median(d[s & (np.hypot(*d.T).T < 3 * OUTLIER_PX)], axis=0) for d, s in zip(difference, sure)]
        )
    joints = filtfilt(*butter(2, CUTOFF_HZ / (fps / 2)), raw, axis=0)
    residual = np.linalg.norm(chosen - np.stack([camera.project(joints) for camera in current]), axis=-1)
    return Reference(joints, raw, current, swapped, used, residual, offsets)


def _resolve(cameras, landmarks, pairs):
    """Joints (T, J, 3), swapped and used (C, T, J): for each pair, the best set of swapped views."""
    count, frames, joints = landmarks.shape[:3]
    states = np.array(list(itertools.product((0, 1), repeat=count)))  # (S, C), 1: that view is swapped
    points = np.empty((frames, joints, 3))
    swapped, used = (np.zeros((count, frames, joints), bool) for _ in range(2))
    for pair in pairs:
        both = landmarks[:, :, pair]  # (C, T, 2, 3)
        found = [_triangulate(cameras, _pick(both, state)) for state in states]
        left, error, views = (np.stack(parts) for parts in zip(*found))
        # The right joint of a state is the left joint of the state with all views the other way round.
        limb = np.stack([left, left[::-1]], axis=2)  # (S, T, 2, 3)
        cost = error + error[::-1] + SWAP_COST_PX * states.sum(1)[:, None]
        best = _cheapest_path(cost, limb)
        now = np.arange(frames)
        points[:, pair] = limb[best, now]
        swapped[:, :, pair] = states[best].T[:, :, None] > 0
        used[:, :, pair] = np.stack([views[best, now], views[::-1][best, now]], axis=1).transpose(2, 0, 1)
    return points, swapped, used


def _pick(both, state):
    """The left joints (C, T, 3) of the views' pairs (C, T, 2, 3); views with state 1 are swapped."""
    return np.stack([view[:, side] for view, side in zip(both, state)])


def _unswap(landmarks, swapped, pairs):
    other = landmarks.copy()
    other[:, :, pairs.ravel()] = landmarks[:, :, pairs[:, ::-1].ravel()]
    return np.where(swapped[..., None], other, landmarks)


def _triangulate(cameras, landmarks):
    """Points (T, 3), cost (T,) px and views (T, C) that count, from the best subset of at least two views.

    The cost is the sum over all views of the reprojection error, at most OUTLIER_PX, times the confidence.
    """
    weight = np.clip(landmarks[..., 2], 0.0, 1.0)  # (C, T)
    rays = np.stack([camera.rays(view[:, :2]) for camera, view in zip(cameras, landmarks)])
    # Each view gives two equations: (r0 - u r2) X = u t2 - t0, and the same for v.
    rotation = np.stack([camera.rotation for camera in cameras])[:, None]
    shift = np.stack([camera.translation for camera in cameras])[:, None]
    left = rotation[:, :, :2] - rays[..., None] * rotation[:, :, 2:]  # (C, T, 2, 3)
    right = rays * shift[..., 2:] - shift[..., :2]  # (C, T, 2)
    normal = np.einsum("ct,ctij,ctik->ctjk", weight, left, left)
    target = np.einsum("ct,ctij,cti->ctj", weight, left, right)
    best_cost = np.full(landmarks.shape[1], np.inf)
    best_point, best_views = np.zeros((landmarks.shape[1], 3)), np.zeros(weight.T.shape, bool)
    count = len(cameras)
    for size in range(count, 1, -1):
        for subset in map(list, itertools.combinations(range(count), size)):
            a = normal[subset].sum(0) + 1e-9 * np.eye(3)
            point = np.linalg.solve(a, target[subset].sum(0)[..., None])[..., 0]
            projected = np.stack([camera.project(point) for camera in cameras])
            error = np.linalg.norm(projected - landmarks[..., :2], axis=-1)
            cost = (weight * np.minimum(error, OUTLIER_PX)).sum(0)
            better = cost < best_cost - 1e-6
            best_cost = np.where(better, cost, best_cost)
            best_point[better], best_views[better] = point[better], (error < OUTLIER_PX).T[better]
    return best_point, best_cost, best_views


def _cheapest_path(cost, limb):
    """States (T,) of least cost (S, T) and least motion of the joints (S, T, 2, 3): Viterbi's algorithm."""
    states, frames = cost.shape
    total, back = cost[:, 0], np.zeros((frames, states), int)
    for t in range(1, frames):
        step = np.linalg.norm(limb[None, :, t] - limb[:, None, t - 1], axis=-1).sum(-1)  # (from, to)
        options = total[:, None] + MOTION_COST_PX * 1000 * step
        back[t] = options.argmin(0)
        total = options.min(0) + cost[:, t]
    path = [int(total.argmin())]
    for t in range(frames - 1, 0, -1):
        path.append(int(back[t, path[-1]]))
    return np.array(path[::-1])
