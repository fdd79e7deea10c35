"""Finds and undoes left-right swaps, where the detector takes a person's left for their right.

BlazePose swaps left and right now and then, for a frame or for seconds, and its confidence stays high. The
swapped body is plausible, so a single frame does not show a swap. But where a swap begins or ends, the legs,
the arms or both jump onto the other side. Legs that cross in the image differ in depth, so 2D and 3D
landmarks are used together.

Every frame is in one of four states: the legs are swapped or not, and the arms are swapped or not. The states
with the least total cost are found with the Viterbi algorithm. Continuity does not tell which of two
stretches is swapped. So each swapped frame has a cost: the shorter stretch counts as swapped, because the
detector is mostly right. A swap of only the legs or only the arms costs more, because the detector mostly
swaps the whole body. The method fails where the detector is wrong more often than right, and where the end of
a swap is missed.
"""

import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, BLAZEPOSE_MIRROR

LEGS, ARMS = np.arange(23, 33), np.arange(11, 23)  # hips to toes, shoulders to fingers
# The face is swapped with the arms: the detector then sees a person from behind instead of from the front.
GROUPS = (LEGS, np.arange(23))
BODY_EXTENT = 1.6  # metres between 3D landmarks that count as much as the body's extent in the image
USUAL_STEP = 0.05  # body extents from one frame to the next
# Costs in units of log(1 + step / USUAL_STEP), chosen on the rendered people of `benchmarks/swaps.py`.
SWITCH_COST = 0.4  # where a swap of the legs, the arms or both begins or ends
SWAPPED_COST = 0.015  # of each frame of swapped legs, and of swapped arms
ALONE_COST = 0.015  # of each frame in which only the legs or only the arms are swapped

# What is swapped in each state: legs, arms.
_STATES = np.array([[False, False], [True, False], [False, True], [True, True]])


def undo_swaps(
    landmarks_2d: np.ndarray, landmarks_3d: np.ndarray, seen: np.ndarray, shots: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The landmarks of one person in one clip, with the detector's left-right swaps undone.

    Args:
      landmarks_2d: (T, 33, 3) [x px, y px, visibility].
      landmarks_3d: (T, 33, 3) metres about the mid-hip, camera axes (x right, y down, z forward).
      seen: (T,) bool; the other frames are returned as they are.
      shots: (S,) first frame of each shot; None: one shot. Frames are not compared across a cut.

    Returns:
      landmarks_2d and landmarks_3d, as new arrays, and what was swapped, (T, 2) bool: the legs; the arms and
      face.
    """
    swapped = np.zeros((len(seen), len(GROUPS)), bool)
    stay = SWAPPED_COST * _STATES.sum(axis=1) + ALONE_COST * (_STATES[:, 0] != _STATES[:, 1])
    everywhere = np.flatnonzero(seen)
    for frames in np.split(everywhere, np.searchsorted(everywhere, [] if shots is None else shots[1:])):
        if not len(frames):
            continue
        change = _costs_of_change(landmarks_2d[frames, :, :2], landmarks_3d[frames], np.diff(frames))
        swapped[frames] = _STATES[_cheapest_path(stay, change)]
    mirrored = np.zeros((len(seen), len(BLAZEPOSE_LANDMARKS), 1), bool)
    for group, column in zip(GROUPS, swapped.T):
        mirrored[:, group, 0] = column[:, None]
    points_2d, points_3d = (
        np.where(mirrored, points[:, BLAZEPOSE_MIRROR], points) for points in (landmarks_2d, landmarks_3d)
    )
    return points_2d, points_3d, swapped


def _costs_of_change(places: np.ndarray, points_3d: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
    """The costs (F - 1, S, S) of going from one state (row) to another (column).

    places: (F, 33, 2) px and points_3d: (F, 33, 3) m of the seen frames, which are `elapsed` (F - 1,) frames
      apart.
    """
    extent = np.maximum(np.ptp(places, axis=1).max(axis=1), 1.0)
    extent = np.sqrt(extent[1:] * extent[:-1])[:, None]
    costs = np.tile(SWITCH_COST * ~np.eye(len(_STATES), dtype=bool), (len(elapsed), 1, 1))
    for group, swapped in zip((LEGS, ARMS), _STATES.T):
        kept, crossed = (
            np.linalg.norm(places[1:, group] - places[:-1, before], axis=-1) / extent
            + np.linalg.norm(points_3d[1:, group] - points_3d[:-1, before], axis=-1) / BODY_EXTENT
            for before in (group, BLAZEPOSE_MIRROR[group])
        )
        # The logarithm limits the weight of a single landmark that is lost for a frame.
        kept, crossed = (
            np.log1p(step / (USUAL_STEP * elapsed[:, None])).mean(axis=1)[:, None, None]
            for step in (kept, crossed)
        )
        costs += np.where(swapped[:, None] == swapped, kept, crossed)
    return costs


def _cheapest_path(stay: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The states (F,) with the least sum of `stay` (S,) and `change` (F - 1, S, S), by Viterbi."""
    total, origins = stay, []
    for costs in change:
        through = total[:, None] + costs
        origins.append(through.argmin(axis=0))
        total = through.min(axis=0) + stay
    path = [int(total.argmin())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1])
