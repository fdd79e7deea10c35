"""The observations of a video: one person's landmarks in every frame."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import logging

from hpof_jax.archives import damage, read_arrays
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.geometry.camera import box_from_keypoints
from hpof_jax.observe import optical_flow
from hpof_jax.observe.background import Background
from hpof_jax.observe.blazepose import BlazePose
from hpof_jax.observe.clip_fields import BACKGROUND, checked
from hpof_jax.observe.lens import find_lens
from hpof_jax.observe.packed import Packed, read_packed, write_npz
from hpof_jax.observe.person import PersonTracker
from hpof_jax.observe.track import track
from hpof_jax.observe.video import Frames, frame_times, read_video, thin
from hpof_jax.progress import progress as shown

MASK_SIDE = 128
PACKED = ("masks", "flow", "flow_valid")  # what may be compressed

_boxes = jax.jit(box_from_keypoints)


@dataclasses.dataclass(frozen=True, eq=False)
class Observations:
    """What the detector finds of one person in a clip of T frames; 0 in frames that do not show the person.

    landmarks_2d: (T, 33, 3) [x px, y px, visibility 0..1].
    landmarks_3d: (T, 33, 3) metres about the mid-hip, camera axes (x right, y down, z forward).
    seen: (T,) bool.
    image_size: (2,) [H, W] px.
    focal_length: () px.
    fps: () frames/s, the mean where the rate varies.
    times: (T,) float64 seconds of the video, increasing; i / fps if left out.
    shots: (S,) first frame of each shot, which begins with 0; one shot if left out.
    focal_length_source: "given" by the user, from the file's "metadata", from the "background", or "assumed".
    masks: (T, side, side) uint8 person masks, 255 = person, or None. They lie on squares of the frames.
    mask_to_frame: (T, 2, 3) affine maps from the masks' unit square to pixels of the frame, or None.
    flow: (T - 1, 2, 64, 64, 2) float16 optical flow from frame t to t + 1 and from t + 1 to t, or None. It
      leads from the pixels of the one frame's box, 64 x 64, to those of the other's.
    flow_valid: (T - 1, 2, 64, 64) bool, where the flow is known; elsewhere it is 0. Or None.
    flow_box: (T, 3) [centre x, centre y, size] px, the boxes, or None.
    first_frame: () the number of the clip's first frame among those read from the video.
    doubts: (D,) frames of the clip at which the person could not be told from others. Among everybody's tracks
      one ends there; that of a single person may go on with somebody else.
    features: (T, 2048) image features of the crops, see `hpof_jax.features`, or None.
    backbone: fingerprint of the ResNet-50 that made the features; "" if it is not known.
    background: points of the background in all frames that were read from the video, or None.
    """

    landmarks_2d: np.ndarray
    landmarks_3d: np.ndarray
    seen: np.ndarray
    image_size: np.ndarray
    focal_length: np.ndarray
    fps: np.ndarray
    # Never None once made.
    times: np.ndarray = None  # type: ignore[assignment]
    shots: np.ndarray = None  # type: ignore[assignment]
    focal_length_source: str = "assumed"
    masks: np.ndarray | Packed | None = None
    mask_to_frame: np.ndarray | None = None
    flow: np.ndarray | Packed | None = None
    flow_valid: np.ndarray | Packed | None = None
    flow_box: np.ndarray | None = None
    first_frame: int = 0
    doubts: np.ndarray | None = None
    features: np.ndarray | None = None
    backbone: str = ""
    background: Background | None = None

    def __post_init__(self):
        times = np.arange(len(self.seen)) / float(self.fps) if self.times is None else self.times
        object.__setattr__(self, "times", np.asarray(times, np.float64))
        object.__setattr__(self, "shots", np.zeros(1, int) if self.shots is None else np.asarray(self.shots))
        object.__setattr__(self, "focal_length_source", str(self.focal_length_source))
        object.__setattr__(self, "backbone", str(self.backbone))
        object.__setattr__(self, "first_frame", int(self.first_frame))
        object.__setattr__(self, "doubts", np.array([] if self.doubts is None else self.doubts, int))

    def __len__(self) -> int:
        return len(self.seen)

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """[start, stop) of each run of frames in which the person is not seen."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.seen, [True]])))
        return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]

    def save(self, path: str | pathlib.Path) -> None:
        """Writes an .npz file; if that fails, an existing file is kept.

        Raises:
          UserError: the file cannot be written.
        """
        arrays = {name: value for name, value in vars(self).items() if value is not None}
        if background := arrays.pop("background", None):
            arrays |= {f"background_{name}": value for name, value in vars(background).items()}
        with replacing(path, "The observations") as partial, partial.open("wb") as file:
            write_npz(file, arrays.items())

    @classmethod
    def load(cls, path: str | pathlib.Path, packed: bool = False) -> "Observations":
        """Reads what `save` wrote.

        Args:
          packed: masks and flow are compressed in memory.

        Raises:
          UserError: the file cannot be read, is damaged, or holds something else or numbers that are not finite.
        """
        kind = "a file of observations", "make it again from the video"
        names = {field.name for field in dataclasses.fields(cls)} | BACKGROUND
        names -= {*PACKED} if packed else set()
        arrays = read_arrays(path, *kind, names) | (read_packed(path, PACKED, *kind) if packed else {})
        with damage(path, *kind):
            arrays = checked(arrays)
            parts = {
                name.removeprefix("background_"): arrays.pop(name) for name in BACKGROUND & arrays.keys()
            }
            return cls(**arrays, background=Background(**parts) if parts else None)


def observe(
    video: str | os.PathLike | int,
    person: str | int = "largest",
    landmark_model: str = "full",
    max_frames: int | None = None,
    focal_length: float | None = None,
    progress: bool = True,
    keep_masks: bool = False,
    fps: float | None = None,
    keep_flow: bool = False,
    keep_background: bool = False,
    thin_to: float | None = None,
    start: float | None = None,
    end: float | None = None,
    net: BlazePose | None = None,
) -> Observations:
    """Observations of one person in `video`, at its own frame rate.

    Args:
      video, max_frames, fps, start, end: see `hpof_jax.observe.video.read_video`.
      person, landmark_model: see `hpof_jax.observe.person.PersonTracker`. The person is chosen again in each
        shot.
      focal_length: px. None: from the file's metadata, else `hpof_jax.geometry.camera.default_focal_length`.
      progress: show how far the work is, see `hpof_jax.progress`.
      keep_masks: also the person's masks.
      keep_flow: also DIS optical flow; `add_flow` replaces it by more accurate flow.
      keep_background: also points of the background, for `hpof_jax.observe.camera_motion`.
      thin_to: frames/s; use only every n-th frame, so that the rate comes closest to this.
      net: networks to use; None: new ones.

    Raises:
      UserError: the video cannot be read, the person is seen in no frame, or an argument is out of range.
    """
    frames, info = read_video(video, max_frames, fps, start, end)
    lens = find_lens(info, focal_length)
    if thin_to:
        frames, info = thin(frames, info, thin_to)
    tracker, times = PersonTracker(landmark_model, person, info.fps, net=net), []
    bar = shown(note_times(frames, times), "observing", info.frame_count, show=progress)
    keep: dict[str, Any] = dict(keep_flow=keep_flow, keep_background=keep_background, packed=True)
    found = track(bar, tracker, mask_side=MASK_SIDE if keep_masks else None, **keep)
    if not found["seen"].any():
        if not tracker.most_people:
            raise nobody(info.name, len(times))
        raise UserError(
            f"person {person} was not found in {info.name} ({len(times)} frames): at most {tracker.most_people} were "
            "seen at once; people are counted from the left, from 1"
        )
    if keep_masks:
        found["mask_to_frame"] = found["mask_to_frame"].astype(np.float32)
    times = frame_times(times, info.fps)
    rate, doubts = mean_rate(times, info.fps), np.unique(np.array(tracker.doubts, int))
    observations = Observations(**found, **lens, fps=rate, times=times, doubts=doubts)
    for start, stop in observations.gaps:
        logging.info("%s: the person is not seen in frames %d to %d", info.name, start, stop - 1)
    return observations


def mean_rate(times: np.ndarray, fps: float) -> np.float32:
    """The mean frame rate of frames at these times (T,) seconds; `fps` if there is only one."""
    return np.float32((len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else fps)


def add_flow(
    observations: Observations, forward: str | pathlib.Path, backward: str | pathlib.Path
) -> Observations:
    """The same clip with another program's optical flow between whole frames, such as RAFT's.

    Args:
      observations: of the whole video, without `thin_to`.
      forward: from each frame to the next: see `hpof_jax.observe.optical_flow.read_flow`.
      backward: from each frame but the first to the one before.

    Raises:
      UserError: the flow cannot be read, or is of another size or number of frames.
    """
    height, width = (int(side) for side in observations.image_size)
    fields = (
        optical_flow.read_flow(path, len(observations) - 1, (height, width)) for path in (forward, backward)
    )
    boxes = np.where(observations.seen[:, None], _boxes(observations.landmarks_2d), 0)
    found = optical_flow.flow_in_boxes(*fields, boxes, (height, width))
    across = observations.shots[1:] - 1  # there is no motion across a cut
    found["flow"][across], found["flow_valid"][across] = 0, False
    return dataclasses.replace(observations, **found)


def nobody(name: str, frames: int) -> UserError:
    """The error for a video in which nobody is found."""
    return UserError(
        f"no person was found in {name} ({frames} frames): "
        "a whole person should be in sight, at least a sixth of the image high"
    )


def note_times(frames: Frames, times: list[float]) -> Iterator[np.ndarray]:
    """The same frames; the time of each is appended to `times`."""
    for frame in frames:
        times.append(frames.time)
        yield frame
