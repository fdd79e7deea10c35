"""Runs a tracker over a clip and collects the person's landmarks, masks and optical flow."""

from collections.abc import Callable, Iterable
from typing import Any

import cv2
import jax
import numpy as np

from hpof_jax.geometry.camera import box_from_keypoints
from hpof_jax.observe.background import BackgroundTracker
from hpof_jax.observe.blazepose import NUM_LANDMARKS, Pose
from hpof_jax.observe.optical_flow import FlowTracker
from hpof_jax.observe.shots import mark_cuts

_box = jax.jit(box_from_keypoints)


def track(
    frames: Iterable[np.ndarray],
    tracker: Callable[[np.ndarray], Pose | None],
    *,
    mask_side: int | None = None,
    keep_flow: bool = False,
    keep_background: bool = False,
    find_cuts: bool = True,
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
      stop: called after each frame with the list of `seen` so far; True leaves out the rest of the frames.

    Returns:
      landmarks_2d, landmarks_3d, seen and shots; with `mask_side` masks and mask_to_frame; with `keep_flow`
      flow, flow_valid and flow_box; with `keep_background` background. See `hpof_jax.observe.clip.Observations`.
    """
    seen, shots, flow, background = [], [0], FlowTracker(), BackgroundTracker()
    landmarks_2d, landmarks_3d, masks, mask_to_frame = [], [], [], []
    nothing = np.zeros((NUM_LANDMARKS, 3), np.float32)
    for frame, cut in mark_cuts(frames) if find_cuts else ((frame, False) for frame in frames):
        if cut:
            tracker.restart()
            shots.append(len(seen))
        pose = tracker(frame)
        seen.append(pose is not None)
        landmarks_2d.append(pose.landmarks_2d if pose else nothing)
        landmarks_3d.append(pose.landmarks_3d if pose else nothing)
        if mask_side:
            size = (mask_side, mask_side)
            mask = pose.mask if pose else np.zeros(size, np.uint8)
            masks.append(cv2.resize(mask, size, interpolation=cv2.INTER_AREA))
            mask_to_frame.append(pose.to_frame if pose else np.zeros((2, 3)))
        if keep_flow:
            flow(frame, np.asarray(_box(pose.landmarks_2d)) if pose else None, cut)
        if keep_background:
            background(frame, [pose.landmarks_2d] if pose else [], cut)
        if stop(seen):
            break
    found = {
        "landmarks_2d": np.array(landmarks_2d, np.float32).reshape(-1, NUM_LANDMARKS, 3),
        "landmarks_3d": np.array(landmarks_3d, np.float32).reshape(-1, NUM_LANDMARKS, 3),
        "seen": np.array(seen, bool),
        "shots": np.array(shots),
    }
    if mask_side:
        found["masks"] = np.array(masks, np.uint8).reshape(-1, mask_side, mask_side)
        found["mask_to_frame"] = np.array(mask_to_frame, np.float64).reshape(-1, 2, 3)
    if keep_background:
        found["background"] = background.background()
    return found | (flow.arrays() if keep_flow else {})
