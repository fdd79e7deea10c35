"""Left and right that the detector took for each other: found by what cannot have moved so, and exchanged back.

BlazePose now and then takes a person's left for their right, for a frame or for seconds, and is as sure of it as ever.
The body that it then shows is a possible one, face and depth included: no single frame gives a swap away. But where a swap
begins and ends, the legs, the arms or both jump onto their partners' places. Points that merely cross in the picture, as
the legs of somebody walking by do, lie apart in depth: 2D and 3D together tell the one from the other.

Which of two stretches is the swapped one, continuity does not say, and neither does the detector's confidence. A price on
each swapped frame makes it the shorter one, for the detector is right most of the time; another on legs without arms, for
it mostly swaps the whole body. Where it is wrong more often than right, or a swap's end goes unnoticed, this fails.
"""

import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, BLAZEPOSE_MIRROR

LEGS, ARMS = np.arange(23, 33), np.arange(11, 23)  # hips to toes, shoulders to fingers
# The face goes with the arms: whom the detector sees from behind instead of from the front, it sees so as a whole.
EXCHANGED = (LEGS, np.arange(23))
BODY_EXTENT = 1.6  # metres between 3D landmarks that count as much as the body's extent in the picture
USUAL_STEP = 0.05  # body extents from one frame to the next
# Prices in the unit of log(1 + step / USUAL_STEP), chosen on the rendered people of `benchmarks/swaps.py`.
SWITCH_COST = 0.4  # where a swap of the legs, the arms or both begins or ends
SWAPPED_COST = 0.015  # of each frame of swapped legs, and of swapped arms
ALONE_COST = 0.015  # of each frame in which only one of them is swapped

# What is swapped in a frame, a row each (legs, arms).
_STATES = np.array([[False, False], [True, False], [False, True], [True, True]])


def undo_swaps(
    landmarks_2d: np.ndarray, landmarks_3d: np.ndarray, seen: np.ndarray, shots: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The landmarks of one person in one clip with the detector's swaps of left and right undone.

    Args:
      landmarks_2d: (T, 33, 3) [x px, y px, visibility].
      landmarks_3d: (T, 33, 3) metres about the mid-hip, camera axes (x right, y down, z forward).
      seen: (T,) bool; the other frames stay as they are.
      shots: (S,) first frame of each shot; None: one shot. Nothing is compared across a cut.

    Returns:
      landmarks_2d and landmarks_3d, as new arrays, and what has been exchanged, (T, 2) bool: the legs; the arms and face.
    """
    swapped = np.zeros((len(seen), len(EXCHANGED)), bool)
    stay = SWAPPED_COST * _STATES.sum(axis=1) + ALONE_COST * (_STATES[:, 0] != _STATES[:, 1])
    everywhere = np.flatnonzero(seen)
    for frames in np.split(everywhere, np.searchsorted(everywhere, [] if shots is None else shots[1:])):
        if not len(frames):
            continue
        change = _costs_of_change(landmarks_2d[frames, :, :2], landmarks_3d[frames], np.diff(frames))
        swapped[frames] = _STATES[_cheapest_path(stay, change)]
    exchange = np.zeros((len(seen), len(BLAZEPOSE_LANDMARKS), 1), bool)
    for group, column in zip(EXCHANGED, swapped.T):
        exchange[:, group, 0] = column[:, None]
    points_2d, points_3d = (
        np.where(exchange, points[:, BLAZEPOSE_MIRROR], points) for points in (landmarks_2d, landmarks_3d)
    )
    return points_2d, points_3d, swapped


def _costs_of_change(places: np.ndarray, points_3d: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
    """Of going from one state (row) to another (column), (F - 1, S, S), between seen frames `elapsed` (F - 1,) frames
    apart; places: (F, 33, 2) px.
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
        # The logarithm keeps a landmark that is lost for a frame from outvoting the others.
        kept, crossed = (
            np.log1p(step / (USUAL_STEP * elapsed[:, None])).mean(axis=1)[:, None, None]
            for step in (kept, crossed)
        )
        costs += np.where(swapped[:, None] == swapped, kept, crossed)
    return costs


def _cheapest_path(stay: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Viterbi's path: the states (F,) for which the sum of `stay` (S,), each frame, and `change` (F - 1, S, S) is least."""
    total, origins = stay, []
    for costs in change:
        through = total[:, None] + costs
        origins.append(through.argmin(axis=0))
        total = through.min(axis=0) + stay
    path = [int(total.argmin())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1])
