"""Rendered clips that the real detector has watched: their files, and the source that the stream draws them from.

A folder that `python -m hpof_jax.data render` made holds `manifest.json` and one `clip_NNNNNN.npz` for each clip. A clip
has the keys of `hpof_jax.observe.clip.Observations`, which can load it, and the truth beside them: `pose (T, 24, 3)`,
`transl (T, 3)`, `betas (10,)`, `true_focal_length ()`, `joints (T, 24, 3)`; `true_masks (T, M, M)`, what is visible of the
dressed person on the squares of `masks`; `world_to_camera (T, 3, 4)` (world: y up, floor at y = 0); `window (3,)`, scale and
corner of `scene.Window`; and `name`, `motion_class`, `validation`.
"""

import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from data_pipelines.augment import mirror
from data_pipelines.detector import SWAP_GROUPS
from data_pipelines.feed import Batch
from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR
from hpof_jax.errors import UserError
from hpof_jax.files import replacing

PER_FRAME = frozenset(("landmarks_2d", "landmarks_3d", "seen", "mask", "pose", "transl"))
_READ = ("landmarks_2d", "landmarks_3d", "seen", "pose", "transl", "image_size", "focal_length", "true_focal_length",
         "betas")  # fmt: skip
LEAST_SEEN = 0.25  # a clip of which the detector saw a smaller share teaches nothing
MIRRORED = 0.5  # share of the windows
# Events a frame and how many frames they last. Renderings hardly show the swaps of left and right that last for a second.
SWAP_RATE, SWAP_FRAMES = 0.003, (5, 40)
DROP_RATE, DROP_FRAMES = 0.0012, (1, 15)


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
        self._names = [str(clip["name"]) for clip in clips]
        self._classes = np.array([str(clip["motion_class"]) for clip in clips])

    @property
    def classes(self) -> set[str]:
        return set(self._classes.tolist())

    def draw(
        self, rng: np.random.Generator, count: int, frames: int, augment: bool
    ) -> tuple[Batch, np.ndarray]:
        """Random windows as a batch (see `stream.make_stream`), and their motion classes (B,).

        `augment`: some in a mirror, and the detector fails more often than it did: it exchanges left and right for a
        while, or sees nobody. Windows longer than the clips are padded.
        """
        chosen = rng.integers(len(self._classes), size=count)
        length = self._arrays["seen"].shape[1]
        start = rng.integers(max(length - frames, 0) + 1, size=count)
        batch = self._cut(chosen, start[:, None] + np.arange(frames))
        if augment:
            batch = fail(rng, mirrored(batch, rng.random(count) < MIRRORED))
        return batch, self._classes[chosen]

    def windows(
        self, frames: int, max_frames: int | None
    ) -> Iterator[tuple[list[dict[str, np.ndarray]], str, str]]:
        """Each clip once: its consecutive windows as rows of a batch, its name and its motion class."""
        length = min(self._arrays["seen"].shape[1], max_frames or 2**31)
        for number, (name, kind) in enumerate(zip(self._names, self._classes)):
            starts = np.arange(0, length, frames)
            batch = self._cut(np.full(len(starts), number), starts[:, None] + np.arange(frames))
            batch["mask"] &= starts[:, None] + np.arange(frames) < length
            yield (
                [{key: value[row] for key, value in batch.items()} for row in range(len(starts))],
                name,
                str(kind),
            )

    def _cut(self, clips: np.ndarray, positions: np.ndarray) -> Batch:
        """Clips (B,) at frames (B, T); those beyond a clip's end repeat its last frame with `mask` false."""
        length = self._arrays["seen"].shape[1]
        frames = np.minimum(positions, length - 1)
        batch = {
            key: array[clips[:, None], frames] if key in PER_FRAME else array[clips]
            for key, array in self._arrays.items()
        }
        batch["mask"] = positions < length
        return batch | dict.fromkeys(("has_smpl", "has_3d"), np.full(len(clips), self.labelled))

    def _read(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        for path in sorted(self._folder.glob("clip_*.npz")):
            try:
                with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                    if split != "all" and bool(file["validation"]) != (split == "validation"):
                        continue
                    clip = {key: file[key] for key in (*_READ, "name", "motion_class")}
            except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
                raise UserError(
                    f"{path} is no rendered clip ({error}): delete it and render it again."
                ) from error
            if clip["seen"].mean() >= LEAST_SEEN:
                yield clip


def mirrored(batch: Batch, chosen: np.ndarray) -> Batch:
    """The batch with some clips, (B,) bool, as a mirror shows them: truth and observations alike."""
    pose, transl = mirror(batch["pose"], batch["transl"])
    points = batch["landmarks_2d"][:, :, BLAZEPOSE_MIRROR].copy()
    points[..., 0] = (batch["image_size"][:, 1, None, None] - points[..., 0]) * batch["seen"][..., None]
    world = batch["landmarks_3d"][:, :, BLAZEPOSE_MIRROR] * np.float32([-1, 1, 1])
    changed = {"pose": pose, "transl": transl, "landmarks_2d": points, "landmarks_3d": world}
    select = {key: chosen.reshape(-1, *[1] * (value.ndim - 1)) for key, value in changed.items()}
    return batch | {
        key: np.where(select[key], value, batch[key]).astype(np.float32) for key, value in changed.items()
    }


def fail(rng: np.random.Generator, batch: Batch) -> Batch:
    """The batch with further failures of the detector: left and right exchanged, and frames in which nobody is seen.

    Nothing is exchanged in clips without `has_3d`: their landmarks are also what is to be learned.
    """
    shape = batch["seen"].shape
    group = events(rng, shape, SWAP_RATE, SWAP_FRAMES, len(SWAP_GROUPS))
    group = np.where(batch["has_3d"][:, None], group, -1)
    swapped = np.concatenate([SWAP_GROUPS, np.zeros((1, 33), bool)])[group][..., None]
    seen = batch["seen"] & (events(rng, shape, DROP_RATE, DROP_FRAMES, 1) < 0)
    points = {}
    for key in ("landmarks_2d", "landmarks_3d"):
        exchanged = np.where(swapped, batch[key][:, :, BLAZEPOSE_MIRROR], batch[key])
        points[key] = np.where(seen[..., None, None], exchanged, np.float32(0))
    return batch | points | {"seen": seen}


def events(
    rng: np.random.Generator, shape: tuple[int, int], rate: float, frames: tuple[int, int], kinds: int
) -> np.ndarray:
    """Random events in clips, (B, T): which of `kinds` is under way in a frame, or -1; `frames` bounds their lengths."""
    state = np.full(shape, -1)
    for clip, start in zip(*np.nonzero(rng.random(shape) < rate)):
        state[clip, start : start + rng.integers(frames[0], frames[1] + 1)] = rng.integers(kinds)
    return state
