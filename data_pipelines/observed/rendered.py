"""Rendered clips on which the detector has been run: their files, and the data source that reads them.

`python -m hpof_jax.data render` writes a folder with `manifest.json` and one `clip_NNNNNN.npz` per clip. A
clip has the keys of `hpof_jax.observe.clip.Observations`, which can load it, and ground truth:
`pose (T, 24, 3)`, `transl (T, 3)`, `joints (T, 24, 3)` in the camera frame, `betas (10,)`,
`true_focal_length ()`; `true_masks (T, M, M)`, the visible part of the dressed person on the squares of
`masks`; `world_to_camera (T, 3, 4)` from the world (y up, floor at y = 0); `window (3,)`, scale and corner of
`render.scene.Window`; `name`, `motion_class`, `validation`.

With `--keep-flow` a clip also has the optical flow of `Observations`, computed by DIS in the window and
rounded to sixteenths of a pixel: 1.2 MB per clip instead of 0.26, and 5 MB in memory during training.
"""

import collections
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from absl import logging

from data_pipelines.device import cpu
from data_pipelines.feed import Batch
from data_pipelines.motion.windows import frames_text
from data_pipelines.observed import augment as augmentation
from data_pipelines.observed.flow import stored_flow
from data_pipelines.simulate.camera import landmarks
from hpof_jax.archives import check_array, damage, open_archive
from hpof_jax.atomic import replacing
from hpof_jax.body.files import load_body
from hpof_jax.body.model import rest_joints
from hpof_jax.errors import UserError
from hpof_jax.geometry import temporal
from hpof_jax.observe.clip import Observations

PER_FRAME = frozenset(("landmarks_2d", "landmarks_3d", "seen", "mask", "pose", "transl"))
LEAST_SEEN = 0.25  # clips in which the detector sees the person in fewer of the frames are left out
_PER_CLIP = ("image_size", "focal_length", "true_focal_length", "betas")
_KEYS = (*sorted(PER_FRAME - {"mask"}), *_PER_CLIP)
_SHAPES = {"landmarks_2d": (33, 3), "landmarks_3d": (33, 3), "seen": (), "pose": (24, 3), "transl": (3,)}
_SHAPES |= {"image_size": (2,), "focal_length": (), "true_focal_length": (), "betas": (10,)}
_POSITIVE = ("image_size", "focal_length", "true_focal_length")
_JITTED_CLIPS = 8  # clips are padded to a multiple of this: any other number needs a compilation


def clip_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """The file of a clip of a collection."""
    return folder / f"clip_{number:06d}.npz"


def write_clip(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a clip's file atomically. Raises `UserError` if that fails."""
    with replacing(path, "The clip") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


class RenderedClips:
    """The observed source of one folder and split; all clips have the same length.

    Damaged clips, and those of another length than most, are left out with a warning.

    Raises:
      UserError: no clip of the split in the folder, or none that can be read.
    """

    labelled = True

    def __init__(self, folder: str | os.PathLike, split: str):
        self._folder = pathlib.Path(folder).expanduser()
        clips = _read(self._folder, split)
        if not clips:
            raise UserError(
                f"{self._folder} has no rendered clip in its {split} split: "
                "make some with python -m hpof_jax.data render."
            )
        self._arrays = {key: np.stack([clip[key] for clip in clips]) for key in _KEYS}
        self._length = self._arrays["seen"].shape[1]
        self._classes = np.array([str(clip["motion_class"]) for clip in clips])
        self._paths = [clip["path"] for clip in clips]
        with jax.default_device(cpu()):
            self._body = jax.device_put(load_body(), cpu())
            self._pelvis = np.asarray(rest_joints(self._body, self._arrays["betas"]))[:, 0]
        with_flow = sum(clip["has_flow"] for clip in clips)
        self._has_flow = with_flow == len(clips)
        if 0 < with_flow < len(clips):
            logging.warning(
                "Not all clips of %s store optical flow: it is computed from the ground truth.", folder
            )

    @property
    def classes(self) -> set[str]:
        return set(self._classes.tolist())

    def draw_batch(
        self,
        rng: np.random.Generator,
        count: int,
        frames: int,
        augment: bool,
        flow_frames: int = 0,
        origins: list[str] | None = None,
    ) -> tuple[Batch, np.ndarray]:
        """Random windows, see `sources.ObservedSource`; windows longer than the clips are padded.

        `augment` changes speed, camera, side and body of some windows, and adds failures of the detector, see
        `observed.augment`. `has_flow` is false where speed, camera or body differ from those of the pictures.
        """
        chosen = rng.integers(len(self._classes), size=count)
        speed, positions = self._draw_positions(rng, count, frames, augment)
        batch = self._read_windows(chosen, positions)
        as_filmed = speed == 1
        if augment:
            turns = augmentation.draw_turns(rng, batch)
            batch = augmentation.turn_camera(batch, turns, self._pelvis[chosen])
            mirrored = rng.random(count) < augmentation.MIRROR_SHARE
            batch = augmentation.mirror_clips(batch, mirrored)
            pose, betas = augmentation.draw_bodies(rng, batch)
            batch = augmentation.replace_bodies(batch, pose, betas, self._landmarks)
            batch = augmentation.drop_and_swap(rng, batch)
            as_filmed &= np.abs(turns - np.eye(3)).max(axis=(1, 2)) < 1e-6
            as_filmed &= (betas == self._arrays["betas"][chosen]).all(axis=1)
        if flow_frames and self._has_flow:
            batch |= self._stored_flow(rng.spawn(1)[0], chosen, positions, min(flow_frames, frames))
            if augment:
                batch = augmentation.mirror_flow(batch, mirrored)
            as_filmed &= batch["has_flow"]
            batch = augmentation.clear_unseen_flow(batch) | {"has_flow": as_filmed, "has_mask": as_filmed}
        if origins is not None:
            shown = np.minimum(positions, self._length - 1)
            origins += [f"{self._paths[n]}, {frames_text(row)}" for n, row in zip(chosen, shown)]
        return batch, self._classes[chosen]

    def windows(self, frames: int, max_frames: int | None) -> Iterator[tuple[list[Batch], str, str]]:
        """Every clip once: its consecutive windows as rows of a batch, its name and its motion class."""
        length = min(self._length, max_frames or self._length)
        positions = np.arange(-(-length // frames) * frames).reshape(-1, frames)
        for number, (path, motion_class) in enumerate(zip(self._paths, self._classes)):
            batch = self._read_windows(np.full(len(positions), number), positions)
            batch["mask"] &= positions < length
            rows = [{key: value[row] for key, value in batch.items()} for row in range(len(positions))]
            # The name of the clip's file, because many clips show motion of the same file.
            yield rows, path.stem, str(motion_class)

    def _draw_positions(
        self, rng: np.random.Generator, count: int, frames: int, augment: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Speeds (B,), and fractional frame numbers (B, T), which may lie beyond the clip's end."""
        speed = augmentation.draw_speeds(rng, count) if augment else np.ones(count)
        speed = np.where(speed * (frames - 1) <= self._length - 1, speed, 1.0)  # else the clip is too short
        room = np.maximum(self._length - 1 - speed * (frames - 1), 0)
        start = np.floor(rng.random(count) * (np.floor(room) + 1))
        return speed, start[:, None] + speed[:, None] * np.arange(frames)

    def _read_windows(self, clips: np.ndarray, positions: np.ndarray) -> Batch:
        """Clips (B,) at frame numbers (B, T); beyond a clip's end the last frame is repeated, `mask` false."""
        frames = np.minimum(positions, self._length - 1)
        low, high, _ = temporal.neighbours(frames)
        batch = {
            key: array[clips[:, None], low] if key in PER_FRAME else array[clips]
            for key, array in self._arrays.items()
        }
        if (high > low).any():
            batch["seen"] = batch["seen"] & self._arrays["seen"][clips[:, None], high]
            for key in ("pose", "transl", "landmarks_2d", "landmarks_3d"):
                interpolate = temporal.nlerp if key == "pose" else temporal.linear
                rows = self._arrays[key].reshape(-1, *self._arrays[key].shape[2:])
                batch[key] = np.float32(interpolate(rows, frames, clips[:, None] * self._length))
            for key in ("landmarks_2d", "landmarks_3d"):
                batch[key] = np.where(batch["seen"][..., None, None], batch[key], np.float32(0))
        batch["mask"] = positions <= self._length - 1
        return batch | dict.fromkeys(("has_smpl", "has_3d"), np.full(len(clips), self.labelled))

    def _landmarks(self, *body_arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`simulate.landmarks` on the CPU."""
        clips = len(body_arrays[0])
        rows = np.minimum(np.arange(-(-clips // _JITTED_CLIPS) * _JITTED_CLIPS), clips - 1)
        with jax.default_device(cpu()):
            points, pelvis = landmarks(self._body, *(array[rows] for array in body_arrays))
        return np.asarray(points)[:clips], np.asarray(pelvis)[:clips]

    @functools.cached_property
    def _observations(self) -> list[Observations | None]:
        """The observations of each clip, for optical flow and masks, read at first use; None: damaged."""
        found = []
        for path in self._paths:
            try:
                clip = Observations.load(path)
                if clip.flow is None or clip.masks is None or len(clip) != self._length:
                    raise UserError(
                        f"{path} has no flow and masks of its frames: delete it and render it again."
                    )
                found.append(clip)
            except UserError as error:
                logging.warning("Its optical flow is left out: %s", error)
                found.append(None)
        if not any(found):
            raise UserError(f"No optical flow of {self._folder} can be read: render the clips again.")
        return found

    def _stored_flow(
        self, rng: np.random.Generator, clips: np.ndarray, positions: np.ndarray, count: int
    ) -> Batch:
        """`stored_flow` of each window; clips whose flow is damaged get another clip's, and `has_flow` false."""
        frames = np.minimum(positions, self._length - 1).astype(int)
        spare = next(clip for clip in self._observations if clip is not None)
        found = [self._observations[clip] for clip in clips]
        rows = [
            stored_flow(rng, clip or spare, row, count) | {"has_flow": np.array(clip is not None)}
            for clip, row in zip(found, frames)
        ]
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def _read(folder: pathlib.Path, split: str) -> list[dict[str, np.ndarray]]:
    """The arrays of each clip of the split that shows the person often enough, by number."""
    clips, failures = [], []
    for path in sorted(folder.glob("clip_*.npz")):
        try:
            clips.append(_read_clip(path))
        except UserError as error:
            failures.append(str(error))
    lengths = collections.Counter(len(clip["seen"]) for clip in clips)
    length = max(lengths, key=lengths.__getitem__, default=0)
    for clip in clips:
        if len(clip["seen"]) != length:
            failures.append(f"{clip['path']} has {len(clip['seen'])} frames instead of {length}: delete it.")
    for sentence in failures:
        logging.warning("Left out: %s", sentence)
    if failures and not clips:
        raise UserError(f"No rendered clip of {folder} can be read; the first: {failures[0]}")
    return [
        clip
        for clip in clips
        if len(clip["seen"]) == length
        and (split == "all" or clip["validation"] == (split == "validation"))
        and clip["seen"].mean() >= LEAST_SEEN
    ]


def _read_clip(path: pathlib.Path) -> dict[str, np.ndarray]:
    kind = "a rendered clip", "delete it and render it again"
    names = (*_KEYS, "motion_class", "validation")
    with open_archive(path, *kind) as archive, damage(path, *kind):
        clip = archive.arrays(names)
        if missing := set(names) - clip.keys():
            raise ValueError(f"it has no '{min(missing)}'")
        frames = clip["seen"].shape[:1]
        for key, shape in _SHAPES.items():
            kinds = "b" if key == "seen" else "fiu"
            check_array(key, clip[key], (*frames, *shape) if key in PER_FRAME else shape, kinds)
        check_array("motion_class", clip["motion_class"], (), "U")
        check_array("validation", clip["validation"], (), "b")
        if not clip["seen"].size or any((clip[key] <= 0).any() for key in _POSITIVE):
            raise ValueError("it has no frame, or a size that is not positive")
        return clip | {"path": path, "has_flow": "flow.npy" in archive.members}
