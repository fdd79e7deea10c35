"""Real videos as a data source without ground truth: landmarks, optical flow and masks of the detector.

    videos = Videos("videos/")  # a folder and its subfolders, or one file

The detector runs once on each video; observations are cached. In memory they take about 60 KB a frame, 6 GB
an hour.
"""

import os
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import logging

from data_pipelines.feed import Batch
from data_pipelines.motion.clip import FPS
from data_pipelines.observed import augment as augmentation
from data_pipelines.observed.flow import stored_flow
from hpof_jax.errors import UserError
from hpof_jax.observe.cache import observe_cached
from hpof_jax.observe.clip import Observations

SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"))
OPTIONS = {
    "person": "largest",
    "landmark_model": "full",
    "thin_to": FPS,
    "keep_masks": True,
    "keep_flow": True,
}
# Videos are not resampled. At 24 or 25 frames/s they play a little fast, which does no harm.
LOWEST_RATE = 20


class Videos:
    """The observed source of the videos in a folder, or of one video; the person followed is the largest.

    Raises:
      UserError: nothing at the path, no video there, or none that can be used. As long as one can be used,
        the others are left out with a warning.
    """

    labelled, classes = False, frozenset(("video",))

    def __init__(self, path: str | os.PathLike):
        self._clips, self._files, failures = [], [], []
        for file in list_videos(pathlib.Path(path).expanduser()):
            try:
                self._clips.append(_read(file))
                self._files.append(file)
            except UserError as error:
                failures.append(str(error))
                logging.warning("Left out: %s", error)
        if not self._clips:
            raise UserError(f"No video of {path} can be used; the first: {failures[0]}")
        # Proportional to the square root of the length, as for recordings: one long video does not dominate.
        odds = np.sqrt([clip.seen.sum() for clip in self._clips])
        self._odds = odds / odds.sum()

    def draw_batch(
        self,
        rng: np.random.Generator,
        count: int,
        frames: int,
        augment: bool,
        flow_frames: int = 0,
        origins: list[str] | None = None,
    ) -> tuple[Batch, np.ndarray]:
        """Random windows, see `sources.ObservedSource`; each has a frame that shows the person.

        A window lies within one shot; one longer than its shot is padded. `augment` mirrors some windows and
        adds frames in which the person is not seen.
        """
        chosen = rng.choice(len(self._clips), size=count, p=self._odds)
        rows = [_draw_window(rng, self._clips[n], frames, min(flow_frames, frames)) for n in chosen]
        batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        first = batch.pop("first_frame")
        if augment:
            mirrored = rng.random(count) < augmentation.MIRROR_SHARE
            batch = augmentation.mirror_clips(batch, mirrored)
            if flow_frames:
                batch = augmentation.mirror_flow(batch, mirrored)
            batch = augmentation.drop_and_swap(rng, batch)
        batch = augmentation.clear_unseen_flow(batch) if flow_frames else batch
        if origins is not None:
            origins += [
                f"{self._files[n]}, {frames} frames from {start} on" for n, start in zip(chosen, first)
            ]
        return batch, np.full(count, "video")

    def windows(self, frames: int, max_frames: int | None) -> Iterator[tuple[list[Batch], str, str]]:
        """Nothing: videos have no ground truth."""
        return iter(())


def list_videos(path: pathlib.Path) -> list[pathlib.Path]:
    """The video files in a folder, or `path` itself if it is a file. Raises `UserError` if none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"There is no folder or video at {path}: give an existing one.")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise UserError(f"{path} has no video ({', '.join(sorted(SUFFIXES))}): give a folder that has one.")
    return files


def _read(video: pathlib.Path) -> Observations:
    clip = observe_cached(video, **OPTIONS)
    if len(clip) < 2:
        raise UserError(f"{video} has only one frame: give a video of at least two.")
    if clip.fps < LOWEST_RATE:
        raise UserError(f"{video} has only {clip.fps:.3g} frames/s: give one with {LOWEST_RATE} or more.")
    return clip


def _draw_window(rng: np.random.Generator, clip: Observations, frames: int, flow_frames: int) -> Batch:
    """A row of a batch: a window around a frame that shows the person, within its shot."""
    shown = rng.choice(np.flatnonzero(clip.seen))
    shot = np.searchsorted(clip.shots, shown, side="right")
    first, stop = clip.shots[shot - 1], [*clip.shots, len(clip)][shot]
    start = int(np.clip(shown - rng.integers(frames), first, max(stop - frames, first)))
    window = np.minimum(start + np.arange(frames), stop - 1)
    row = {
        "landmarks_2d": clip.landmarks_2d[window],
        "landmarks_3d": clip.landmarks_3d[window],
        "seen": clip.seen[window],
        "mask": start + np.arange(frames) < stop,
        "first_frame": np.array(start),
        "image_size": clip.image_size,
        "focal_length": clip.focal_length,
        "true_focal_length": clip.focal_length,
        "pose": np.zeros((frames, 24, 3), np.float32),
        "transl": np.zeros((frames, 3), np.float32),
        "betas": np.zeros(10, np.float32),
        "has_smpl": np.array(False),
        "has_3d": np.array(False),
    }
    return row | (stored_flow(rng.spawn(1)[0], clip, window, flow_frames) if flow_frames else {})
