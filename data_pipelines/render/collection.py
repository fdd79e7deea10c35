"""Makes a collection of rendered clips: renders each clip, runs the detector on it, and writes its file.

A clip depends only on the options and its number. So a stopped run can be resumed, and more frames add clips.
`data_pipelines.observed.rendered` describes the files.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import tqdm

from data_pipelines.motion.clip import FPS
from data_pipelines.observed.manifest import open_folder
from data_pipelines.observed.rendered import clip_path, write_clip
from data_pipelines.render.backdrop import list_pictures
from data_pipelines.render.film import FRAMES, VERSION, Film, make_film, motion_files
from data_pipelines.render.scene import Window
from data_pipelines.sources import parse_spec
from data_pipelines.workers import parallel_map
from hpof_jax import interrupt, visualize
from hpof_jax.errors import UserError
from hpof_jax.observe.blazepose import BlazePose, Pose
from hpof_jax.observe.crops import crop
from hpof_jax.observe.person import PersonTracker
from hpof_jax.observe.track import track

MASK_SIDE = 64
FLOW_STEPS = 16  # per pixel, to which flow is rounded: finer steps are noise, which does not compress
PATIENCE = 30  # frames; a clip is given up if the person is not seen in the first ones


@dataclasses.dataclass(frozen=True)
class Options:
    """The options that, with its number, determine a clip. The manifest stores them."""

    motions: tuple[str, ...]  # specs of motion sources, see `data_pipelines.sources`
    landmark_model: str = "full"  # of the detector, or "heavy"
    seed: int = 0
    pictures: str | None = None  # a folder of photographs and videos for the background
    augment: bool = True  # augment the motion
    keep_flow: bool = False  # store optical flow
    frames: int = FRAMES  # in a clip
    camera_motion: str | None = None  # one of `camera_path.KINDS`


def make_clips(
    folder: str | os.PathLike,
    num_frames: int,
    options: Options,
    processes: int = 1,
    keep_video: bool = False,
    progress: bool = True,
) -> tuple[int, float]:
    """Makes the clips of a collection that are missing in `folder`.

    Args:
      num_frames: frames of the whole collection, rounded up to whole clips.
      processes: number of processes, each with one thread.
      keep_video: also write each new clip's pictures as a video.
      progress: whether to show a progress bar on a terminal.

    Returns:
      the number of new clips, and the share of their frames in which the detector sees the person.

    Raises:
      UserError: optical flow of clips of one frame, a source that has no motion, a motion source or
        picture folder without content, or a folder that was made with other options or cannot be written to.
    """
    if options.keep_flow and options.frames < 2:
        raise UserError("Clips of one frame have no optical flow: omit --keep-flow or raise --clip-frames.")
    for spec in options.motions:
        if parse_spec(spec).kind.group != "motion":
            raise UserError(
                f"'{spec}' holds no motion to render: give a source such as synthetic or bvh:PATH."
            )
    folder = pathlib.Path(folder).expanduser()
    _pictures(options.pictures)
    _open_collection(folder, options)
    count = -(-num_frames // options.frames)
    missing = [number for number in range(count) if not clip_path(folder, number).exists()]
    make = functools.partial(make_clip, folder, options, keep_video=keep_video)
    bar = tqdm.tqdm(
        total=count * options.frames,
        initial=(count - len(missing)) * options.frames,
        unit="frame",
        desc="rendering",
        disable=None if progress else True,
        dynamic_ncols=True,
    )
    seen = 0
    # Ctrl-C kills the other processes, which leaves their unfinished files.
    with (
        bar,
        interrupt.cleanup(lambda: _remove_unfinished(folder)),
        parallel_map(min(processes, len(missing))) as each,
    ):
        for number_seen in each(make, missing):
            seen += number_seen
            bar.update(options.frames)
    return len(missing), seen / max(len(missing) * options.frames, 1)


def make_clip(folder: pathlib.Path, options: Options, number: int, keep_video: bool = False) -> int:
    """Writes one clip's file, and returns in how many frames the detector sees the person."""
    pictures = _pictures(options.pictures)
    film = make_film(
        options.seed,
        number,
        options.motions,
        pictures,
        options.frames,
        options.augment,
        options.camera_motion,
    )
    tracker = PersonTracker(options.landmark_model, fps=FPS, net=_net(options.landmark_model))
    images: list[np.ndarray] | None = [] if keep_video else None
    moves = options.camera_motion is not None
    observations = observe_film(film, tracker, options.keep_flow, images, keep_background=moves)
    if keep_video:
        visualize.record(images, FPS, clip_path(folder, number).with_suffix(".mp4"))
    write_clip(clip_path(folder, number), observations | _ground_truth(film))
    return int(observations["seen"].sum())


def observe_film(
    film: Film,
    tracker: Callable[[np.ndarray], Pose | None],
    keep_flow: bool = False,
    images: list[np.ndarray] | None = None,
    keep_background: bool = False,
) -> dict[str, np.ndarray]:
    """Observations of a film in pixels of the full frame, and the true masks on the squares of the masks.

    Args:
      tracker: as `observe.track.track` takes it.
      keep_flow: also optical flow, if the person is seen at all.
      images: a list to which the pictures are appended.
      keep_background: also points of the background.

    Returns:
      the arrays of `observe.clip.Observations`, as it saves them, and true_masks (T, 64, 64) uint8. If nobody is seen in its
      first `PATIENCE` frames, the film is given up and counts as unseen.
    """
    true_masks: list[np.ndarray] = []
    found = track(
        _split(film.pictures, true_masks, images),
        tracker,
        mask_side=MASK_SIDE,
        keep_flow=keep_flow,
        keep_background=keep_background,
        find_cuts=False,
        stop=lambda seen: len(seen) > PATIENCE and not any(seen),
    )
    frames = len(film.shot.bones)
    del found["shots"]
    background = found.pop("background", None)
    if not found["seen"].any():
        found = {key: _padded(rows, frames) for key, rows in found.items() if "flow" not in key}
    found["true_masks"] = np.zeros_like(found["masks"])
    for number in np.flatnonzero(found["seen"]):
        found["true_masks"][number] = _mask_on_square(true_masks[number], found["mask_to_frame"][number])
    found = _in_full_frame(found, film.shot.window) | {"fps": np.float32(FPS)}
    if background is not None:
        points = film.shot.window.to_frame(background.points).astype(np.float32)
        found |= {
            f"background_{name}": array for name, array in (vars(background) | {"points": points}).items()
        }
    return found


def _in_full_frame(found: dict[str, np.ndarray], window: Window) -> dict[str, np.ndarray]:
    """Converts observations from pixels of the window to pixels of the full frame."""
    points, to_frame, seen = found["landmarks_2d"], found["mask_to_frame"], found["seen"][:, None]
    points[..., :2] = np.where(seen[..., None], window.to_frame(points[..., :2]), 0)
    to_frame[..., :2] /= window.scale
    to_frame[..., 2] = np.where(seen, window.to_frame(to_frame[..., 2]), 0)
    found["mask_to_frame"] = to_frame.astype(np.float32)
    if "flow" in found:
        found["flow"] = np.round(FLOW_STEPS * found["flow"]) / np.float16(FLOW_STEPS)
        box = found["flow_box"]
        box[:, :2] = np.where(seen, window.to_frame(box[:, :2]), 0)
        box[:, 2] /= window.scale
    return found


def _ground_truth(film: Film) -> dict[str, np.ndarray]:
    shot = film.shot
    shift = -np.einsum("tij,tj->ti", shot.to_camera, shot.positions)[..., None]
    return shot.ground_truth | {
        "world_to_camera": np.concatenate([shot.to_camera, shift], axis=-1).astype(np.float32),
        "window": np.float32([shot.window.scale, *shot.window.corner]),
        "name": np.array(film.name),
        "motion_class": np.array(film.motion_class),
        "validation": np.array(film.validation),
    }


def _mask_on_square(mask: np.ndarray, to_frame: np.ndarray) -> np.ndarray:
    """A mask (H, W) of the window on the square that `to_frame` (2, 3) maps from the unit square."""
    fine = crop(mask, to_frame, (4 * MASK_SIDE, 4 * MASK_SIDE))
    return cv2.resize(fine, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)


def _split(
    pictures: Iterator[tuple[np.ndarray, np.ndarray]],
    masks: list[np.ndarray],
    images: list[np.ndarray] | None,
) -> Iterator[np.ndarray]:
    """The images of (image, mask) pairs; masks, and images if a list is given, are collected on the way."""
    for image, mask in pictures:
        masks.append(mask)
        if images is not None:
            images.append(image)
        yield image


def _padded(rows: np.ndarray, count: int) -> np.ndarray:
    """The rows, padded with zeros to `count` rows for the frames that were given up."""
    return np.concatenate([rows, np.zeros((count - len(rows), *rows.shape[1:]), rows.dtype)])


@functools.cache
def _net(landmark_model: str) -> BlazePose:
    return BlazePose(landmark_model, threads=1)


@functools.cache
def _pictures(folder: str | None) -> tuple[pathlib.Path, ...]:
    return tuple(list_pictures(folder)) if folder else ()


def _open_collection(folder: pathlib.Path, options: Options) -> None:
    """Makes the folder and its manifest, or checks that its manifest has the same options and version."""
    files = motion_files(options.motions)
    wanted = dataclasses.asdict(options) | {"version": VERSION, "motion_files": files}
    if options.camera_motion is None:  # as in collections that were made before there was this option
        del wanted["camera_motion"]
    open_folder(folder, wanted)


def _remove_unfinished(folder: pathlib.Path) -> None:
    for path in folder.glob(".clip_*.part.*"):
        path.unlink(missing_ok=True)
