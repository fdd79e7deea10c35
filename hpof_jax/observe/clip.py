"""A whole video as observations: the followed person's landmarks, frame by frame."""

import dataclasses
import pathlib
import zipfile
import zlib

import cv2
import jax
import numpy as np
from absl import logging
from tqdm import tqdm

from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.geometry import camera, temporal
from hpof_jax.observe import optical_flow
from hpof_jax.observe.blazepose import NUM_LANDMARKS
from hpof_jax.observe.person import PersonTracker
from hpof_jax.observe.video import read_video, thin

MASK_SIDE = 128

_boxes = jax.jit(camera.box_from_keypoints)


@dataclasses.dataclass(frozen=True, eq=False)
class Observations:
    """What was seen of one person in a clip of T frames; rows of frames where they were not seen are 0.

    landmarks_2d: (T, 33, 3) [x px, y px, visibility 0..1]; landmarks_3d: (T, 33, 3) metres about the mid-hip,
    camera axes (x right, y down, z forward); seen: (T,) bool; image_size: (2,) [H, W]; focal_length: ()
    assumed, px; fps: () frames/s; masks: (T, 128, 128) uint8 person masks, 255 = person, on squares of the
    image that mask_to_frame (T, 2, 3) maps from the unit square to pixels, or both None.

    flow: (T - 1, 2, 64, 64, 2) float16 optical flow from frame t to t + 1 and from t + 1 to t; it leads from the pixels
    of the one frame's box, 64 x 64, to those of the other's. flow_valid: (T - 1, 2, 64, 64) bool where to believe it;
    elsewhere it is 0. flow_box: (T, 3) [centre x, centre y, size] px of the boxes, 0 where the person was not seen.
    Or all three None.
    """

    landmarks_2d: np.ndarray
    landmarks_3d: np.ndarray
    seen: np.ndarray
    image_size: np.ndarray
    focal_length: np.ndarray
    fps: np.ndarray
    masks: np.ndarray | None = None
    mask_to_frame: np.ndarray | None = None
    flow: np.ndarray | None = None
    flow_valid: np.ndarray | None = None
    flow_box: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.seen)

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """[start, stop) of each run of frames in which the person was not seen."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.seen, [True]])))
        return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]

    def save(self, path: str | pathlib.Path) -> None:
        """Writes all of it to `path`, an .npz file; on any failure what was there stays."""
        arrays = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        with replacing(path, "The observations") as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "Observations":
        """Reads what `save` wrote; `UserError` if `path` is something else."""
        try:
            # Opened here, because NumPy leaves a damaged file open.
            with pathlib.Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                known = {field.name for field in dataclasses.fields(cls)}
                loaded = cls(**{name: file[name] for name in file.files if name in known})
        except OSError as error:
            raise UserError(f"the observations {path} cannot be read: {error.strerror or error}") from error
        except (AttributeError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{path} holds no observations of this program: make it again from the video"
            ) from error
        frames, side = loaded.seen.size, optical_flow.SIDE
        shapes = {
            "seen": (frames,),
            "landmarks_2d": (frames, NUM_LANDMARKS, 3),
            "landmarks_3d": (frames, NUM_LANDMARKS, 3),
            "flow": (frames - 1, 2, side, side, 2),
            "flow_valid": (frames - 1, 2, side, side),
            "flow_box": (frames, 3),
        }
        arrays = {name: getattr(loaded, name) for name in shapes}
        if any(array is not None and array.shape != shapes[name] for name, array in arrays.items()):
            raise UserError(f"{path} holds no observations of this program: make it again from the video")
        return loaded


def observe(
    video: str | pathlib.Path | int,
    person: str | int = "largest",
    landmark_model: str = "full",
    max_frames: int | None = None,
    focal_length: float | None = None,
    progress: bool = True,
    keep_masks: bool = False,
    fps: float | None = None,
    keep_flow: bool = False,
    thin_to: float | None = None,
) -> Observations:
    """Observations of one person in `video`, at its own frame rate.

    video, max_frames, fps: see `hpof_jax.observe.video.read_video`. person, landmark_model: see
    `hpof_jax.observe.person.PersonTracker`. focal_length: px; None: the image's diagonal, as CLIFF takes it
    (Li et al., ECCV 2022). progress: a bar, on a terminal only. keep_masks: the person's masks, too. keep_flow: optical
    flow, too; `add_flow` takes better one than is found here. thin_to: frames a second; look at every n-th frame alone,
    with the n that comes near it.

    Raises `UserError` if the video cannot be read or the person is seen in no frame.
    """
    if focal_length is not None and not (np.isfinite(focal_length) and focal_length > 0):
        raise UserError(f"the focal length {focal_length} makes no sense: give it in pixels, or leave it out")
    frames, info = read_video(video, max_frames, fps)
    if thin_to:
        frames, info = thin(frames, info, thin_to)
    tracker = PersonTracker(landmark_model, person, info.fps)
    landmarks_2d, landmarks_3d, masks, mask_to_frame = [], [], [], []
    nothing = np.zeros((NUM_LANDMARKS, 3), np.float32)
    seen, flow = [], optical_flow.FlowTracker()
    for frame in tqdm(frames, "watching", info.frame_count, unit="frame", disable=None if progress else True):
        pose = tracker(frame)
        seen.append(pose is not None)
        landmarks_2d.append(pose.landmarks_2d if pose else nothing)
        landmarks_3d.append(pose.landmarks_3d if pose else nothing)
        if keep_masks:
            mask = pose.mask if pose else np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
            masks.append(cv2.resize(mask, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA))
            mask_to_frame.append(pose.to_frame if pose else np.zeros((2, 3)))
        if keep_flow:
            flow(frame, np.asarray(_boxes(pose.landmarks_2d)) if pose else None)
    if not any(seen):
        raise UserError(_nobody(info.name, len(seen), person, tracker.most_people))
    observations = Observations(
        landmarks_2d=np.stack(landmarks_2d),
        landmarks_3d=np.stack(landmarks_3d),
        seen=np.array(seen),
        image_size=np.array(info.image_size, np.float32),
        focal_length=np.float32(focal_length or np.hypot(*info.image_size)),
        fps=np.float32(info.fps),
        masks=np.stack(masks) if keep_masks else None,
        mask_to_frame=np.stack(mask_to_frame).astype(np.float32) if keep_masks else None,
        **(flow.arrays() if keep_flow else {}),
    )
    for start, stop in observations.gaps:
        logging.info("%s: the person is not seen in frames %d to %d", info.name, start, stop - 1)
    return observations


def add_flow(
    observations: Observations, forward: str | pathlib.Path, backward: str | pathlib.Path
) -> Observations:
    """The same clip with optical flow that another program, such as RAFT, found in the same video's whole frames.

    forward: from each frame to the next; backward: from each frame but the first to the one before. See
    `hpof_jax.observe.optical_flow.read_flow` for the files, and for what raises `UserError`.
    """
    height, width = (int(side) for side in observations.image_size)
    fields = (
        optical_flow.read_flow(path, len(observations) - 1, (height, width)) for path in (forward, backward)
    )
    boxes = np.where(observations.seen[:, None], _boxes(observations.landmarks_2d), 0)
    return dataclasses.replace(observations, **optical_flow.flow_in_boxes(*fields, boxes, (height, width)))


def resample(observations: Observations, fps: float) -> Observations:
    """The same clip at another frame rate, linear in time between frames that both saw the person.

    To a lower rate, the frames around a moment are averaged (weights fall linearly, over one new frame to each side):
    taking every other frame would keep all of the detector's jitter. Within 1 % of the present rate the clip is
    returned as it is. Masks are the nearest frame's. Optical flow is dropped: between two moments that were not filmed
    there is none to be had.
    """
    rate = float(observations.fps)
    if abs(fps / rate - 1) <= 0.01:
        return observations
    position = temporal.positions(len(observations), rate, fps)
    lower, upper, weight = temporal.neighbours(position)
    seen = observations.seen[lower] & observations.seen[upper]
    nearest = np.where(weight > 0.5, upper, lower)
    frames, share = temporal.local_means(position, max(rate / fps, 1.0), observations.seen)

    def between(values: np.ndarray) -> np.ndarray:
        mean = np.einsum("nk,nk...->n...", share.astype(values.dtype), values[frames])
        return np.where(seen[:, None, None], mean, 0)

    def closest(values: np.ndarray | None) -> np.ndarray | None:
        return (
            None if values is None else np.where(seen[:, None, None], values[nearest], 0).astype(values.dtype)
        )

    return dataclasses.replace(
        observations,
        landmarks_2d=between(observations.landmarks_2d),
        landmarks_3d=between(observations.landmarks_3d),
        seen=seen,
        fps=np.float32(fps),
        masks=closest(observations.masks),
        mask_to_frame=closest(observations.mask_to_frame),
        flow=None,
        flow_valid=None,
        flow_box=None,
    )


def mask_in_square(mask: np.ndarray, mask_to_frame: np.ndarray, square: np.ndarray, side: int) -> np.ndarray:
    """(side, side) float32 mask in 0..1 of a square [centre x, centre y, size] px of the image, such as a
    person's box.

    mask, mask_to_frame: one frame's from `Observations`. Outside the mask's own square it is 0.
    """
    x, y, size = (float(value) for value in square)
    return _warp_mask(mask, mask_to_frame, size / side, (x - size / 2, y - size / 2), (side, side))


def mask_in_frame(mask: np.ndarray, mask_to_frame: np.ndarray, image_size: np.ndarray) -> np.ndarray:
    """(H, W) float32 mask in 0..1 of the whole image; see `mask_in_square`."""
    return _warp_mask(mask, mask_to_frame, 1.0, (0.0, 0.0), (int(image_size[0]), int(image_size[1])))


def _warp_mask(
    mask: np.ndarray,
    mask_to_frame: np.ndarray,
    step: float,
    corner: tuple[float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """The mask on a grid of `size` (rows, columns) pixels, `step` px of the image each, from `corner` [x, y]
    px on.
    """
    if not np.any(mask_to_frame):  # nobody was seen
        return np.zeros(size, np.float32)
    to_mask = np.linalg.inv(np.asarray(mask_to_frame, np.float64)[:, :2]) * len(mask)
    offset = (
        to_mask @ (np.add(corner, 0.5 * step) - mask_to_frame[:, 2]) - 0.5
    )  # OpenCV counts from pixel centres
    index_map = np.column_stack([to_mask * step, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask, index_map, size[::-1], flags=flags).astype(np.float32) / 255


def _nobody(name: str, frames: int, person: str | int, most_people: int) -> str:
    if most_people:
        return (
            f"person {person} was not found in {name} ({frames} frames): at most {most_people} were seen at once, "
            "and they are counted from the left, from 0"
        )
    return (
        f"no person was found in {name} ({frames} frames): "
        "one whole person should be in sight, at least a sixth of the picture high"
    )
