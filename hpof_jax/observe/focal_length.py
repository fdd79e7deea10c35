"""The focal length of a camera that turns, from points of the background.

A rotation moves all points of a picture in a way that depends on the focal length (Hartley, "Self-Calibration of
Stationary Cameras", 1997). The focal length is searched at which rotations explain the points best.
"""

import numpy as np

from hpof_jax.geometry.two_views import kabsch, rays, rotation_between
from hpof_jax.observe.background import SIDE, Background

# Lengths are in pixels of a picture whose longer side is SIDE.
RATIOS = np.geomspace(0.5, 1.6, 40)  # focal lengths that are tried, over the frame's diagonal
EVERY, REACH = 10, 30  # every 10th frame is compared with the next 30 of them
MIN_POINTS, MOST_PAIRS, FEWEST_PAIRS = 25, 12, 3
MIN_SHIFT = 0.12 * SIDE  # the median way of the points between two frames; less says little
AGREE, MIN_SHARE = 1.5, 0.75  # pixels, and the share of the points that must agree with the best rotations
OFF, SHARPER = 1.15, 0.1  # at a focal length off by this factor, the mean cost is higher by at least this


def find_focal_length(background: Background, image_size: np.ndarray) -> float | None:
    """The focal length in pixels of the frame; None if the camera turns too little, or does more than turn.

    Args:
      image_size: (2,) = [height, width] px.
    """
    image_size = np.asarray(image_size, np.float64)
    diagonal, scale = float(np.linalg.norm(image_size)), SIDE / image_size.max()
    pairs = _pairs(background, scale)
    if len(pairs) < FEWEST_PAIRS:
        return None
    # Matches that are wrong at any focal length are left out first.
    kept, rng = [], np.random.default_rng(0)
    for points, other in pairs:
        there = (rays(side, 0.75 * diagonal, image_size) for side in (points, other))
        _, agree = rotation_between(*there, 5 * AGREE / scale / (0.75 * diagonal), rng)
        kept.append((points[agree], other[agree]))

    def tried(focal_length: float) -> tuple[float, float]:
        errors = [
            scale * focal_length * _errors(*pair, focal_length, image_size)
            for pair in kept
            if len(pair[0]) > 9
        ]
        if len(errors) < FEWEST_PAIRS:
            return np.inf, 0.0
        cost = float(np.mean([np.log1p(error**2).mean() for error in errors]))
        return cost, float(np.mean(np.concatenate(errors) < AGREE))

    costs = np.array([tried(ratio * diagonal)[0] for ratio in RATIOS])
    best = int(np.argmin(costs))
    if not 0 < best < len(RATIOS) - 1 or not np.isfinite(costs[best - 1 : best + 2]).all():
        return None
    before, here, after = costs[best - 1 : best + 2]
    shift = 0.5 * (before - after) / max(before - 2 * here + after, 1e-12)
    found = float(np.exp(np.log(RATIOS[best]) + shift * np.log(RATIOS[1] / RATIOS[0]))) * diagonal
    cost, share = tried(found)
    sharp = min(tried(found * OFF)[0], tried(found / OFF)[0]) - cost > SHARPER
    return found if sharp and share >= MIN_SHARE else None


def _pairs(background: Background, scale: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points (N, 2) of two frames each, those pairs of frames first between which the points move farthest."""
    found, frames = [], range(0, len(background), EVERY)
    for frame in frames:
        for other in frames[frame // EVERY + 1 :][:REACH]:
            ids, points = background.frame(frame)
            other_ids, other_points = background.frame(other)
            _, rows, other_rows = np.intersect1d(ids, other_ids, assume_unique=True, return_indices=True)
            if len(rows) < MIN_POINTS:
                break
            pair = points[rows], other_points[other_rows]
            shift = scale * float(np.median(np.linalg.norm(pair[1] - pair[0], axis=1)))
            if shift > MIN_SHIFT:
                found.append((shift, pair))
        found = sorted(found, key=lambda one: -one[0])[:MOST_PAIRS]  # a long video has many
    return [pair for _, pair in found]


def _errors(points: np.ndarray, other: np.ndarray, focal_length: float, image_size: np.ndarray) -> np.ndarray:
    """The angles (N,) that the best rotation leaves, radians."""
    there, other_there = (rays(side, focal_length, image_size) for side in (points, other))
    error = np.zeros(len(points))
    for _ in range(4):
        weight = 1 / (1 + (error * focal_length / np.max(image_size) * SIDE) ** 2)
        turn = kabsch(there, other_there, weight)
        error = np.linalg.norm(there @ turn.T - other_there, axis=1)
    return error
