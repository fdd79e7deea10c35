"""The place of a moving camera, up to scale, where the background shows parallax.

Essential matrices (Nister, "An Efficient Solution to the Five-Point Relative Pose Problem", 2004) of frames about a
second apart give a guess, which bundle adjustment over keyframes refines. The frames between are located by the points
that were found.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from hpof_jax.geometry.bundle import Sightings, adjust, errors, locate

if TYPE_CHECKING:
    from hpof_jax.observe.camera_motion import View

KEYFRAMES = 6  # per second
MOST_KEYFRAMES = 240  # of a shot
APART = 6  # keyframes between those whose essential matrix is found
MIN_POINTS = 20  # that two frames must share, and of the bundle in each keyframe
PARALLAX = 0.75  # of the points agree with a rotation about a second apart: then there is no parallax
BETTER = 0.1  # more of the points must agree with the path than with rotations
MIN_AGREE = 0.7  # of the points must agree with the path
MIN_SIGHTINGS = 3  # of a point in keyframes


def find_path(
    view: "View", first: int, stop: int, rotations: np.ndarray, fps: float
) -> tuple[np.ndarray, np.ndarray] | str:
    """The camera's poses in the frames [first, stop) of a shot, or why they are not known; "" if there is no parallax.

    Args:
      rotations: (N, 3, 3) from the first frame, as if the camera only turned.

    Returns:
      rotations (N, 3, 3) and positions (N, 3) in the axes of the first frame; the mean step of a keyframe is 1.
    """
    step = max(1, round(fps / KEYFRAMES))
    keys = np.unique(np.append(np.arange(first, stop, step), stop - 1))
    if len(keys) < 4:
        return ""
    turned = rotations[keys - first]
    pairs = [(one, min(one + APART, len(keys) - 1)) for one in range(0, len(keys) - 1, APART)]
    shares = [_share(view, keys[one], keys[other], turned[other] @ turned[one].T) for one, other in pairs]
    if np.mean(shares) > PARALLAX:
        return ""
    if len(keys) > MOST_KEYFRAMES:
        return f"it also moves from its place, and shots longer than {MOST_KEYFRAMES // KEYFRAMES} s are too long"
    poses = _solved(view, keys, pairs, turned)
    if poses is None:
        return "it also moves from its place, and the background does not tell how"
    return _between(view, first, stop, keys, *poses)


def _solved(view, keys, pairs, turned):
    """The sightings of points in keyframes, the points' ids, and the poses and inverse depths; None if not found."""
    guess = _guess(view, keys, pairs, turned)
    if guess is None:
        return None
    sightings, ids = _sightings(view, keys)
    if not len(ids) or np.bincount(sightings.camera, minlength=len(keys)).min() < MIN_POINTS:
        return None
    rotations, positions, depths = adjust(sightings, *guess, view.tolerance)
    agree = np.mean(errors(sightings, rotations, positions, depths) < view.tolerance)
    still = np.zeros_like(positions), np.zeros_like(depths)
    before = np.mean(errors(sightings, turned, *still) < view.tolerance)
    unit = np.linalg.norm(np.diff(positions, axis=0), axis=1).mean()
    if agree < max(MIN_AGREE, before + BETTER) or not np.isfinite(unit) or unit <= 0:
        return None
    return sightings, ids, (rotations, positions / unit, depths * unit)


def _share(view: "View", frame: int, other: int, turn: np.ndarray) -> float:
    """The share of common points that agree with a rotation from one frame to another; 1 if there are too few."""
    rows, other_rows = view.common(frame, other)
    if len(rows) < MIN_POINTS:
        return 1.0
    error = np.linalg.norm(view.rays[rows] @ turn.T - view.rays[other_rows], axis=1)
    return float(np.mean(error < view.tolerance))


def _guess(view, keys, pairs, turned):
    """Rotations (K, 3, 3) and positions (K, 3) of keyframes that move at constant speed between those of pairs."""
    rotations, positions, known = [np.eye(3)], [np.zeros(3)], 0
    for one, other in pairs:
        found = _essential(view, keys[one], keys[other])
        turn, way = found if found else (turned[other] @ turned[one].T, None)
        known += way is not None
        step = np.zeros(3) if way is None else (other - one) * way @ rotations[-1]
        rotations.append(turn @ rotations[-1])
        positions.append(positions[-1] + step)
    if known < len(pairs) / 2:
        return None
    at = np.array([0, *(other for _, other in pairs)])
    places = np.arange(len(keys))
    between = Slerp(at, Rotation.from_matrix(np.array(rotations)))(places).as_matrix()
    return between, np.stack([np.interp(places, at, axis) for axis in np.array(positions).T], axis=1)


def _essential(view, frame, other):
    """The rotation from a frame to another, and the unit vector (3,) of the way in the frame's axes; None: unknown."""
    rows, other_rows = view.common(frame, other)
    if len(rows) < MIN_POINTS:
        return None
    plane, other_plane = (view.rays[r][:, :2] / view.rays[r][:, 2:] for r in (rows, other_rows))
    matrix, inside = cv2.findEssentialMat(
        plane, other_plane, np.eye(3), method=cv2.RANSAC, prob=0.999, threshold=view.tolerance
    )
    if matrix is None or matrix.shape != (3, 3) or np.count_nonzero(inside) < MIN_POINTS:
        return None
    count, turn, way, _ = cv2.recoverPose(matrix, plane, other_plane, np.eye(3), mask=inside)
    return (turn, -(turn.T @ way).ravel()) if count >= MIN_POINTS else None


def _sightings(view, keys):
    """The observations of points that several keyframes see, and the points' ids."""
    background = view.background
    rows = np.concatenate([np.arange(*background.starts[[key, key + 1]]) for key in keys])
    camera = np.repeat(np.arange(len(keys)), [view.count(key) for key in keys])
    ids, point, counts = np.unique(background.ids[rows], return_inverse=True, return_counts=True)
    kept = counts[point] >= MIN_SIGHTINGS
    rows, camera = rows[kept], camera[kept]
    ids, first, point = np.unique(background.ids[rows], return_index=True, return_inverse=True)
    rays = view.rays[rows]
    return Sightings(camera, point, rays, camera[first], rays[first]), ids


def _between(view, first, stop, keys, sightings, ids, poses):
    """The poses of all frames, from those of the keyframes and the points in each frame."""
    rotations, positions, depths = poses
    frames = np.arange(first, stop)
    guess = Slerp(keys, Rotation.from_matrix(rotations))(frames).as_matrix()
    places = np.stack([np.interp(frames, keys, axis) for axis in positions.T], axis=1)
    rows = np.arange(*view.background.starts[[first, stop]])
    camera = np.repeat(np.arange(len(frames)), [view.count(frame) for frame in frames])
    point = np.minimum(np.searchsorted(ids, view.background.ids[rows]), len(ids) - 1)
    known = ids[point] == view.background.ids[rows]
    seen = Sightings(
        camera[known], point[known], view.rays[rows[known]], sightings.first_camera, sightings.first_ray
    )
    located = locate(seen, guess, places, rotations, positions, depths, view.tolerance)
    # Relative to the first frame again.
    turn, place = located[0][0], located[1][0]
    return located[0] @ turn.T, (located[1] - place) @ turn.T
