"""Real videos as a source of clips without truth: landmarks, optical flow and masks as they were found.

    videos = Videos("videos/")  # a folder, searched in depth, or one file

Each is watched once (see `hpof_jax.observe.clip`); the observations stay in the user's cache folder. In memory they take
about 60 KB a frame, 6 GB an hour.
"""

import os
import pathlib

import numpy as np
from absl import logging

from data_pipelines.feed import Batch
from data_pipelines.motion.clip import FPS
from data_pipelines.observed.augment import MIRRORED, fail, mirrored, mirrored_flow, only_seen
from hpof_jax.errors import UserError
from hpof_jax.observe.cache import observe_cached
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.crops import mask_in_square
from hpof_jax.observe.optical_flow import SIDE

SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"))
OPTIONS = {
    "person": "largest",
    "landmark_model": "full",
    "thin_to": FPS,
    "keep_masks": True,
    "keep_flow": True,
}
# Frames are taken as they follow each other: at 24 or 25 a second people are a little fast, which is no harm, but not this.
LOWEST_RATE = 20


class Videos:
    """Windows of the videos in a folder, or of one; the person followed is the largest.

    Raises:
      UserError: nothing at the path, no video there, or none in which somebody is found. A video that cannot be used is
        left out with a warning as long as there is another.
    """

    kind, labelled, classes = "video", False, frozenset(("video",))

    def __init__(self, path: str | os.PathLike):
        self._clips, failures = [], []
        for file in list_videos(pathlib.Path(path).expanduser()):
            try:
                self._clips.append(_usable(observe_cached(file, **OPTIONS), file))
            except UserError as error:
                failures.append(str(error))
                logging.warning("Left out: %s", error)
        if not self._clips:
            raise UserError(f"No video of {path} can be learned from; the first: {failures[0]}")
        # As of recordings, by the root, so that one long video does not drown the rest.
        odds = np.sqrt([clip.seen.sum() for clip in self._clips])
        self._odds = odds / odds.sum()

    def draw(
        self, rng: np.random.Generator, count: int, frames: int, augment: bool, flow_frames: int
    ) -> tuple[Batch, np.ndarray]:
        """Random windows as a batch (see `stream.make_stream`), each with a frame that shows the person; and their classes.

        `augment`: some in a mirror, and in more frames nobody is seen. `flow_frames`: of how many frames of each window
        there is flow (see `true_flow.TrueFlow`); 0: none. Windows longer than their video are padded.
        """
        chosen = rng.choice(len(self._clips), size=count, p=self._odds)
        rows = [_window(rng, self._clips[number], frames, min(flow_frames, frames)) for number in chosen]
        batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        if augment:
            which = rng.random(count) < MIRRORED
            batch = mirrored(batch, which)
            if flow_frames:
                batch = mirrored_flow(batch, which)
            batch = fail(rng, batch)
        return only_seen(batch) if flow_frames else batch, np.full(count, "video")


def list_videos(path: pathlib.Path) -> list[pathlib.Path]:
    """The video files in a folder, or the one that `path` is. Raises `UserError` where there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"There is no folder or video at {path}: give an existing one.")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise UserError(f"{path} holds no video ({', '.join(sorted(SUFFIXES))}): give the folder of yours.")
    return files


def _usable(clip: Observations, video: pathlib.Path) -> Observations:
    if len(clip) < 2:
        raise UserError(f"{video} has one frame: give a video.")
    if clip.fps < LOWEST_RATE:
        raise UserError(
            f"{video} has only {clip.fps:.3g} frames a second: give one with {LOWEST_RATE} or more."
        )
    return clip


def _window(rng: np.random.Generator, clip: Observations, frames: int, flow_frames: int) -> Batch:
    """A row of a batch: a window around a frame that shows the person."""
    shown = rng.choice(np.flatnonzero(clip.seen))
    start = int(np.clip(shown - rng.integers(frames), 0, max(len(clip) - frames, 0)))
    there = np.minimum(start + np.arange(frames), len(clip) - 1)
    row = {
        "landmarks_2d": clip.landmarks_2d[there],
        "landmarks_3d": clip.landmarks_3d[there],
        "seen": clip.seen[there],
        "mask": start + np.arange(frames) < len(clip),
        "image_size": clip.image_size,
        "focal_length": clip.focal_length,
        "true_focal_length": clip.focal_length,
        "pose": np.zeros((frames, 24, 3), np.float32),
        "transl": np.zeros((frames, 3), np.float32),
        "betas": np.zeros(10, np.float32),
        "has_smpl": np.array(False),
        "has_3d": np.array(False),
    }
    return row | (kept_flow(rng, clip, there, flow_frames) if flow_frames else {})


def kept_flow(rng: np.random.Generator, clip: Observations, there: np.ndarray, count: int) -> Batch:
    """Flow and masks of `count` of the frames `there` (T,), where possible of the clip and not of the padding after it."""
    first = rng.integers(max(min(len(there), len(clip)) - count, 0) + 1)
    there = there[first : first + count]
    pairs = np.minimum(there[:-1], len(clip) - 2)
    squares = zip(clip.masks[there], clip.mask_to_frame[there], clip.flow_box[there])
    masks = np.stack([mask_in_square(*square, SIDE) for square in squares])
    return {
        "flow_first": np.int32(first),
        "flow_box": clip.flow_box[there],
        "flow": clip.flow[pairs],
        "flow_valid": clip.flow_valid[pairs],
        "masks": np.round(255 * masks).astype(np.uint8),
        "has_flow": np.array(True),
        "has_mask": np.array(True),
    }
