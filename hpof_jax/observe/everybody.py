"""The observations of everybody in a video."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hpof_jax.observe.background import BackgroundTracker
from hpof_jax.observe.blazepose import NUM_LANDMARKS, BlazePose
from hpof_jax.observe.clip import MASK_SIDE, Observations, mean_rate, nobody, note_times
from hpof_jax.observe.identities import identify
from hpof_jax.observe.lens import find_lens
from hpof_jax.observe.packed import Packed
from hpof_jax.observe.people import PeopleTracker, Tracklet
from hpof_jax.observe.shots import mark_cuts
from hpof_jax.observe.video import frame_times, read_video
from hpof_jax.progress import progress as shown

MIN_SECONDS = 0.5  # whoever is seen for less is left out


def observe_everybody(
    video: str | pathlib.Path | int,
    landmark_model: str = "full",
    max_frames: int | None = None,
    focal_length: float | None = None,
    progress: bool = True,
    keep_masks: bool = False,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    keep_flow: bool = False,
    keep_background: bool = False,
    net: BlazePose | None = None,
) -> list[Observations]:
    """Observations of each person in `video`, from the first to the last frame that shows them.

    People are in the order of their first frames; those of one frame are in the order from the left. Whoever
    is seen for less than half a second is left out. `Observations.first_frame` gives the place in the video.

    Arguments are those of `hpof_jax.observe.clip.observe`.

    Raises:
      UserError: the video cannot be read, nobody is seen, or an argument is out of range.
    """
    frames, info = read_video(video, max_frames, fps, start, end)
    lens = find_lens(info, focal_length)
    kept: dict[str, Any] = dict(mask_side=MASK_SIDE if keep_masks else None, keep_flow=keep_flow)
    tracker, times, cuts = PeopleTracker(landmark_model, info.fps, net=net, **kept), [], []
    background = BackgroundTracker()
    bar = shown(note_times(frames, times), "observing everybody", info.frame_count, show=progress)
    for number, (frame, cut) in enumerate(mark_cuts(bar)):
        if cut:
            tracker.restart()
            cuts.append(number)
        tracker(frame)
        if keep_background:
            background(frame, [pose.landmarks_2d for pose in tracker.poses], cut)
    people, doubts = identify(tracker.tracklets, info.fps, cuts)
    times = frame_times(times, info.fps)
    rate = mean_rate(times, info.fps)
    shared = background.background() if keep_background else None
    found = []
    for number, person in enumerate(people):
        if sum(map(len, person)) < MIN_SECONDS * info.fps:
            continue
        first, stop = person[0].start, person[-1].stop
        found.append(
            Observations(
                **_arrays(person),
                **lens,
                fps=rate,
                times=times[first:stop],
                shots=np.array([0, *(cut - first for cut in cuts if first < cut < stop)]),
                first_frame=first,
                doubts=np.array([doubt.frame - first for doubt in doubts if doubt.person == number], int),
                background=shared,
            )
        )
    if not found:
        raise nobody(info.name, len(times))
    return found


def _arrays(person: Sequence[Tracklet]) -> dict[str, np.ndarray]:
    """What was kept of a person's tracklets, from their first to their last frame; see `Observations`."""
    first, stop = person[0].start, person[-1].stop
    shape = stop - first, NUM_LANDMARKS, 3
    found = {name: np.zeros(shape, np.float32) for name in ("landmarks_2d", "landmarks_3d")}
    if person[0].masks is not None:
        found["mask_to_frame"] = np.zeros((stop - first, 2, 3), np.float32)
    if person[0].flow is not None:
        found["flow_box"] = np.zeros((stop - first, 3), np.float32)
    seen = np.zeros(stop - first, bool)
    for tracklet in person:
        part = slice(tracklet.start - first, tracklet.stop - first)
        seen[part] = True
        for name, array in found.items():
            array[part] = getattr(tracklet, name)
    return found | _packed(person) | {"seen": seen}


def _packed(person: Sequence[Tracklet]) -> dict[str, Packed]:
    """The masks and flow of the same frames; zeros between the tracklets."""
    joined = {}
    for name in ("masks", "flow", "flow_valid"):
        of_first = getattr(person[0], name)
        if of_first is None:
            continue
        joined[name] = Packed(of_first.shape[1:], of_first.dtype)
        nothing = np.zeros(of_first.shape[1:], of_first.dtype)
        for tracklet in person:
            for _ in range(tracklet.start - person[0].start - len(joined[name])):
                joined[name].append(nothing)
            joined[name].extend(getattr(tracklet, name))
        if name != "masks":  # flow is that from the frame before
            del joined[name][:1]
    return joined
