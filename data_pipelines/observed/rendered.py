"""Rendered clips that the real detector has watched: their files, and the source that the stream draws them from.

A folder that `python -m hpof_jax.data render` made holds `manifest.json` and one `clip_NNNNNN.npz` for each clip. A clip
has the keys of `hpof_jax.observe.clip.Observations`, which can load it, and the truth beside them: `pose (T, 24, 3)`,
`transl (T, 3)`, `betas (10,)`, `true_focal_length ()`, `joints (T, 24, 3)`; `true_masks (T, M, M)`, what is visible of the
dressed person on the squares of `masks`; `world_to_camera (T, 3, 4)` (world: y up, floor at y = 0); `window (3,)`, scale and
corner of `scene.Window`; and `name`, `motion_class`, `validation`.

With `--keep-flow` also what `Observations` says of optical flow, found by DIS in the window and rounded to sixteenths of a
pixel: 1.2 MB a clip instead of 0.26, and 5 MB in memory while it is trained with.
"""

import functools
import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from absl import logging

from data_pipelines.device import cpu
from data_pipelines.feed import Batch
from data_pipelines.observed import augment as watched
from data_pipelines.simulate.camera import landmarks
from hpof_jax.atomic import replacing
from hpof_jax.body.files import load_body
from hpof_jax.body.model import rest_joints
from hpof_jax.errors import UserError
from hpof_jax.geometry import temporal

PER_FRAME = frozenset(("landmarks_2d", "landmarks_3d", "seen", "mask", "pose", "transl"))
_READ = ("landmarks_2d", "landmarks_3d", "seen", "pose", "transl", "image_size", "focal_length", "true_focal_length",
         "betas")  # fmt: skip
LEAST_SEEN = 0.25  # a clip of which the detector saw a smaller share teaches nothing


def clip_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Where a clip of a collection is."""
    return folder / f"clip_{number:06d}.npz"


def write_clip(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a clip's file, all of it or nothing. Raises `UserError` where the folder cannot be written to."""
    with replacing(path, "The clip") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


class RenderedClips:
    """The clips of one folder and split, all of the same length.

    Raises:
      UserError: no such clip in the folder, or a damaged one.
    """

    kind, labelled = "rendered", True

    def __init__(self, folder: str | os.PathLike, split: str):
        self._folder = pathlib.Path(folder).expanduser()
        clips = list(self._read(split))
        if not clips:
            raise UserError(
                f"{self._folder} has no rendered clip in its {split} split: make some with python -m hpof_jax.data render."
            )
        self._arrays = {key: np.stack([clip[key] for clip in clips]) for key in _READ}
        self._cpu = cpu()
        with jax.default_device(self._cpu):
            self._body = jax.device_put(load_body(), self._cpu)
            self._pelvis = np.asarray(rest_joints(self._body, self._arrays["betas"]))[:, 0]
        self._paths = [clip["path"] for clip in clips]
        keeping = sum(clip["keeps_flow"] for clip in clips)
        self._keep_flow = keeping == len(clips)
        if 0 < keeping < len(clips):
            logging.warning("Not all clips of %s have kept their flow: it is made from the truth.", folder)
        self._classes = np.array([str(clip["motion_class"]) for clip in clips])

    @property
    def classes(self) -> set[str]:
        return set(self._classes.tolist())

    def draw(
        self, rng: np.random.Generator, count: int, frames: int, augment: bool, flow_frames: int = 0
    ) -> tuple[Batch, np.ndarray]:
        """Random windows as a batch (see `stream.make_stream`), and their motion classes (B,).

        `augment`: some in a mirror, at another speed, by a camera that is turned a little or of other people in poses a
        little different, and the detector fails more often than it did: it exchanges left and right for a while, or sees
        nobody (see `watched`). Windows longer than the clips are padded. `flow_frames`: of how many frames of each window
        there is flow and the detector's masks, as of `videos`, if the clips have kept any; `has_flow` is false where speed,
        camera or body are not those of the pictures.
        """
        chosen = rng.integers(len(self._classes), size=count)
        length = self._arrays["seen"].shape[1]
        speed = watched.draw_speeds(rng, count) if augment else np.ones(count)
        speed = np.where(speed * (frames - 1) <= length - 1, speed, 1.0)  # what is to be seen goes before
        room = np.maximum(length - 1 - speed * (frames - 1), 0)
        start = np.floor(rng.random(count) * (np.floor(room) + 1))
        positions = start[:, None] + speed[:, None] * np.arange(frames)
        batch = self._cut(chosen, positions)
        if augment:
            turns = watched.draw_turns(rng, batch)
            batch = watched.turned(batch, turns, self._pelvis[chosen])
            mirrored = rng.random(count) < watched.MIRRORED
            batch = watched.mirrored(batch, mirrored)
            pose, betas = watched.draw_bodies(rng, batch)
            batch = watched.reposed(batch, pose, betas, self._landmarks)
            batch = watched.fail(rng, batch)
        if flow_frames and self._keep_flow:
            batch |= self._flow(rng, chosen, positions, min(flow_frames, frames))
            kept = speed == 1
            if augment:
                kept &= np.abs(turns - np.eye(3)).max(axis=(1, 2)) < 1e-6
                kept &= (betas == self._arrays["betas"][chosen]).all(axis=1)
                batch = watched.mirrored_flow(batch, mirrored)
            batch = watched.only_seen(batch) | {"has_flow": kept, "has_mask": kept}
        return batch, self._classes[chosen]

    def _landmarks(self, *arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`simulate.landmarks` on the CPU, of eights of clips: every other number is compiled anew."""
        clips = len(arrays[0])
        rows = np.minimum(np.arange(-(-clips // 8) * 8), clips - 1)
        with jax.default_device(self._cpu):
            points, pelvis = landmarks(self._body, *(array[rows] for array in arrays))
        return np.asarray(points)[:clips], np.asarray(pelvis)[:clips]

    def windows(
        self, frames: int, max_frames: int | None
    ) -> Iterator[tuple[list[dict[str, np.ndarray]], str, str]]:
        """Each clip once: its consecutive windows as rows of a batch, its name and its motion class."""
        length = min(self._arrays["seen"].shape[1], max_frames or 2**31)
        for number, (path, kind) in enumerate(zip(self._paths, self._classes)):
            starts = np.arange(0, length, frames)
            batch = self._cut(np.full(len(starts), number), starts[:, None] + np.arange(frames))
            batch["mask"] &= starts[:, None] + np.arange(frames) < length
            yield (
                [{key: value[row] for key, value in batch.items()} for row in range(len(starts))],
                path.stem,  # many clips are of one motion file
                str(kind),
            )

    def _cut(self, clips: np.ndarray, positions: np.ndarray) -> Batch:
        """Clips (B,) at frames (B, T), fractions between two; those beyond a clip's end repeat its last frame with `mask`
        false."""
        length = self._arrays["seen"].shape[1]
        frames = np.minimum(positions, length - 1)
        low, high, _ = temporal.neighbours(frames)
        arrays = {
            key: array[clips[:, None], low] if key in PER_FRAME else array[clips]
            for key, array in self._arrays.items()
        }
        if (high > low).any():
            arrays["seen"] = arrays["seen"] & self._arrays["seen"][clips[:, None], high]
            for key in ("pose", "transl", "landmarks_2d", "landmarks_3d"):
                interpolate = temporal.nlerp if key == "pose" else temporal.linear
                rows = self._arrays[key].reshape(-1, *self._arrays[key].shape[2:])
                arrays[key] = np.float32(interpolate(rows, frames, clips[:, None] * length))
            for key in ("landmarks_2d", "landmarks_3d"):
                arrays[key] = np.where(arrays["seen"][..., None, None], arrays[key], np.float32(0))
        arrays["mask"] = positions <= length - 1
        return arrays | dict.fromkeys(("has_smpl", "has_3d"), np.full(len(clips), self.labelled))

    @functools.cached_property
    def _watched(self):
        """The clips as `Observations`, for their flow and masks."""
        from data_pipelines.observed.videos import Observations  # here, because it imports the detector

        return [Observations.load(path) for path in self._paths]

    def _flow(self, rng, clips: np.ndarray, positions: np.ndarray, count: int) -> Batch:
        from data_pipelines.observed.videos import kept_flow

        last = self._arrays["seen"].shape[1] - 1
        there = np.minimum(positions, last).astype(int)
        rows = [kept_flow(rng, self._watched[clip], row, count) for clip, row in zip(clips, there)]
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}

    def _read(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        for path in sorted(self._folder.glob("clip_*.npz")):
            try:
                with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                    if split != "all" and bool(file["validation"]) != (split == "validation"):
                        continue
                    clip = {key: file[key] for key in (*_READ, "motion_class")}
                    clip |= {"path": path, "keeps_flow": "flow" in file.files}
            except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
                raise UserError(
                    f"{path} is no rendered clip ({error}): delete it and render it again."
                ) from error
            if clip["seen"].mean() >= LEAST_SEEN:
                yield clip
