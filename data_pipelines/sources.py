"""Sources by their names, and windows of motion drawn from them: what a simulated or a rendered camera films.

A source has `classes`; a `kind`: "motion" is still to be filmed, a "rendered" one or a "video" has been watched; and it is
`labelled` or not: the stream hides the truth of what is not.
"""

import copy
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from data_pipelines.motion import synthetic
from data_pipelines.motion.augment import Augmentation, draw_positions
from data_pipelines.motion.augment import augment as vary
from data_pipelines.motion.clip import MotionClip
from data_pipelines.motion.load import load_source
from hpof_jax.errors import UserError
from hpof_jax.geometry import temporal

SYNTHETIC, RENDERED, VIDEOS, UNLABELLED = "synthetic", "rendered:", "videos:", "unlabelled:"
BETAS_LIMIT = 2.0


@dataclasses.dataclass
class Windows:
    """pose (B, T, 24, 3), transl (B, T, 3), betas (B, 10) NaN where unknown; name and motion_class (B,) str."""

    pose: np.ndarray
    transl: np.ndarray
    betas: np.ndarray
    name: np.ndarray
    motion_class: np.ndarray

    def __iter__(self):
        return (getattr(self, field.name) for field in dataclasses.fields(self))


def open_sources(sources: Mapping[str, float], split: str) -> tuple[list, np.ndarray]:
    """The sources, read, and their shares.

    Raises:
      UserError: an unknown source, shares that are not positive, or a source without a clip in this split.
    """
    if not sources or min(sources.values()) <= 0:
        raise UserError(
            f"The shares of the motion sources are {dict(sources)}: give at least one source, each above zero."
        )
    shares = np.array(list(sources.values()), np.float64)
    return [open_source(spec, split) for spec in sources], shares / shares.sum()


@functools.lru_cache(maxsize=8)
def open_source(spec: str, split: str):
    """One source; see `open_sources`."""
    if spec.startswith(UNLABELLED):
        source = copy.copy(open_source(spec.removeprefix(UNLABELLED), split))
        source.labelled = False
        return source
    if spec.startswith(VIDEOS):
        from data_pipelines.observed.videos import Videos  # here, because it imports the detector

        return Videos(spec.removeprefix(VIDEOS))
    if spec == SYNTHETIC:
        return Synthetic()
    if spec.startswith(RENDERED):
        from data_pipelines.observed.rendered import RenderedClips

        return RenderedClips(spec.removeprefix(RENDERED), split)
    if spec.startswith("tfds:"):
        from data_pipelines.motion.tfds import read_records  # here, because it imports TensorFlow

        clips = read_records(spec.partition(":")[2], split)
    else:
        clips = load_source(spec, split)
    if not clips:
        raise UserError(f"{spec} has no clip in its {split} split: add files, or use another source for it.")
    return Recordings(clips)


def with_truth(sources: Mapping[str, float]) -> dict[str, float]:
    """The sources that a model can be measured on: not the videos, and with the truth that is hidden while it learns."""
    known = {spec.removeprefix(UNLABELLED): share for spec, share in sources.items()}
    return {spec: share for spec, share in known.items() if not spec.startswith(VIDEOS)}


def class_names(drawers: Sequence) -> tuple[str, ...]:
    """The motion classes of all sources together."""
    return tuple(sorted(set().union(*(d.classes for d in drawers))))


def draw_windows(
    rng: np.random.Generator,
    drawers: Sequence,
    shares: np.ndarray,
    count: int,
    frames: int,
    options: Augmentation | None = Augmentation(),  # noqa: B008 (frozen)
) -> Windows:
    """Windows of `frames` frames from sources that hold motion, each with a shape; `options`: how they are varied."""
    chosen = rng.choice(len(drawers), size=count, p=shares)
    parts = [d.draw(rng, int(np.sum(chosen == i)), frames, options) for i, d in enumerate(drawers)]
    shuffle = rng.permutation(count)
    windows = Windows(*(np.concatenate(columns)[shuffle] for columns in zip(*parts, strict=True)))
    if options:
        windows.pose, windows.transl = vary(rng, windows.pose, windows.transl, options)
    windows.betas = np.where(np.isnan(windows.betas), draw_betas(rng, (count,)), windows.betas)
    return windows


def draw_betas(rng: np.random.Generator, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Random body shapes, (*shape, 10)."""
    return np.clip(rng.normal(size=(*shape, 10)), -BETAS_LIMIT, BETAS_LIMIT)


class Recordings:
    """Windows from clips of one source."""

    kind, labelled = "motion", True

    def __init__(self, clips: list[MotionClip]):
        self._clips = clips
        self._pose = np.concatenate([clip.pose for clip in clips])
        self._transl = np.concatenate([clip.transl for clip in clips])
        self._lengths = np.array([len(clip.pose) for clip in clips])
        self._first = np.cumsum(self._lengths) - self._lengths
        self._betas = np.stack([np.full(10, np.nan) if c.betas is None else c.betas for c in clips])
        self._file_names = np.array([clip.name for clip in clips])
        self._classes = np.array([clip.motion_class for clip in clips])
        self._odds = clip_odds(self._lengths, self._classes)

    @property
    def names(self) -> set[str]:
        return set(self._file_names.tolist())

    @property
    def classes(self) -> set[str]:
        return set(self._classes.tolist())

    def draw(
        self, rng: np.random.Generator, count: int, frames: int, options: Augmentation | None
    ) -> Windows:
        chosen = rng.choice(len(self._clips), size=count, p=self._odds)
        position = draw_positions(
            rng, self._lengths[chosen], frames, options.speed if options else (1.0, 1.0)
        )
        first = self._first[chosen][:, None]
        pose = temporal.nlerp(self._pose, position, first)
        transl = temporal.linear(self._transl, position, first)
        return Windows(pose, transl, self._betas[chosen], self._file_names[chosen], self._classes[chosen])

    def clips(self, seed: int, frames: int, count: int) -> Iterator[MotionClip]:
        return iter(self._clips)


class Synthetic:
    """Windows from the procedural source. Training and validation draw from different seeds."""

    kind, labelled = "motion", True
    _kinds = {"gait": synthetic.sample_gait, "poses": synthetic.sample_poses}
    _gaits = 0.4
    names = classes = set(_kinds)

    def draw(
        self, rng: np.random.Generator, count: int, frames: int, options: Augmentation | None
    ) -> Windows:
        gaits = rng.binomial(count, self._gaits)
        counts = dict(zip(self._kinds, (gaits, count - gaits)))
        parts = [self._kinds[kind](rng, frames, count) for kind, count in counts.items() if count]
        parts.append((np.zeros((0, frames, 24, 3), np.float32), np.zeros((0, frames, 3), np.float32)))
        pose, transl = (np.concatenate(arrays) for arrays in zip(*parts))
        kinds = np.repeat(list(counts), list(counts.values()))
        return Windows(pose, transl, np.full((count, 10), np.nan), kinds, kinds)

    def clips(self, seed: int, frames: int, count: int) -> Iterator[MotionClip]:
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
