"""Chooses one person in a video and tracks them without switching to somebody else.

While the person is in sight, the landmarks of each frame give the region for the next frame, as in MediaPipe:
one network runs per frame. The person detector runs to choose the person, to find them again, and when the
track looks wrong. Then all people nearby are compared by place, size and the colours of the torso. If nobody
fits, the person is not seen in the frame.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from hpof_jax.errors import UserError
from hpof_jax.observe.blazepose import HIPS, MIN_PRESENCE, SHOULDERS, BlazePose, Pose, Region
from hpof_jax.observe.search import change, find_people, tiles

# Distances are in region sizes, about 1.3 body heights. Times are in frames at 30 frames/s.
MAX_STEP = 0.25  # the largest movement of a body between two frames
STEP_PER_LOST_FRAME = 0.04  # added to MAX_STEP for each lost frame: about 2.7 m/s
# The largest ratio of two sizes, and what each lost frame adds to it: somebody who was last seen as a small part of a
# body, or far away, must be found again.
MAX_SIZE_RATIO, RATIO_PER_LOST_FRAME = 1.7, 0.02
# Colour distances: 0.4 to 0.7 between two people, 0.1 to 0.5 of one person in changing light, pose and
# background.
SUSPICIOUS_COLOURS, UNKNOWN_COLOURS = 0.45, 0.4
MAX_COLOURS = 0.7  # while in sight
MAX_COLOURS_LOST, MAX_COLOURS_FAR = 0.6, 0.4  # after a gap; after a gap and more than one size away
LOOK_AROUND_EVERY, LOOK_AROUND_EVERY_ALERT, SEARCH_WIDE_EVERY, FORGET_RIVALS_AFTER = 10, 5, 5, 30
MIN_COLOURS_OF_RIVAL, MAX_LOOKS_OF_RIVAL = 0.25, 10
# People closer than NEAR may be taken for each other if their colours are alike. Whom the detector finds closer than
# DOUBLE is the person again: of one body, found twice in different poses, the hips are about 0.02 apart.
NEAR, DOUBLE = 0.5, 0.05
RIVAL_MARGIN = 0.05  # a pose whose colours are closer to a rival's by this much is the rival's
# The track switches to a pose nearby if its colour distance is below the first, and smaller by the second.
MAX_COLOURS_TO_SWITCH, SWITCH_MARGIN = 0.25, 0.1
COLOUR_RATE, COLOUR_RATE_UNSURE = 0.1, 0.02


@dataclasses.dataclass
class _Track:
    """The person as last seen, `lost` frames ago."""

    pose: Pose
    colours: np.ndarray
    lost: int = 0


@dataclasses.dataclass
class _Rival:
    """Somebody else near the person: where and when they were last seen, and their colours so far."""

    region: Region
    frame: int
    looks: list[np.ndarray]


class PersonTracker:
    """Tracks a person: called on consecutive frames, gives the person's `Pose`, or None if they are not seen.

    Args:
      person: "largest", "leftmost", or the person's number from the left, from 1, in the first frame of a
        shot that shows that many people.
      landmark_model: "full" or "heavy".
      fps: frame rate of the frames.
      threads: for each of the two networks.
      net: networks to use, such as those of a tracker that is no longer needed; None: new ones.

    Raises:
      UserError: `person` or `landmark_model` is something else.
    """

    def __init__(
        self,
        landmark_model: str = "full",
        person: str | int = "largest",
        fps: float = 30.0,
        threads: int = 2,
        net: BlazePose | None = None,
    ):
        if landmark_model not in ("full", "heavy"):
            raise UserError(f"landmark model {landmark_model!r} is unknown: choose 'full' or 'heavy'")
        self._person = _parse_person(person)
        self._net = net or BlazePose(landmark_model, threads)
        self._frame_time = 30.0 / fps  # in frames at 30 frames/s
        self._track: _Track | None = None
        self._rivals: list[_Rival] = []
        self._count = 0
        self._frames = 0  # of all shots
        self.most_people = 0  # the most people seen at once while choosing
        self.doubts: list[int] = []  # frames in which somebody who looks alike is close to the person

    def __call__(self, image: np.ndarray) -> Pose | None:
        """The person's pose in `image` (H, W, 3) uint8 RGB, which is the next frame."""
        self._count += 1
        self._frames += 1
        if self._track is None:
            pose = self._choose(image)
            if pose is not None:
                self._track = _Track(pose, torso_colours(pose))
            return pose
        pose = self._follow(image)
        if pose is None:
            self._track.lost += 1
            return None
        self._track = _Track(pose, self._learn(pose))
        return pose

    def restart(self) -> None:
        """Forgets the person. Call it before the first frame of a new shot: the person is chosen again."""
        self._track, self._rivals, self._count = None, [], 0

    def _learn(self, pose: Pose) -> np.ndarray:
        """The running mean of the person's colours, with those of `pose`."""
        seen, before = torso_colours(pose), self._track.colours
        if not (seen.any() and before.any()):
            return before if before.any() else seen
        # Somebody who slowly covers the person must not change the person's colours.
        covered = any(self._may_be(rival, pose.region) for rival in self._rivals)
        unsure = covered or colour_distance(seen, before) > SUSPICIOUS_COLOURS
        rate = COLOUR_RATE_UNSURE if unsure else COLOUR_RATE
        return (1 - rate) * before + rate * seen

    def _choose(self, image: np.ndarray) -> Pose | None:
        people = self._find_people(image, tiles(image.shape, 1.0))
        if not people and self._count % SEARCH_WIDE_EVERY == 1:
            people = self._find_people(image, tiles(image.shape, 0.5))
        self.most_people = max(self.most_people, len(people))
        if not people:
            return None
        if self._person == "largest":
            return max(people, key=lambda pose: pose.region.size)
        people.sort(key=lambda pose: pose.region.x)
        number = 1 if self._person == "leftmost" else self._person
        return people[number - 1] if number <= len(people) else None

    def _follow(self, image: np.ndarray) -> Pose | None:
        track, last = self._track, self._track.pose.region
        candidates: list[Pose] = []
        if track.lost == 0:
            self._rivals = [r for r in self._rivals if self._count - r.frame <= FORGET_RIVALS_AFTER]
            pose = self._net.landmarks(image, last)
            if self._cost(pose) < np.inf:
                if self._count % (LOOK_AROUND_EVERY_ALERT if self._rivals else LOOK_AROUND_EVERY) == 0:
                    pose = self._look_around(image, pose)
                if colour_distance(torso_colours(pose), track.colours) <= SUSPICIOUS_COLOURS:
                    return pose
                candidates.append(pose)
        squares = [(last.x, last.y, 1.5 * last.size), (last.x, last.y, 2.5 * last.size)]
        if track.lost % SEARCH_WIDE_EVERY == SEARCH_WIDE_EVERY - 1:
            squares += tiles(image.shape, 1.0)
        candidates = self._find_people(image, squares, candidates)
        costs = [self._cost(pose) for pose in candidates]
        return candidates[int(np.argmin(costs))] if costs and min(costs) < np.inf else None

    def _look_around(self, image: np.ndarray, own: Pose) -> Pose:
        """Remembers the colours of all people nearby, to recognise them when they cover the person.

        Returns `own`, or the pose of somebody nearby who looks more like the person: then `own` is somebody
        who covers the person.
        """
        x, y, size, _ = own.region
        # The detector mostly finds one of two people in a square, so there is one square on each side, too.
        squares = [(x, y, 2 * size), (x - 0.8 * size, y, 1.4 * size), (x + 0.8 * size, y, 1.4 * size)]
        colours = [(pose, torso_colours(pose)) for pose in self._find_people(image, squares, [own])]
        distances = [colour_distance(seen, self._track.colours) for _, seen in colours]
        best = int(np.argmin(distances))
        clearly = distances[best] < min(MAX_COLOURS_TO_SWITCH, distances[0] - SWITCH_MARGIN)
        if not clearly or change(own.region, colours[best][0].region)[0] > 1:
            best = 0
        for number, (pose, seen) in enumerate(colours):
            near = DOUBLE < change(own.region, pose.region)[0] < NEAR
            if number != best and near and colour_distance(seen, colours[best][1]) < MIN_COLOURS_OF_RIVAL:
                self.doubts.append(self._frames - 1)
            if number != best and distances[number] > MIN_COLOURS_OF_RIVAL:  # otherwise too similar
                known = [rival for rival in self._rivals if self._may_be(rival, pose.region)]
                looks = [look for rival in known for look in rival.looks][-MAX_LOOKS_OF_RIVAL:]
                self._rivals = [rival for rival in self._rivals if not any(rival is other for other in known)]
                self._rivals.append(_Rival(pose.region, self._count, [*looks, seen]))
        return colours[best][0]

    def _cost(self, pose: Pose) -> float:
        """How unlike the person `pose` is; infinite if it cannot be the person."""
        lost = self._track.lost
        moved, grown = change(self._track.pose.region, pose.region)
        gap = lost * self._frame_time
        reach, ratio = MAX_STEP + STEP_PER_LOST_FRAME * gap, MAX_SIZE_RATIO + RATIO_PER_LOST_FRAME * gap
        seen = torso_colours(pose)
        colours = colour_distance(seen, self._track.colours)
        looks = [look for rival in self._rivals if self._may_be(rival, pose.region) for look in rival.looks]
        if any(colour_distance(seen, look) + RIVAL_MARGIN < colours for look in looks):
            return np.inf
        worst = MAX_COLOURS if not lost else MAX_COLOURS_LOST if moved < 1 else MAX_COLOURS_FAR
        if pose.score < MIN_PRESENCE or moved > reach or grown > ratio or colours > worst:
            return np.inf
        return float(moved / reach + np.log(grown) + 2 * colours)

    def _may_be(self, rival: _Rival, region: Region) -> bool:
        """Whether the rival can have moved to `region` since they were last seen."""
        elapsed = (self._count - rival.frame) * self._frame_time
        reach = min(MAX_STEP + STEP_PER_LOST_FRAME * elapsed, 1.0)
        return change(rival.region, region)[0] < reach

    def _find_people(
        self, image: np.ndarray, squares: Iterable[tuple[float, float, float]], known: Sequence[Pose] = ()
    ) -> list[Pose]:
        """The poses `known`, and those of all other people that the detector finds in the squares."""
        return [*known, *find_people(self._net, image, squares, known)]


@functools.lru_cache(maxsize=8)  # called about three times a frame for the same pose
def torso_colours(pose: Pose) -> np.ndarray:
    """(64, 64) histogram of the torso's colours, Lab's a and b without the lightness, which sums to 1."""
    corners = pose.landmarks_2d[[SHOULDERS[0], SHOULDERS[1], HIPS[1], HIPS[0]], :2] - pose.to_frame[:, 2]
    corners = np.linalg.solve(pose.to_frame[:, :2], corners.T).T * len(pose.crop)
    left, top = np.clip(np.floor(corners.min(0)), 0, len(pose.crop) - 2).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)), (left + 2, top + 2), len(pose.crop)).astype(int)
    inside = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.round(corners - (left, top)).astype(np.int32)), 1)
    lab = cv2.cvtColor(pose.crop[top:bottom, left:right], cv2.COLOR_RGB2LAB)
    counts = cv2.calcHist([lab], [1, 2], inside, [64, 64], [0, 256, 0, 256])
    counts = cv2.GaussianBlur(counts, (5, 5), 0)
    return counts / max(float(counts.sum()), 1e-9)


def colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Hellinger distance of two histograms that sum to 1: 0 if they are equal, 1 if nothing is in common.

    It is 0.4, which decides nothing, if one is empty because the torso lies outside the image.
    """
    if not (a.any() and b.any()):
        return UNKNOWN_COLOURS
    return float(np.sqrt(max(0.0, 1.0 - np.sqrt(a * b).sum())))


def _parse_person(person: str | int) -> str | int:
    if person in ("largest", "leftmost"):
        return person
    text = str(person)
    if isinstance(person, bool) or not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UserError(
            f"person {person!r} is unknown: give 'largest', 'leftmost' or a number from the left, 1 or more"
        )
    return int(text)
