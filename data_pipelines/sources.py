"""Data sources: the protocols of motion and observed sources, and how a spec opens one.

A spec is "KIND:PATH", or "synthetic". "unlabelled:" before a spec withholds the ground truth of its clips.

    opened = open_sources({"synthetic": 1.0, "bvh:recordings/": 3.0}, split="train")
    windows = draw_windows(rng, *opened.motion, count=8, frames=81)
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

import numpy as np

from data_pipelines.feed import Batch
from data_pipelines.motion.augment import Augmentation
from data_pipelines.motion.augment import augment as augment_motion
from data_pipelines.motion.clip import MotionClip
from data_pipelines.motion.load import load_source
from data_pipelines.motion.windows import Recordings, Synthetic, Windows
from data_pipelines.observed.rendered import RenderedClips
from hpof_jax.errors import UserError

UNLABELLED = "unlabelled:"  # before a spec: the same source without its ground truth
BETAS_LIMIT = 2.0


class MotionSource(Protocol):
    """Gives windows of one person's motion in the world, for a simulated or rendering camera to film.

    World frame: y up, floor at y = 0, metres, 30 frames/s.
    """

    labelled: bool  # False: the stream withholds the ground truth
    classes: Set[str]  # names of the motion classes
    names: Set[str]  # names of the files, or of the kinds of procedural motion

    def draw_windows(
        self, rng: np.random.Generator, count: int, frames: int, augmentation: Augmentation | None
    ) -> Windows:
        """Random windows. A source applies only the speed of `augmentation`."""

    def clips(self, seed: int, frames: int, count: int) -> Iterator[MotionClip]:
        """Every clip once; a procedural source gives `count` clips of `frames` frames."""


class ObservedSource(Protocol):
    """Gives batches of clips on which a detector has been run, with the keys of `stream.make_stream`."""

    labelled: bool  # False: the stream withholds the ground truth, or there is none
    classes: Set[str]  # names of the motion classes

    def draw_batch(
        self,
        rng: np.random.Generator,
        count: int,
        frames: int,
        augment: bool,
        flow_frames: int = 0,
        origins: list[str] | None = None,
    ) -> tuple[Batch, np.ndarray]:
        """Random windows as a batch without `motion_class`, and the windows' motion classes, (count,) str.

        Args:
          augment: whether ground truth and observations are augmented.
          flow_frames: K > 0 adds stored optical flow and masks of K frames of each window; `has_flow` and
            `has_mask` (count,) bool are false for windows without them.
          origins: the file and the frames of each window are appended to it, for messages.
        """

    def windows(self, frames: int, max_frames: int | None) -> Iterator[tuple[list[Batch], str, str]]:
        """Every clip with ground truth once: its consecutive windows, its name and its motion class."""


class Group(NamedTuple):
    """Sources of one group, and their shares of its clips, which sum to 1."""

    sources: tuple
    shares: np.ndarray


@dataclasses.dataclass(frozen=True)
class OpenSources:
    """The opened sources in four groups. A batch holds a fixed number of clips of each group.

    rendered and videos hold `ObservedSource`s, motion and unlabelled_motion `MotionSource`s. Rendered clips
    may be labelled or not. Prepared data sets are videos, some of them labelled. `group_shares` gives each group's share of the clips; the shares of all groups sum
    to 1.
    """

    rendered: Group
    videos: Group
    unlabelled_motion: Group
    motion: Group
    group_shares: Mapping[str, float]

    @property
    def classes(self) -> tuple[str, ...]:
        """The motion classes of all sources, sorted."""
        groups = (self.rendered, self.videos, self.unlabelled_motion, self.motion)
        return tuple(
            sorted({name for group in groups for source in group.sources for name in source.classes})
        )

    @property
    def backbones(self) -> set[str]:
        """Fingerprints of the ResNet-50s that made the clips' image features."""
        return set().union(*(getattr(source, "backbones", ()) for source in self.videos.sources))


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of source: `open` takes the path and the split."""

    name: str  # the part of a spec before the colon
    group: str  # the field of `OpenSources` that holds labelled sources of this kind
    open: Callable[[str, str], MotionSource | ObservedSource]
    labelled: bool = True  # whether there is ground truth
    has_path: bool = True


def open_sources(sources: Mapping[str, float], split: str) -> OpenSources:
    """Opens sources.

    Args:
      sources: spec -> share of the clips; shares need not sum to 1.
      split: "train", "validation" or "all".

    Raises:
      UserError: no source, a spec of an unknown kind, a share that is not positive, or a source without a
        clip in this split.
    """
    if not sources or min(sources.values()) <= 0:
        raise UserError(
            f"The shares of the data sources are {dict(sources)}: give at least one source, each above zero."
        )
    shares = np.array(list(sources.values()), np.float64)
    found: dict[str, list] = {"rendered": [], "videos": [], "unlabelled_motion": [], "motion": []}
    for spec, share in zip(sources, shares / shares.sum()):
        source, kind = open_source(spec, split), parse_spec(spec).kind
        unlabelled = kind.group == "motion" and not source.labelled
        found["unlabelled_motion" if unlabelled else kind.group].append((source, share))
    return OpenSources(
        **{name: make_group(pairs) for name, pairs in found.items()},
        group_shares={name: sum(share for _, share in pairs) for name, pairs in found.items()},
    )


def make_group(pairs: Sequence[tuple[MotionSource | ObservedSource, float]]) -> Group:
    """The group of these (source, share) pairs; the shares are scaled to sum to 1."""
    total = sum(share for _, share in pairs)
    return Group(tuple(source for source, _ in pairs), np.array([share for _, share in pairs]) / (total or 1))


@functools.lru_cache(maxsize=8)
def open_source(spec: str, split: str) -> MotionSource | ObservedSource:
    """Opens one source; see `open_sources`. Opened sources are cached."""
    if spec.startswith(UNLABELLED):
        source = copy.copy(open_source(spec.removeprefix(UNLABELLED), split))
        source.labelled = False
        return source
    kind, path, _ = parse_spec(spec)
    return kind.open(path, split)


class Spec(NamedTuple):
    """The parts of a spec."""

    kind: Kind
    path: str
    labelled: bool  # whether the stream shows ground truth


def parse_spec(spec: str) -> Spec:
    """Splits a spec into its parts; opens nothing.

    Raises:
      UserError: the kind is unknown, or the path is missing.
    """
    name, colon, path = spec.removeprefix(UNLABELLED).partition(":")
    kind = KINDS.get(name)
    if kind is None or kind.has_path != bool(path) or bool(colon) != kind.has_path:
        forms = ", ".join(f"{kind.name}:PATH" if kind.has_path else kind.name for kind in KINDS.values())
        raise UserError(f"'{spec}' is not a data source: write one of {forms}.")
    return Spec(kind, path, kind.labelled and not spec.startswith(UNLABELLED))


def with_ground_truth(sources: Mapping[str, float]) -> dict[str, float]:
    """The sources on which a model can be evaluated, as labelled ones.

    "unlabelled:" is removed: evaluation may use ground truth that training does not. Videos are left out.
    """
    labelled = {spec.removeprefix(UNLABELLED): share for spec, share in sources.items()}
    return {spec: share for spec, share in labelled.items() if parse_spec(spec).kind.labelled}


def draw_windows(
    rng: np.random.Generator,
    sources: Sequence[MotionSource],
    shares: np.ndarray,
    count: int,
    frames: int,
    augmentation: Augmentation | None = Augmentation(),  # noqa: B008 (frozen)
) -> Windows:
    """Random windows of several motion sources, shuffled and augmented together, each with betas.

    Args:
      shares: each source's share of the windows; they sum to 1.
      count: windows (B). frames: frames in a window (T).
      augmentation: None leaves the motion as recorded.
    """
    chosen = rng.choice(len(sources), size=count, p=shares)
    parts = [
        source.draw_windows(rng, int(np.sum(chosen == number)), frames, augmentation)
        for number, source in enumerate(sources)
    ]
    shuffle = rng.permutation(count)
    windows = Windows(*(np.concatenate(columns)[shuffle] for columns in zip(*parts, strict=True)))
    if augmentation:
        windows.pose, windows.transl = augment_motion(rng, windows.pose, windows.transl, augmentation)
    windows.betas = np.where(np.isnan(windows.betas), draw_betas(rng, (count,)), windows.betas)
    return windows


def draw_betas(rng: np.random.Generator, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Random body shapes, (*shape, 10), from a standard normal distribution cut off at `BETAS_LIMIT`."""
    return np.clip(rng.normal(size=(*shape, 10)), -BETAS_LIMIT, BETAS_LIMIT)


def _open_synthetic(path: str, split: str) -> Synthetic:
    return Synthetic()


def _open_recordings(name: str, path: str, split: str) -> Recordings:
    if name == "tfds":
        from data_pipelines.motion.tfds import read_records  # imports TensorFlow, which takes seconds

        clips = read_records(path, split)
    else:
        clips = load_source(f"{name}:{path}", split)
    if not clips:
        raise UserError(
            f"{name}:{path} has no clip in its {split} split: add files, or use another source for it."
        )
    return Recordings(clips, f"{name}:{path}")


def _open_prepared(path: str, split: str) -> ObservedSource:
    from data_pipelines.observed.prepared import PreparedClips  # imports the detector

    return PreparedClips(path, split)


def _open_videos(path: str, split: str) -> ObservedSource:
    from data_pipelines.observed.videos import Videos  # imports the detector

    return Videos(path)


_MOCAP = ("bvh", "amass", "tfds")
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("synthetic", "motion", _open_synthetic, has_path=False),
        *(Kind(name, "motion", functools.partial(_open_recordings, name)) for name in _MOCAP),
        Kind("rendered", "rendered", RenderedClips),
        Kind("prepared", "videos", _open_prepared),
        Kind("videos", "videos", _open_videos, labelled=False),
    )
}
