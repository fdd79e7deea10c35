"""Runs a tracker over a clip and collects the person's landmarks, masks and optical flow."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from hpof_jax.geometry.camera import box_from_keypoints
from hpof_jax.observe.background import BackgroundTracker
from hpof_jax.observe.blazepose import NUM_LANDMARKS, Pose
from hpof_jax.observe.crops import smaller_mask
from hpof_jax.observe.optical_flow import FlowTracker
from hpof_jax.observe.packed import Packed
from hpof_jax.observe.shots import mark_cuts

_box = jax.jit(box_from_keypoints)


def box_of(pose: Pose) -> np.ndarray:
    """(3,) [centre x, centre y, size] px of the box around a person."""
    return np.asarray(_box(pose.landmarks_2d))


def track(
    frames: Iterable[np.ndarray],
    tracker: Callable[[np.ndarray], Pose | None],
    *,
    mask_side: int | None = None,
    keep_flow: bool = False,
    keep_background: bool = False,
    find_cuts: bool = True,
    packed: bool = False,
    stop: Callable[[list[bool]], bool] = lambda seen: False,
) -> dict[str, Any]:
    """Runs a tracker over the T frames (H, W, 3) uint8 RGB of a clip, and collects what it finds.

    Args:
      tracker: a `hpof_jax.observe.person.PersonTracker`, or a function like it. Its `restart()` is called
        before the first frame of each shot but the first.
      mask_side: also collect the person's masks, with sides of this many pixels.
      keep_flow: also collect optical flow.
      keep_background: also collect points of the background.
      find_cuts: look for scene cuts; False: the clip is one shot.
      packed: masks, flow and flow_valid are compressed, see `hpof_jax.observe.packed`.
      stop: called after each frame with the list of `seen` so far; True leaves out the rest of the frames.

    Returns:
      landmarks_2d, landmarks_3d, seen and shots; with `mask_side` masks and mask_to_frame; with `keep_flow`
      flow, flow_valid and flow_box; with `keep_background` background. See `hpof_jax.observe.clip.Observations`.
    """
    collector, background = Collector(tracker, mask_side, keep_flow), BackgroundTracker()
    for frame, cut in mark_cuts(frames) if find_cuts else ((frame, False) for frame in frames):
        pose = collector(frame, cut)
        if keep_background:
            background(frame, [pose.landmarks_2d] if pose else [], cut)
        if stop(collector.seen):
            break
    return collector.arrays(packed) | ({"background": background.background()} if keep_background else {})


class Collector:
    """Takes the frames of a clip one by one, and collects what a tracker finds. Arguments are those of `track`."""

    def __init__(
        self,
        tracker: Callable[[np.ndarray], Pose | None],
        mask_side: int | None = None,
        keep_flow: bool = False,
    ):
        self._tracker, self._mask_side = tracker, mask_side
        self._flow = FlowTracker() if keep_flow else None
        self._shots = [0]
        self._landmarks_2d: list[np.ndarray] = []
        self._landmarks_3d: list[np.ndarray] = []
        self._masks = Packed((mask_side or 0,) * 2, np.uint8)
        self._mask_to_frame: list[np.ndarray] = []
        self.seen: list[bool] = []

    def __call__(self, frame: np.ndarray, cut: bool = False) -> Pose | None:
        """Takes the next frame, (H, W, 3) uint8 RGB. `cut`: a new shot begins with it."""
        if cut:
            self._tracker.restart()
            self._shots.append(len(self.seen))
        pose, nothing = self._tracker(frame), np.zeros((NUM_LANDMARKS, 3), np.float32)
        self.seen.append(pose is not None)
        self._landmarks_2d.append(pose.landmarks_2d if pose else nothing)
        self._landmarks_3d.append(pose.landmarks_3d if pose else nothing)
        if self._mask_side:
            mask = pose.mask if pose else np.zeros((1, 1), np.uint8)
            self._masks.append(smaller_mask(mask, self._mask_side))
            self._mask_to_frame.append(pose.to_frame if pose else np.zeros((2, 3)))
        if self._flow:
            self._flow(frame, box_of(pose) if pose else None, cut)
        return pose

    def arrays(self, packed: bool = False) -> dict[str, Any]:
        """What `track` returns, of the frames so far, without the background."""
        found = {
            "landmarks_2d": np.array(self._landmarks_2d, np.float32).reshape(-1, NUM_LANDMARKS, 3),
            "landmarks_3d": np.array(self._landmarks_3d, np.float32).reshape(-1, NUM_LANDMARKS, 3),
            "seen": np.array(self.seen, bool),
            "shots": np.array(self._shots),
        }
        if self._mask_side:
            found["masks"] = self._masks if packed else np.array(self._masks)
            found["mask_to_frame"] = np.array(self._mask_to_frame, np.float64).reshape(-1, 2, 3)
        return found | (self._flow.arrays(packed) if self._flow else {})
