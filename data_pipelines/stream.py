"""The training stream: tf.data batches of simulated clips, each a function of (seed, process index, step) alone.

    stream = make_stream({"synthetic": 0.5, "bvh:recordings/": 0.5}, batch_size=64, clip_length=81, seed=0)

A resumed run passes the step it stopped at as `start_step` and sees the very batches it would have seen. The
simulation runs in JAX on the CPU, whatever accelerator the training step uses; TensorFlow only moves the batches.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np

from data_pipelines import motion, synthetic
from data_pipelines.augment import Augmentation, draw_positions, read_at
from data_pipelines.augment import augment as vary
from data_pipelines.feed import Batch, as_dataset
from data_pipelines.motion import MotionClip
from data_pipelines.simulate import CameraRange, DetectorNoise, simulate
from hpof_jax.body.files import load_body
from hpof_jax.body.model import BodyModel
from hpof_jax.errors import UserError

SYNTHETIC = "synthetic"
BETAS_LIMIT = 2.0


def make_stream(
    sources: Mapping[str, float],
    batch_size: int,
    clip_length: int,
    seed: int,
    *,
    split: str = "train",
    process_index: int = 0,
    process_count: int = 1,
    start_step: int = 0,
    augment: bool = True,
    noise: DetectorNoise = DetectorNoise(),  # noqa: B008 (frozen)
    body: BodyModel | None = None,
):
    """An endless tf.data.Dataset of batches.

    Args:
      sources: source -> share of the clips. "synthetic", "bvh:FOLDER", "amass:FOLDER" or "tfds:FOLDER".
      batch_size: clips in a batch of this process (B). clip_length: frames in a clip (T).
      seed: with it, process_index and the step, a batch is determined.
      split: "train" or "validation" files.
      start_step: the step of the first batch.
      augment: whether motions are varied (see `augment`).
      noise: the simulated detector's errors. body: the body that moves; None: the free body.

    Returns:
      dicts of float32 (`bool` for seen, mask, has_*; int32 for motion_class): landmarks_2d (B, T, 33, 3),
      landmarks_3d (B, T, 33, 3), seen (B, T), mask (B, T), image_size (B, 2), focal_length (B,), true_focal_length
      (B,), betas (B, 10), pose (B, T, 24, 3) and transl (B, T, 3) in the camera frame, has_smpl (B,), has_3d (B,),
      motion_class (B,), which indexes `stream_classes(sources, split)`.

    Raises:
      UserError: an unknown source, shares that are not positive, or a source without a clip in this split.
    """
    if not 0 <= process_index < process_count:
        raise UserError(
            f"process_index {process_index} is not below process_count {process_count}: correct them."
        )
    make = batch_maker(sources, batch_size, clip_length, seed, split, process_index, augment, noise, body)
    return as_dataset(make, start_step)


def batch_maker(
    sources: Mapping[str, float],
    batch_size: int,
    clip_length: int,
    seed: int,
    split: str = "train",
    process_index: int = 0,
    augment: bool = True,
    noise: DetectorNoise = DetectorNoise(),  # noqa: B008
    body: BodyModel | None = None,
) -> Callable[[int], Batch]:
    """The function step -> batch behind `make_stream`; no TensorFlow in it."""
    drawers, shares = _open(sources, split)
    names = _class_names(drawers)
    film = _Filming(body, noise)
    options = Augmentation() if augment else None

    def make(step: int) -> Batch:
        rng = np.random.default_rng((seed, process_index, step))
        chosen = rng.choice(len(drawers), size=batch_size, p=shares)
        parts = [d.draw(rng, int(np.sum(chosen == i)), clip_length, options) for i, d in enumerate(drawers)]
        shuffle = rng.permutation(batch_size)
        windows = _Windows(*(np.concatenate(columns)[shuffle] for columns in zip(*parts, strict=True)))
        pose, transl = windows.pose, windows.transl
        if options:
            pose, transl = vary(rng, pose, transl, options)
        betas = np.clip(rng.normal(size=(batch_size, 10)), -BETAS_LIMIT, BETAS_LIMIT)
        betas = np.where(np.isnan(windows.betas), betas, windows.betas)
        batch = film(rng.integers(2**31), pose, transl, betas)
        batch["mask"] = np.ones((batch_size, clip_length), bool)
        batch["motion_class"] = np.array([names.index(c) for c in windows.motion_class], np.int32)
        return batch

    return make


def stream_classes(sources: Mapping[str, float], split: str = "train") -> tuple[str, ...]:
    """Names of the motion classes, in the order that `motion_class` counts."""
    return _class_names(_open(sources, split)[0])


def validation_windows(
    sources: Mapping[str, float],
    clip_length: int,
    seed: int,
    *,
    split: str = "validation",
    batch_size: int = 16,
    max_frames: int | None = None,
    synthetic_clips: int = 64,
    noise: DetectorNoise = DetectorNoise(),  # noqa: B008
    body: BodyModel | None = None,
) -> Iterator[tuple[Batch, list[str], list[str]]]:
    """Every validation clip once, cut into consecutive windows; the same at every call.

    A clip has one camera and one detector for its whole length. Its last window is padded (mask False). The last
    batch is filled up with windows whose mask is all False and whose name is "".

    Args:
      max_frames: longer clips are cut off there.
      synthetic_clips: how many clips the synthetic source gives, each of two windows.

    Yields:
      a batch like `make_stream`'s, the clips' names and their motion classes (B each).
    """
    drawers, _ = _open(sources, split)
    names = _class_names(drawers)
    film = _Filming(body, noise)
    clips = itertools.chain.from_iterable(d.clips(seed, 2 * clip_length, synthetic_clips) for d in drawers)
    rows: list[tuple[Batch, str, str]] = []
    for number, clip in enumerate(clips):
        rows += [
            (row, clip.name, clip.motion_class)
            for row in _film_whole(film, clip, clip_length, seed, number, max_frames)
        ]
        for row, _, name in rows:
            row.setdefault("motion_class", np.int32(names.index(name)))
        while len(rows) >= batch_size:
            yield _stack(rows[:batch_size])
            rows = rows[batch_size:]
    if rows:
        blank = {key: np.zeros_like(value) for key, value in rows[0][0].items()}
        blank |= {key: rows[0][0][key] for key in ("image_size", "focal_length", "true_focal_length")}
        yield _stack(rows + [(blank, "", "")] * (batch_size - len(rows)))


def _film_whole(film, clip, clip_length, seed, number, max_frames):
    """The windows of one clip as rows of a batch. Filmed in one piece, its length rounded up to few sizes."""
    frames = min(len(clip.pose), max_frames or len(clip.pose))
    windows = -(-frames // clip_length)
    # A power of two, so that few lengths are compiled.
    padded = clip_length * 2 ** (windows - 1).bit_length()
    take = np.minimum(np.arange(padded), frames - 1)
    rng = np.random.default_rng((seed, number))
    betas = np.clip(rng.normal(size=10), -BETAS_LIMIT, BETAS_LIMIT) if clip.betas is None else clip.betas
    whole = film(rng.integers(2**31), clip.pose[None, take], clip.transl[None, take], betas[None])
    whole["mask"] = np.arange(padded)[None] < frames
    for window in range(windows):
        span = slice(window * clip_length, (window + 1) * clip_length)
        yield {key: value[0, span] if key in _PER_FRAME else value[0] for key, value in whole.items()}


_PER_FRAME = frozenset(("landmarks_2d", "landmarks_3d", "seen", "mask", "pose", "transl"))


def _stack(rows):
    batch = {key: np.stack([row[key] for row, _, _ in rows]) for key in rows[0][0]}
    return batch, [name for _, name, _ in rows], [name for _, _, name in rows]


@dataclasses.dataclass
class _Windows:
    """pose (B, T, 24, 3), transl (B, T, 3), betas (B, 10) NaN where unknown, motion_class (B,) str."""

    pose: np.ndarray
    transl: np.ndarray
    betas: np.ndarray
    motion_class: np.ndarray

    def __iter__(self):
        return iter((self.pose, self.transl, self.betas, self.motion_class))


class _Recordings:
    """Windows from clips of one source."""

    def __init__(self, clips: list[MotionClip]):
        self._clips = clips
        self._pose = np.concatenate([clip.pose for clip in clips])
        self._transl = np.concatenate([clip.transl for clip in clips])
        self._lengths = np.array([len(clip.pose) for clip in clips])
        self._first = np.cumsum(self._lengths) - self._lengths
        self._betas = np.stack([np.full(10, np.nan) if c.betas is None else c.betas for c in clips])
        self._classes = np.array([clip.motion_class for clip in clips])
        self._odds = clip_odds(self._lengths, self._classes)

    @property
    def classes(self) -> set[str]:
        return set(self._classes.tolist())

    def draw(self, rng, count, frames, options) -> _Windows:
        chosen = rng.choice(len(self._clips), size=count, p=self._odds)
        position = draw_positions(
            rng, self._lengths[chosen], frames, options.speed if options else (1.0, 1.0)
        )
        pose, transl = read_at(self._pose, self._transl, self._first[chosen], position)
        return _Windows(pose, transl, self._betas[chosen], self._classes[chosen])

    def clips(self, seed, frames, count) -> Iterator[MotionClip]:
        return iter(self._clips)


class _Synthetic:
    """Windows from the procedural source. Training and validation draw from different seeds."""

    _kinds = {"gait": synthetic.sample_gait, "poses": synthetic.sample_poses}
    _gaits = 0.4
    classes = set(_kinds)

    def draw(self, rng, count, frames, options) -> _Windows:
        gaits = rng.binomial(count, self._gaits)
        counts = dict(zip(self._kinds, (gaits, count - gaits)))
        parts = [self._kinds[kind](rng, frames, count) for kind, count in counts.items() if count]
        parts.append((np.zeros((0, frames, 24, 3), np.float32), np.zeros((0, frames, 3), np.float32)))
        pose, transl = (np.concatenate(arrays) for arrays in zip(*parts))
        return _Windows(
            pose, transl, np.full((count, 10), np.nan), np.repeat(list(counts), list(counts.values()))
        )

    def clips(self, seed, frames, count) -> Iterator[MotionClip]:
        for number in range(count):
            kind = list(self._kinds)[number % len(self._kinds)]
            # A step that no training run reaches.
            rng = np.random.default_rng((seed, 2**31, number))
            pose, transl = self._kinds[kind](rng, frames, 1)
            yield MotionClip(f"{kind}_{number:03d}", kind, pose[0], transl[0])


def clip_odds(lengths: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Odds of drawing each clip, (N,): by the root of its length, and of a class by the root of its clips' sum.

    Both roots keep what there is much of (long clips, locomotion) from drowning the rest.
    """
    weight = np.sqrt(lengths.astype(np.float64))
    _, member = np.unique(classes, return_inverse=True)
    total = np.bincount(member, weight)[member]
    weight = weight / np.sqrt(total)
    return weight / weight.sum()


def _open(sources: Mapping[str, float], split: str) -> tuple[list, np.ndarray]:
    """The sources, read, and their shares."""
    if not sources or min(sources.values()) <= 0:
        raise UserError(
            f"The shares of the motion sources are {dict(sources)}: give at least one source, each above zero."
        )
    shares = np.array(list(sources.values()), np.float64)
    return [_open_one(spec, split) for spec in sources], shares / shares.sum()


@functools.lru_cache(maxsize=8)
def _open_one(spec: str, split: str):
    if spec == SYNTHETIC:
        return _Synthetic()
    if spec.startswith("tfds:"):
        from data_pipelines.records import read_records  # here, because it imports TensorFlow

        clips = read_records(spec.partition(":")[2], split)
    else:
        clips = motion.load_source(spec, split)
    if not clips:
        raise UserError(f"{spec} has no clip in its {split} split: add files, or use another source for it.")
    return _Recordings(clips)


def _class_names(drawers) -> tuple[str, ...]:
    return tuple(sorted(set().union(*(d.classes for d in drawers))))


class _Filming:
    """`simulate` on the CPU, with the body and the noise bound; NumPy in and out."""

    def __init__(self, body: BodyModel | None, noise: DetectorNoise):
        try:
            self._cpu = jax.devices("cpu")[0]
        except RuntimeError as error:
            raise UserError(
                f"JAX has no CPU backend ({error}): add cpu to JAX_PLATFORMS, as in 'tpu,cpu'."
            ) from error
        with jax.default_device(self._cpu):
            self._body = jax.device_put(load_body() if body is None else body, self._cpu)
        self._simulate = functools.partial(simulate, noise=noise, camera=CameraRange())

    def __call__(self, seed: int, pose: np.ndarray, transl: np.ndarray, betas: np.ndarray) -> Batch:
        with jax.default_device(self._cpu):
            arrays = (np.asarray(array, np.float32) for array in (pose, transl, betas))
            batch = self._simulate(jax.random.key(int(seed)), self._body, *arrays)
            batch = {key: np.asarray(value) for key, value in batch.items()}
        batch["has_smpl"] = np.ones(len(pose), bool)
        batch["has_3d"] = np.ones(len(pose), bool)
        return batch
