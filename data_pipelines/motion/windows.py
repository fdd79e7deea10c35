"""Windows of world motion, drawn at random from recorded clips or made by the procedural generators."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from data_pipelines.motion import synthetic
from data_pipelines.motion.augment import Augmentation, draw_positions
from data_pipelines.motion.clip import FPS, MotionClip
from hpof_jax.geometry import temporal


@dataclasses.dataclass
class Windows:
    """B windows: pose (B, T, 24, 3), transl (B, T, 3), betas (B, 10) or NaN.

    name, motion_class, origin: (B,) str. The origin is the source, the file and the frames, for messages.
    """

    pose: np.ndarray
    transl: np.ndarray
    betas: np.ndarray
    name: np.ndarray
    motion_class: np.ndarray
    origin: np.ndarray

    def __iter__(self):
        return (getattr(self, field.name) for field in dataclasses.fields(self))


class Recordings:
    """The motion source of recorded clips, read from `spec`."""

    labelled = True

    def __init__(self, clips: list[MotionClip], spec: str = "recordings"):
        self._clips, self._spec = clips, spec
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

    def draw_windows(
        self, rng: np.random.Generator, count: int, frames: int, augmentation: Augmentation | None
    ) -> Windows:
        chosen = rng.choice(len(self._clips), size=count, p=self._odds)
        speed = augmentation.speed if augmentation else (1.0, 1.0)
        position = draw_positions(rng, self._lengths[chosen], frames, speed)
        first = self._first[chosen][:, None]
        pose = temporal.nlerp(self._pose, position, first)
        transl = temporal.linear(self._transl, position, first)
        names = self._file_names[chosen]
        origin = [f"{name} of {self._spec}, {frames_text(row)}" for name, row in zip(names, position)]
        return Windows(
            pose, transl, self._betas[chosen], names, self._classes[chosen], np.array(origin, np.str_)
        )

    def clips(self, seed: int, frames: int, count: int) -> Iterator[MotionClip]:
        return iter(self._clips)


class Synthetic:
    """The motion source of procedural motion. Training and validation draw from different seeds."""

    labelled = True
    _generators = {"gait": synthetic.sample_gait, "poses": synthetic.sample_poses}
    _gait_share = 0.4
    names = classes = set(_generators)

    def draw_windows(
        self, rng: np.random.Generator, count: int, frames: int, augmentation: Augmentation | None
    ) -> Windows:
        gaits = rng.binomial(count, self._gait_share)
        counts = dict(zip(self._generators, (gaits, count - gaits)))
        parts = [self._generators[kind](rng, frames, count) for kind, count in counts.items() if count]
        parts.append((np.zeros((0, frames, 24, 3), np.float32), np.zeros((0, frames, 3), np.float32)))
        pose, transl = (np.concatenate(arrays) for arrays in zip(*parts))
        kinds = np.repeat(list(counts), list(counts.values()))
        origin = np.array([f"synthetic {kind}" for kind in kinds], np.str_)
        return Windows(pose, transl, np.full((count, 10), np.nan), kinds, kinds, origin)

    def clips(self, seed: int, frames: int, count: int) -> Iterator[MotionClip]:
        for number in range(count):
            kind = list(self._generators)[number % len(self._generators)]
            # 2**31 replaces the process index of the stream's seeds, so no training run draws these clips.
            rng = np.random.default_rng((seed, 2**31, number))
            pose, transl = self._generators[kind](rng, frames, 1)
            yield MotionClip(f"{kind}_{number:03d}", kind, pose[0], transl[0])


def frames_text(positions: np.ndarray) -> str:
    """The frames of a window for a message, from its positions (T,) in a clip."""
    return f"frames {int(positions.min())} to {int(np.ceil(positions.max()))} at {FPS} frames/s"


def clip_odds(lengths: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Probability of drawing each clip, (N,).

    Within a class, a clip's weight is sqrt(length). A class has the square root of the sum of its clips'
    weights. So long clips and common classes, such as locomotion, do not dominate.
    """
    weight = np.sqrt(lengths.astype(np.float64))
    _, member = np.unique(classes, return_inverse=True)
    total = np.bincount(member, weight)[member]
    weight = weight / np.sqrt(total)
    return weight / weight.sum()
