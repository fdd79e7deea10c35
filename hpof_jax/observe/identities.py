"""Joins the pieces of tracks that show the same person.

Rajasegaran et al., "Tracking People by Predicting 3D Appearance, Location and Pose" (PHALP), CVPR 2022, join
people by appearance, place and body from frame to frame. Here whole pieces of tracks are joined, which have
more frames to compare. First those are joined that are surely of one person, then others. In each round the joins have
the least total cost. Where another assignment costs nearly as much, it is doubtful who is who: nobody is joined.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from hpof_jax.observe.appearance import bone_lengths, clothes_distance
from hpof_jax.observe.people import Tracklet

# Distances are in region sizes, about 1.3 body heights. Times are in frames at 30 frames/s.
OVERLAP = 6  # frames in which two tracklets of one person may both go on: one of them errs at its end
MIN_FRAMES = 5  # shorter tracklets show background, or somebody half hidden
# The longest gap that is closed in each round, and the highest cost. Who is surely the same comes first.
ROUNDS = ((4, 0.38), (20, 0.38), (np.inf, 0.38), (20, 0.6), (90, 0.6), (40, 0.66))
REACH, REACH_PER_FRAME = 0.2, 0.045  # how far a person gets in a gap
FORESIGHT = 12  # frames for which a person goes on at the same speed
UNKNOWN_CLOTHES, PLACE, BONES, FAR_GAP = 0.4, 0.3, 0.5, 90
# Bones of one person differ by 0.02 to 0.07 on average. More than this: landmarks of somebody who is mostly hidden, or
# of two people at once.
MAX_BONES = 0.15
MARGIN = 0.06


@dataclasses.dataclass(frozen=True)
class Doubt:
    """After `frame`, the person in group `person` could not be told from others: the track ends."""

    person: int
    frame: int


def identify(
    tracklets: Sequence[Tracklet], fps: float, cuts: Sequence[int] = ()
) -> tuple[list[list[Tracklet]], list[Doubt]]:
    """Groups the tracklets by person.

    Args:
      tracklets: of a `PeopleTracker`.
      fps: frame rate of the frames.
      cuts: first frames of the shots but the first. Places are not compared across cuts.

    Returns:
      the tracklets of each person, in the order of time; people are in the order of their first frames, and
      those of one frame from the left. And where it was doubtful who is who.
    """
    frame_time = 30.0 / fps
    groups = [[tracklet] for tracklet in tracklets if len(tracklet) * frame_time >= MIN_FRAMES]
    doubts: dict[int, int] = {}  # id of a group's last tracklet -> its last frame
    for longest, highest in ROUNDS:
        while True:
            joins, doubtful = _joins(groups, longest, highest, frame_time, cuts)
            doubts |= {id(groups[index][-1]): groups[index][-1].stop - 1 for index in doubtful}
            if not joins:
                break
            for before, after in joins:
                groups[before] = sorted(groups[before] + groups[after], key=lambda tracklet: tracklet.start)
            gone = {after for _, after in joins}
            groups = [group for index, group in enumerate(groups) if index not in gone]
    groups.sort(key=lambda group: (group[0].start, group[0].regions[0].x))
    found = [
        Doubt(number, doubts[id(group[-1])]) for number, group in enumerate(groups) if id(group[-1]) in doubts
    ]
    return groups, found


def _joins(
    groups: list[list[Tracklet]], longest: float, highest: float, frame_time: float, cuts: Sequence[int]
) -> tuple[list[tuple[int, int]], list[int]]:
    """Pairs of groups to join, no group in two of them, and the groups about which there is doubt."""
    count = len(groups)
    if count < 2:
        return [], []
    costs = np.full((count, count), np.inf)
    people = [_Person(group) for group in groups]
    for i, one in enumerate(people):
        for j, other in enumerate(people):
            if one.start < other.start:
                costs[i, j] = _cost(one, other, longest, frame_time, cuts)
    total, pairs = _assign(costs, highest)
    joins, doubtful, used = [], [], set()
    for i, j in pairs:
        without = costs.copy()
        without[i, j] = np.inf
        other_total, others = _assign(without, highest)
        rival = any(a == i or b == j for a, b in others)
        if rival and other_total - total < MARGIN:
            doubtful.append(i)
        elif not used & {i, j}:  # chains are joined in the next call
            joins.append((i, j))
            used |= {i, j}
    return joins, doubtful


def _assign(costs: np.ndarray, highest: float) -> tuple[float, list[tuple[int, int]]]:
    """The pairs with the least total of cost - highest, and that total. Hungarian method."""
    count = len(costs)
    alone = np.full((count, count), highest)
    padded = np.concatenate([np.where(costs < highest, costs, 1e3), alone], axis=1)
    pairs = [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(padded)) if j < count]
    return float(sum(costs[i, j] - highest for i, j in pairs)), pairs


class _Person:
    """What a group of tracklets tells about its person."""

    def __init__(self, group: list[Tracklet]):
        self.tracklets, self.start = group, group[0].start
        weights = np.array([max(tracklet.weight, 1e-3) for tracklet in group])
        shown = [np.asarray(tracklet.clothes) for tracklet in group]
        self.clothes = sum(weight * one for weight, one in zip(weights, shown)) / weights.sum()
        lengths = np.concatenate([bone_lengths(np.array(tracklet.landmarks_3d[:90])) for tracklet in group])
        self.bones = np.median(lengths, axis=0)


def _cost(one: _Person, other: _Person, longest: float, frame_time: float, cuts: Sequence[int]) -> float:
    """How unlike it is that two groups show one person; infinite if it is impossible or the gaps are too long."""
    own = {id(tracklet) for tracklet in one.tracklets}
    row = sorted([*one.tracklets, *other.tracklets], key=lambda tracklet: tracklet.start)
    if any((before.stop - after.start) * frame_time > OVERLAP for before, after in itertools.pairwise(row)):
        return np.inf
    seams = [pair for pair in itertools.pairwise(row) if (id(pair[0]) in own) != (id(pair[1]) in own)]
    if min(after.start - before.stop for before, after in seams) * frame_time > longest:
        return np.inf
    bones = float(np.abs(one.bones - other.bones).mean())
    if bones > MAX_BONES:
        return np.inf
    place = max(_place_cost(before, after, frame_time, cuts) for before, after in seams)
    clothes = clothes_distance(one.clothes, other.clothes)
    clothes = UNKNOWN_CLOTHES if np.isnan(clothes) else clothes
    return clothes + PLACE * place + BONES * bones


def _place_cost(before: Tracklet, after: Tracklet, frame_time: float, cuts: Sequence[int]) -> float:
    """0 if somebody who goes on at the same speed gets from one to the other, 1 at the limit, infinite beyond it."""
    if any(before.stop <= cut <= after.start for cut in cuts):
        return 1.0
    gap = max(after.start - before.stop, 0) * frame_time
    last, first = np.array(before.regions[-6:]), np.array(after.regions[:6])
    speeds = [(part[-1] - part[0])[:2] / max(len(part) - 1, 1) for part in (last, first)]
    ahead = min(gap, FORESIGHT) / frame_time / 2
    moved = np.hypot(*(first[0] - last[-1])[:2] - ahead * sum(speeds))
    place = moved / np.sqrt(last[-1, 2] * first[0, 2]) / (REACH + REACH_PER_FRAME * gap)
    return float(min(place, 1.0) if place <= 1 or gap >= FAR_GAP else np.inf)
