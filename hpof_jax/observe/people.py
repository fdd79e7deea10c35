"""Follows everybody in a video, in pieces that show one person each.

A piece of a track, a tracklet, begins where the detector finds somebody who is not followed yet. It ends where
that person is lost, or where it is doubtful whether it still shows the same person. Nothing is decided there
about who is who: `hpof_jax.observe.identities` joins the tracklets of one person afterwards, when all of the
video is known.
"""

import dataclasses

import numpy as np

from hpof_jax.observe.appearance import clothes, clothes_distance
from hpof_jax.observe.blazepose import MIN_PRESENCE, BlazePose, Pose, Region
from hpof_jax.observe.crops import smaller_mask
from hpof_jax.observe.optical_flow import NO_FLOW, LastFrames
from hpof_jax.observe.packed import Packed
from hpof_jax.observe.search import change, find_people, is_same, tiles
from hpof_jax.observe.track import box_of

# Distances are in region sizes, about 1.3 body heights. Times are in frames at 30 frames/s.
MAX_STEP, MAX_SIZE_RATIO = 0.25, 1.4  # the largest change of a body between two frames
LOOK_EVERY, LOOK_WIDE_EVERY, LOOK_AGAIN_EVERY, REMEMBER = 10, 30, 3, 60
SAME_PLACE = 0.13  # poses whose landmarks are closer show one person
NEAR = 0.6  # people closer than this may hide each other
STRANGE = 0.45  # distance of clothes between two people; one person's varies less
CLOSER = 0.08  # clothes that are closer to somebody else's by this much are theirs
PATIENCE = 3  # frames with strange clothes that end a tracklet
RATE, RATE_NEAR = 0.1, 0.02  # how fast the clothes are learnt


@dataclasses.dataclass(eq=False)
class Tracklet:
    """Consecutive frames that show one person. Lists have one entry for each frame; what is not kept is None or empty.

    start: number of the first frame.
    clothes: (2, 1040) mean, as `hpof_jax.observe.appearance.clothes` gives them.
    weight: the number of frames in `clothes`, less where others are near.
    ended: "lost"; "doubt": it may have been continued by somebody else; "cut", or "" while it goes on.
    masks, mask_to_frame: see `hpof_jax.observe.clip.Observations`.
    flow, flow_valid, flow_box: the same; the flow is that from the frame before to each frame.
    """

    start: int
    landmarks_2d: list[np.ndarray] = dataclasses.field(default_factory=list)
    landmarks_3d: list[np.ndarray] = dataclasses.field(default_factory=list)
    regions: list[Region] = dataclasses.field(default_factory=list)
    clothes: np.ndarray | float = 0.0
    weight: float = 0.0
    ended: str = ""
    masks: Packed | None = None
    mask_to_frame: list[np.ndarray] = dataclasses.field(default_factory=list)
    flow: Packed | None = None
    flow_valid: Packed | None = None
    flow_box: list[np.ndarray] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.regions)

    @property
    def stop(self) -> int:
        """The number of the frame after the last one."""
        return self.start + len(self)

    def forget(self, count: int) -> None:
        """Takes back the last `count` frames, but for the first frame of all."""
        kept = max(len(self) - count, 1)
        for entries in vars(self).values():
            if isinstance(entries, list | Packed):
                del entries[kept:]


@dataclasses.dataclass(eq=False)
class _Track:
    """A tracklet that goes on: the person as last seen."""

    tracklet: Tracklet
    pose: Pose
    clothes: np.ndarray  # recent
    strange: int = 0  # for how many frames they have differed

    @property
    def velocity(self) -> np.ndarray:
        last = self.tracklet.regions[-5:]
        return (np.array(last[-1][:2]) - last[0][:2]) / max(len(last) - 1, 1)


class PeopleTracker:
    """Follows everybody: called on consecutive frames; `tracklets` holds what was found.

    Args:
      landmark_model: "full" or "heavy".
      fps: frame rate of the frames.
      threads: for each of the two networks.
      net: networks to use; None: new ones.
      mask_side: also keep the people's masks, with sides of this many pixels.
      keep_flow: also keep optical flow.
    """

    def __init__(
        self,
        landmark_model: str = "full",
        fps: float = 30.0,
        threads: int = 2,
        net: BlazePose | None = None,
        mask_side: int | None = None,
        keep_flow: bool = False,
    ):
        self._mask_side, self._frames = mask_side, LastFrames() if keep_flow else None
        self._net = net or BlazePose(landmark_model, threads)
        self._frame_time = max(30.0 / fps, 0.25)  # in frames at 30 frames/s
        self._tracks: list[_Track] = []
        self._lost: list[tuple[int, _Track]] = []  # when, and who
        self._count = 0
        self._shot_start = 0
        self.tracklets: list[Tracklet] = []

    def __call__(self, image: np.ndarray) -> None:
        """Takes the next frame, (H, W, 3) uint8 RGB."""
        if self._frames:
            self._frames(image)
        self._lost = [(when, who) for when, who in self._lost if self._since(when) <= REMEMBER]
        new = self._follow(image)
        known = [track.pose for track in self._tracks] + new
        for pose in new + find_people(self._net, image, self._squares(image), known):
            track = _Track(self._new_tracklet(), pose, clothes(pose))
            self._tracks.append(track)
            self.tracklets.append(track.tracklet)
            self._note(track, pose, track.clothes)
        self._count += 1

    def _new_tracklet(self) -> Tracklet:
        tracklet = Tracklet(self._count)
        if self._mask_side:
            tracklet.masks = Packed((self._mask_side, self._mask_side), np.uint8)
        if self._frames:
            tracklet.flow, tracklet.flow_valid = (Packed(one.shape, one.dtype) for one in NO_FLOW)
        return tracklet

    @property
    def poses(self) -> list[Pose]:
        """The poses of everybody who is followed, in the last frame."""
        return [track.pose for track in self._tracks]

    def restart(self) -> None:
        """Ends all tracklets. Call it before the first frame of a new shot."""
        for track in self._tracks:
            track.tracklet.ended = "cut"
        self._tracks, self._lost, self._shot_start = [], [], self._count

    def _follow(self, image: np.ndarray) -> list[Pose]:
        """Continues all tracks; returns the poses of people about whom it is doubtful who they are."""
        found = [(track, self._net.landmarks(image, track.pose.region)) for track in self._tracks]
        sure, doubtful = [], []
        for track, pose in found:
            moved, grown = change(track.pose.region, pose.region)
            reach = MAX_STEP * max(self._frame_time, 1.0)
            if pose.score < MIN_PRESENCE or moved > reach or grown > MAX_SIZE_RATIO:
                self._end(track, "lost")
            else:
                sure.append((track, pose, clothes(pose)))
        sure, doubtful = self._one_owner(sure)
        for track, pose, seen in sure:
            others = [(t, p) for t, p, _ in sure if t is not track]
            if self._is_somebody_else(track, pose, seen, others):
                self._end(track, "doubt", track.strange - 1)
                doubtful.append(pose)
            else:
                self._note(track, pose, seen, near=self._someone_near(track, pose))
        self._tracks = [track for track in self._tracks if not track.tracklet.ended]
        return doubtful

    def _one_owner(self, found: list[tuple[_Track, Pose, np.ndarray]]):
        """Where several tracks have come to one person, only the one that fits stays; none if none clearly does."""
        kept, doubtful, waiting = [], [], list(found)
        while waiting:
            group = [waiting.pop(0)]
            for other in list(waiting):
                if is_same(group[0][1], other[1], SAME_PLACE):
                    group.append(other)
                    waiting.remove(other)
            if len(group) > 1:
                costs = [self._misfit(track, pose, seen) for track, pose, seen in group]
                order = np.argsort(costs)
                best = int(order[0])
                if costs[order[1]] - costs[best] < CLOSER:
                    doubtful.append(group[best][1])
                    best = -1
                for index, (track, _, _) in enumerate(group):
                    if index != best:
                        self._end(track, "lost" if best >= 0 else "doubt")
                group = [group[best]] if best >= 0 else []
            kept += group
        return kept, doubtful

    def _misfit(self, track: _Track, pose: Pose, seen: np.ndarray) -> float:
        place = np.array(track.pose.region[:2]) + track.velocity
        moved = np.hypot(*(place - pose.region[:2])) / track.pose.region.size
        return float(np.nan_to_num(clothes_distance(seen, track.clothes), nan=STRANGE) + moved)

    def _is_somebody_else(self, track: _Track, pose: Pose, seen: np.ndarray, others) -> bool:
        own = clothes_distance(seen, track.clothes)
        if np.isnan(own):
            return False
        near = [other for other, there in others if change(pose.region, there.region)[0] < NEAR]
        near += [who for _, who in self._lost if change(pose.region, who.pose.region)[0] < NEAR]
        distances = [clothes_distance(seen, other.clothes) for other in near]
        theirs = min((d for d in distances if not np.isnan(d)), default=np.inf)
        strange = own > STRANGE or (own > 0.6 * STRANGE and theirs + CLOSER < own)
        track.strange = track.strange + 1 if strange else 0
        return track.strange >= PATIENCE

    def _someone_near(self, track: _Track, pose: Pose) -> bool:
        return any(
            change(pose.region, other.pose.region)[0] < NEAR for other in self._tracks if other is not track
        ) or any(change(pose.region, who.pose.region)[0] < NEAR for _, who in self._lost)

    def _note(self, track: _Track, pose: Pose, seen: np.ndarray, near: bool = False) -> None:
        tracklet = track.tracklet
        tracklet.landmarks_2d.append(pose.landmarks_2d)
        tracklet.landmarks_3d.append(pose.landmarks_3d)
        tracklet.regions.append(pose.region)
        if tracklet.masks is not None:
            tracklet.masks.append(smaller_mask(pose.mask, self._mask_side))
            tracklet.mask_to_frame.append(pose.to_frame.astype(np.float32))
        if self._frames:
            tracklet.flow_box.append(box_of(pose))
            begins = len(tracklet.flow_box) == 1
            flow, valid = NO_FLOW if begins else self._frames.flow(*tracklet.flow_box[-2:])
            tracklet.flow.append(flow)
            tracklet.flow_valid.append(valid)
        track.pose = pose
        if track.strange:
            return
        weight = 0.1 if near else 1.0
        tracklet.weight += weight
        tracklet.clothes = tracklet.clothes + weight / tracklet.weight * (seen - tracklet.clothes)
        rate = RATE_NEAR if near else RATE
        there = (seen.any(axis=1) & track.clothes.any(axis=1))[:, None]
        mixed = (1 - rate) * track.clothes + rate * seen
        track.clothes = np.where(there, mixed, np.maximum(track.clothes, seen))

    def _end(self, track: _Track, why: str, strange: int = 0) -> None:
        """Ends a track and takes back its last `strange` frames."""
        track.tracklet.ended = why
        track.tracklet.forget(strange)
        self._lost.append((self._count, track))

    def _squares(self, image: np.ndarray) -> list[tuple[float, float, float]]:
        """Where to look for people who are not followed yet."""
        frames = self._count - self._shot_start
        squares = tiles(image.shape, 1.0) if self._every(LOOK_EVERY, frames) else []
        if self._every(LOOK_WIDE_EVERY, frames) and not self._tracks:
            squares += tiles(image.shape, 0.5)
        for when, who in self._lost:
            if self._since(when) < 1 or self._every(LOOK_AGAIN_EVERY, self._count - when):
                x, y, size, _ = who.pose.region
                squares += [(x, y, 1.5 * size), (x, y, 2.5 * size)]
        return squares

    def _every(self, period: float, frames: int) -> bool:
        return frames % max(1, round(period / self._frame_time)) == 0

    def _since(self, when: int) -> float:
        return (self._count - when) * self._frame_time
