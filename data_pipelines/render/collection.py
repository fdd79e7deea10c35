"""Makes a folder of rendered clips: draws each clip, runs the detector on it, and writes both beside the ground truth.

A clip depends only on the options, the seed and its number. So a stopped run goes on where it stopped, and a larger
number of frames adds clips. `data_pipelines.observed.rendered` describes the files.
"""

import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import pathlib
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2
import numpy as np
import tqdm

from data_pipelines.motion.clip import FPS
from data_pipelines.observed.rendered import clip_path, write_clip
from data_pipelines.render.backdrop import list_pictures
from data_pipelines.render.film import FRAMES, VERSION, Film, make_film, motion_files
from data_pipelines.render.scene import Window
from hpof_jax import visualize
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.observe.blazepose import BlazePose, Pose
from hpof_jax.observe.crops import crop
from hpof_jax.observe.person import PersonTracker
from hpof_jax.observe.track import track

MASK_SIDE = 64
FLOW_STEPS = 16  # in a pixel; what is finer is noise and would not be compressed
PATIENCE = 30  # frames after which a clip is given up in which nobody has been found


@dataclasses.dataclass(frozen=True)
class Options:
    """What decides, besides its number, what is in a clip."""

    motions: tuple[str, ...]
    detector: str = "full"
    seed: int = 0
    pictures: str | None = None
    vary: bool = True
    keep_flow: bool = False
    frames: int = FRAMES


def make_clips(
    folder: str | os.PathLike,
    num_frames: int,
    options: Options,
    processes: int = 1,
    keep_video: bool = False,
    progress: bool = True,
) -> tuple[int, float]:
    """Makes the clips that `folder` lacks of those that hold `num_frames` frames together.

    Args:
      processes: how many work side by side, each on one thread.
      keep_video: the pictures, too, as a video beside each new clip.
      progress: a bar, on a terminal.

    Returns:
      the number of new clips, and the share of their frames in which the person was seen.

    Raises:
      UserError: flow of single frames, a motion source or picture folder without content, a folder made with other options or that cannot be
        written to.
    """
    if options.keep_flow and options.frames < 2:
        raise UserError("Clips of one frame have no flow to keep: leave --keep-flow or raise --clip-frames.")
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
    with bar, _workers(min(processes, len(missing))) as each:
        for number_seen in each(make, missing):
            seen += number_seen
            bar.update(options.frames)
    return len(missing), seen / max(len(missing) * options.frames, 1)


def make_clip(folder: pathlib.Path, options: Options, number: int, keep_video: bool = False) -> int:
    """Makes one clip's file and returns in how many frames the person was seen."""
    pictures = _pictures(options.pictures)
    film = make_film(options.seed, number, options.motions, pictures, options.frames, options.vary)
    kept: list[np.ndarray] = []
    if keep_video:
        film = dataclasses.replace(film, pictures=_keeping(film.pictures, kept))
    tracker = PersonTracker(options.detector, fps=FPS, net=_net(options.detector))
    observations = watch(film, tracker, options.keep_flow)
    if keep_video:
        visualize.record(kept, FPS, clip_path(folder, number).with_suffix(".mp4"))
    write_clip(clip_path(folder, number), observations | _truth(film))
    return int(observations["seen"].sum())


def watch(
    film: Film, tracker: Callable[[np.ndarray], Pose | None], keep_flow: bool = False
) -> dict[str, np.ndarray]:
    """What the tracker sees in a film, in pixels of the full frame, as `observe.clip.Observations` has it, and the true
    masks on the same squares. `keep_flow`: optical flow, too, if anybody is seen."""
    true_masks: list[np.ndarray] = []
    found = track(
        _keeping_masks(film.pictures, true_masks),
        tracker,
        mask_side=MASK_SIDE,
        keep_flow=keep_flow,
        find_cuts=False,
        stop=lambda seen: len(seen) > PATIENCE and not any(seen),
    )
    frames = len(film.shot.bones)
    del found["shots"]
    if not found["seen"].any():
        found = {key: _padded(rows, frames) for key, rows in found.items() if "flow" not in key}
    found["true_masks"] = np.zeros_like(found["masks"])
    for number in np.flatnonzero(found["seen"]):
        found["true_masks"][number] = _on_square(true_masks[number], found["mask_to_frame"][number])
    return _in_full_frame(found, film.shot.window) | {"fps": np.float32(FPS)}


def _in_full_frame(found: dict[str, np.ndarray], window: Window) -> dict[str, np.ndarray]:
    """What was found in the window, in pixels of the full frame."""
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


def _truth(film: Film) -> dict[str, np.ndarray]:
    shot = film.shot
    shift = -np.einsum("tij,j->ti", shot.to_camera, shot.camera)[..., None]
    return shot.ground_truth | {
        "world_to_camera": np.concatenate([shot.to_camera, shift], axis=-1).astype(np.float32),
        "window": np.float32([shot.window.scale, *shot.window.corner]),
        "name": np.array(film.name),
        "motion_class": np.array(film.motion_class),
        "validation": np.array(film.validation),
    }


def _on_square(mask: np.ndarray, to_frame: np.ndarray) -> np.ndarray:
    """A mask of the picture on the square that `to_frame` (2, 3) maps from the unit square."""
    fine = crop(mask, to_frame, (4 * MASK_SIDE, 4 * MASK_SIDE))
    return cv2.resize(fine, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)


def _keeping_masks(pictures: Iterator, masks: list[np.ndarray]) -> Iterator[np.ndarray]:
    for image, mask in pictures:
        masks.append(mask)
        yield image


def _padded(rows: np.ndarray, count: int) -> np.ndarray:
    """Zeros for the frames that were not looked at."""
    return np.concatenate([rows, np.zeros((count - len(rows), *rows.shape[1:]), rows.dtype)])


@functools.cache
def _net(detector: str) -> BlazePose:
    return BlazePose(detector, threads=1)


@functools.cache
def _pictures(folder: str | None) -> tuple[pathlib.Path, ...]:
    return tuple(list_pictures(folder)) if folder else ()


def _keeping(pictures: Iterator, kept: list[np.ndarray]) -> Iterator:
    for image, mask in pictures:
        kept.append(image)
        yield image, mask


def _open_collection(folder: pathlib.Path, options: Options) -> None:
    """Makes the folder with its manifest, or checks that what is in it was made in the same way."""
    manifest = folder / "manifest.json"
    files = motion_files(options.motions)
    wanted = dataclasses.asdict(options) | {"version": VERSION, "motion_files": files}
    wanted = json.loads(json.dumps(wanted))
    try:
        found = {**json.loads(manifest.read_text())} if manifest.exists() else None
        if found is None:
            folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"The folder {folder} cannot be used ({error}): give another one.") from error
    if found is None:
        with replacing(manifest, "The manifest") as partial:
            partial.write_text(json.dumps(wanted, indent=1) + "\n")
    elif found != wanted:
        changed = ", ".join(sorted(key for key in wanted if found.get(key) != wanted[key]))
        raise UserError(
            f"The clips in {folder} were made with another {changed}: give another folder, or the same options."
        )


@contextlib.contextmanager
def _workers(processes: int) -> Iterator[Callable]:
    """A `map` over so many processes, in this one if it is one."""
    if processes <= 1:
        yield map
        return
    # Each works on one thread, and on the CPU: an accelerator would be shared out among them for nothing.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ.update(threads | {"JAX_PLATFORMS": "cpu"})
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start_worker)
    try:
        yield pool.map
    except BrokenProcessPool as error:
        raise UserError(
            "A process was killed, probably for lack of memory: give fewer --processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    cv2.setNumThreads(1)
