"""Runs this package's detector where a data set says that a person is."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np

from data_pipelines.datasets.base import Sequence, fill_boxes
from hpof_jax import features
from hpof_jax.geometry.camera import box_from_keypoints
from hpof_jax.observe.background import BackgroundTracker
from hpof_jax.observe.blazepose import MIN_PRESENCE, BlazePose, Pose, Region, overlap
from hpof_jax.observe.track import Collector

MASK_SIDE = 64
SAME = 0.3  # intersection over union of what is found and the annotated box
STEPS = 16  # per pixel, to which flow is rounded: finer steps are noise, which does not compress


# Crops (N, 224, 224, 3) float32 of `observe.crops.person_crops` -> (N, 2048), such as `hpof_jax.features.Extractor`.
Features = Callable[[np.ndarray], np.ndarray]


class Look(NamedTuple):
    """What is computed from the frames."""

    masks: bool = True
    flow: bool = True
    features: Features | None = None
    background: bool = False  # points of the background, of videos whose camera moves


class AnnotatedPerson:
    """A tracker for `observe.track`: finds the person of the annotated boxes, one for each frame.

    The landmark network looks where it found the person in the frame before, as in a video without annotations, and
    where that fails in the annotated box. What it finds must lie in the box.
    """

    def __init__(self, net: BlazePose, boxes: np.ndarray):
        self._net, self._boxes = net, boxes
        self._frame = 0
        self._last: Region | None = None

    def __call__(self, image: np.ndarray) -> Pose | None:
        box = self._boxes[self._frame]
        self._frame += 1
        if not box[2]:
            self._last = None
            return None
        place = Region(*map(float, box), 0.0)
        pose = self._look(image, self._last, place) if self._last else None
        if pose is None:
            # A network's own region is turned and larger: the second look is in the region that the first gives.
            first = self._net.landmarks(image, place)
            pose = self._look(image, first.region, place) or (first if self._fits(first, place) else None)
        self._last = pose.region if pose else None
        return pose

    def restart(self) -> None:
        self._last = None

    def _look(self, image: np.ndarray, region: Region, place: Region) -> Pose | None:
        pose = self._net.landmarks(image, region)
        return pose if self._fits(pose, place) else None

    def _fits(self, pose: Pose, place: Region) -> bool:
        points = pose.landmarks_2d[:, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        found = Region(*((low + high) / 2), float(max(high - low)), 0.0)
        return pose.score >= MIN_PRESENCE and overlap(found, place) > SAME


def observe_people(
    frames: Iterable[np.ndarray], people: list[Sequence], look: Look, net: BlazePose
) -> list[dict[str, np.ndarray]]:
    """Observations of each person, of the frames in `Sequence.frame_index`; each frame is decoded once.

    Args:
      frames: (H, W, 3) uint8 RGB, all frames of the video.
      net: the detector.

    Returns:
      for each person the arrays of `observe.clip.Observations`, image_size (2,), and with `look.features` features
      (T, 2048) float16, zeros where the person is not in the picture. They are of the detected person's box, as in a
      reconstruction, and where the detector fails of the annotated box. With `look.background` also background_*.

    Raises:
      ValueError: the video has fewer frames than the annotations.
    """
    boxes = [fill_boxes(person.boxes) for person in people]
    numbers = [{*person.frame_index.tolist()} for person in people]
    collectors = [
        Collector(AnnotatedPerson(net, box), MASK_SIDE if look.masks else None, look.flow) for box in boxes
    ]
    pictures = [features.Collector(look.features) if look.features else None for _ in people]
    backgrounds = [BackgroundTracker() if look.background and _moves(person) else None for person in people]
    last = max(int(person.frame_index[-1]) for person in people)
    number, size = -1, None
    for number, frame in enumerate(frames):
        size, shown = frame.shape[:2], []
        for wanted, collector, box, picture in zip(numbers, collectors, boxes, pictures, strict=True):
            if number in wanted:
                row = len(collector.seen)
                pose = collector(frame)
                shown += [pose.landmarks_2d] if pose else []
                if picture:
                    picture.add(frame, np.asarray(_box(pose.landmarks_2d)) if pose else box[row])
        for wanted, background in zip(numbers, backgrounds, strict=True):
            if background and number in wanted:
                background(frame, shown)
        if number >= last:
            break
    if number < last or size is None:
        raise ValueError(f"its frames are {number + 1} instead of {last + 1} or more")
    found = []
    for collector, picture, background in zip(collectors, pictures, backgrounds, strict=True):
        arrays = collector.arrays()
        del arrays["shots"]
        if "mask_to_frame" in arrays:
            arrays["mask_to_frame"] = arrays["mask_to_frame"].astype(np.float32)
        if "flow" in arrays:
            arrays["flow"] = np.round(STEPS * arrays["flow"]) / np.float16(STEPS)
        if picture:
            arrays["features"] = picture.features().astype(np.float16)
        if background:
            arrays |= {f"background_{name}": array for name, array in vars(background.background()).items()}
        found.append(arrays | {"image_size": np.array(size, np.float32)})
    return found


def _moves(person: Sequence) -> bool:
    """Whether the camera is known to move."""
    cameras = person.world_to_camera
    return cameras is not None and bool(np.ptp(cameras[person.valid], axis=0).max(initial=0) > 1e-4)


_box = jax.jit(box_from_keypoints)
