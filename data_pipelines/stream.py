"""The training stream: tf.data batches of clips, each determined by (seed, process index, step).

    options = StreamOptions(batch_size=64, clip_length=81, seed=0)
    stream = make_stream({"synthetic": 0.5, "bvh:recordings/": 0.5}, options)

A resumed run passes its step as `start_step` and gets the same batches as an uninterrupted run. The clips of
a step are the same with and without optical flow and real motion. The simulation runs in JAX on the CPU, also
if an accelerator trains; TensorFlow only moves the batches.
"""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from absl import logging

from data_pipelines.device import cpu
from data_pipelines.feed import Batch, as_dataset
from data_pipelines.motion.augment import Augmentation
from data_pipelines.simulate.camera import CameraRange
from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.simulate.flow import FLOW_KEYS, KINDS, SimulatedFlow
from data_pipelines.simulate.observations import simulate
from data_pipelines.sources import Group, OpenSources, draw_windows, make_group, open_sources
from hpof_jax.body.files import load_body
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SPIN24
from hpof_jax.errors import UserError
from hpof_jax.observe.clip_fields import IMAGE_FEATURES


@dataclasses.dataclass(frozen=True, eq=False)
class StreamOptions:
    """What the batches of a stream hold, besides the data sources."""

    batch_size: int  # clips in a batch of this process (B)
    clip_length: int  # frames in a clip (T)
    seed: int = 0
    split: str | None = None  # None: "train" in a stream, "validation" in `validation.validation_windows`
    augment: bool = True  # augment motion and observed clips; only in a stream
    noise: DetectorNoise = DetectorNoise()  # noqa: RUF009 (frozen); of the simulated detector
    # "none"; "exact", computed from the ground truth; or "noisy", with errors like those of DIS. Videos
    # always use DIS flow; with "noisy", so do windows of rendered clips that store it and keep their speed,
    # camera and body.
    flow: str = "none"
    flow_frames: int = 8  # frames of each clip that have optical flow and masks (K)
    real_motion: bool = False  # add motion for a discriminator: real_pose (B, T, 24, 3), real_betas (B, 10)
    real_sources: OpenSources | None = None  # where it is from; None: the labelled sources of the stream
    features: bool = False  # add image features: image_features (B, T, 2048), has_features (B, T)
    body: BodyModel | None = None  # the body of the simulated people; None: the free body
    # Parts of a batch that are drawn independently of each other, only in a stream. Processes that have the
    # same number of parts in all give the same clips, however many processes there are.
    shards: int = 1


def make_stream(
    sources: Mapping[str, float] | OpenSources,
    options: StreamOptions,
    *,
    process_index: int = 0,
    process_count: int = 1,
    start_step: int = 0,
):
    """An endless tf.data.Dataset of batches.

    Args:
      sources: `open_sources`' result, or what it opens: spec -> share of the clips.
        "synthetic": procedural motion. "bvh:PATH", "amass:PATH", "tfds:PATH": recorded motion. A simulated
        detector observes these.
        "rendered:PATH": rendered clips, observed by the real detector, see `observed.rendered`.
        "videos:PATH": real videos, without ground truth, see `observed.videos`.
        "prepared:PATH": a data set of the field, see `observed.prepared`.
        "unlabelled:" before a spec withholds the ground truth.
      process_index: of this process among the `process_count` that train together; each gets other clips.
      start_step: the step of the first batch.

    Returns:
      dicts of float32 (bool for seen, mask, has_*; int32 for motion_class): landmarks_2d (B, T, 33, 3) [x px,
      y px, visibility], landmarks_3d (B, T, 33, 3) metres about the mid-hip, seen (B, T), mask (B, T),
      image_size (B, 2), focal_length (B,) assumed, true_focal_length (B,), betas (B, 10), pose (B, T, 24, 3)
      and transl (B, T, 3) in the camera frame, has_smpl (B,), has_3d (B,), motion_class (B,), an index into
      `stream_classes(sources)`. Where has_smpl and has_3d are false, pose, transl and betas are 0, and
      true_focal_length is the assumed one. With prepared data sets also keypoints_2d (B, T, 24, 3) and
      keypoints_3d (B, T, 24, 4), annotated points with their confidence last. With `StreamOptions.features`,
      image_features (B, T, 2048) float16 and has_features (B, T), which frames have them. For the keys of optical flow
      see `training.terms.loss_terms`.

    Raises:
      UserError: see `open_sources`; a process index that is not below the count, an unknown kind of flow, or
        shards that cannot divide the batch evenly.
    """
    if not 0 <= process_index < process_count:
        raise UserError(
            f"process_index {process_index} is not below process_count {process_count}: correct them."
        )
    return as_dataset(batch_maker(sources, options, process_index), start_step)


def batch_maker(
    sources: Mapping[str, float] | OpenSources, options: StreamOptions, process_index: int = 0
) -> "BatchMaker":
    """The function step -> batch behind `make_stream`, without TensorFlow."""
    check_flow(options.flow)
    return BatchMaker(sources, options, process_index)


def check_flow(kind: str) -> None:
    """Raises UserError if there is no such kind of optical flow."""
    if kind not in KINDS:
        raise UserError(f"'{kind}' is not a kind of optical flow: choose one of {', '.join(KINDS)}.")


def stream_classes(sources: Mapping[str, float], split: str = "train") -> tuple[str, ...]:
    """Names of the motion classes, indexed by `motion_class`."""
    return open_sources(sources, split).classes


class Simulator:
    """`simulate` on the CPU with body and noise bound; NumPy in and out. Adds `has_smpl` and `has_3d`, true."""

    def __init__(self, body: BodyModel | None, noise: DetectorNoise):
        self._noise = noise
        with jax.default_device(cpu()):
            self._body = jax.device_put(load_body() if body is None else body, cpu())

    def __call__(self, seed: int, pose: np.ndarray, transl: np.ndarray, betas: np.ndarray) -> Batch:
        arrays = (np.asarray(array, np.float32) for array in (pose, transl, betas))
        with jax.default_device(cpu()):
            batch = simulate(jax.random.key(int(seed)), self._body, *arrays, self._noise, CameraRange())
            batch = {key: np.asarray(value) for key, value in batch.items()}
        labelled = np.ones(len(pose), bool)
        return batch | {"has_smpl": labelled, "has_3d": labelled}


class BatchMaker:
    """step -> batch. Each group of `OpenSources` has a fixed number of clips in every shard of a batch."""

    def __init__(
        self, sources: Mapping[str, float] | OpenSources, options: StreamOptions, process_index: int
    ):
        self._options, self._process_index = options, process_index
        opened = isinstance(sources, OpenSources)
        self._sources = sources if opened else open_sources(sources, options.split or "train")
        self._classes = self._sources.classes
        if options.shards < 1 or options.batch_size % options.shards:
            raise UserError(
                f"A batch of {options.batch_size} clips cannot be divided into {options.shards} even shards: "
                "set --config.data.shards to a divisor of the batch size."
            )
        self._size = options.batch_size // options.shards  # clips of a shard
        self._points = any(getattr(source, "points", False) for source in self._sources.videos.sources)
        self._counts = _count_clips(self._sources.group_shares, self._size)
        self._simulate = Simulator(options.body, options.noise)
        self._augmentation = Augmentation() if options.augment else None
        self._add_flow = SimulatedFlow(options.flow, options.flow_frames) if options.flow != "none" else None

    def __call__(self, step: int) -> Batch:
        return _without(self._make(step), ("origin",))

    def origins(self, step: int) -> list[str]:
        """Where each clip of a batch is from: source, file and frames as far as they are known."""
        return self._make(step)["origin"].tolist()

    def _make(self, step: int) -> Batch:
        shards = self._options.shards
        first = self._process_index * shards
        if shards == 1:
            return self._make_shard(first, step)
        return _concatenate([self._make_shard(number, step) for number in range(first, first + shards)])

    def _make_shard(self, number: int, step: int) -> Batch:
        options, sources, counts = self._options, self._sources, self._counts
        rng = np.random.default_rng((options.seed, number, step))
        rendered_flow = options.flow_frames if options.flow == "noisy" else 0
        video_flow = options.flow_frames if options.flow != "none" else 0
        parts = self._draw_simulated(rng)
        parts += self._draw_observed(rng, sources.rendered, counts["rendered"], rendered_flow)
        if parts:
            parts = [self._join_with_flow(rng, parts)]
        parts += self._draw_observed(rng, sources.videos, counts["videos"], video_flow)
        if self._points:
            parts = [_with_points(part) for part in parts]
        if options.features:
            parts = [with_image_features(part) for part in parts]
        batch = _withhold_ground_truth(_concatenate(parts))
        return batch | self._draw_real_motion(rng) if options.real_motion else batch

    def _draw_simulated(self, rng: np.random.Generator) -> list[Batch]:
        """Clips of the motion sources, observed by the simulated detector: labelled ones first."""
        # Drawn separately: limb recombination would leak unlabelled motion.
        drawn = [
            self._draw_motion(rng, group, count)
            for group, count in (
                (self._sources.motion, self._counts["motion"]),
                (self._sources.unlabelled_motion, self._counts["unlabelled_motion"]),
            )
            if count
        ]
        if not drawn:
            return []
        pose, transl, betas, _, classes, origin = map(np.concatenate, zip(*drawn))
        batch = self._simulate(rng.integers(2**31), pose, transl, betas)
        batch["mask"] = np.ones(batch["seen"].shape, bool)
        batch["has_smpl"] = batch["has_3d"] = np.arange(len(pose)) < self._counts["motion"]
        return [batch | self._class_numbers(classes) | {"origin": origin}]

    def _draw_motion(self, rng: np.random.Generator, group: Group, count: int):
        return draw_windows(rng, *group, count, self._options.clip_length, self._augmentation)

    def _draw_observed(
        self, rng: np.random.Generator, group: Group, count: int, flow_frames: int
    ) -> list[Batch]:
        """`count` clips of the observed sources of a group, one batch per source."""
        if not count:
            return []
        options, batches = self._options, []
        for source, clips in zip(group.sources, rng.multinomial(count, group.shares)):
            if clips:
                origins: list[str] = []
                how = options.clip_length, options.augment, flow_frames, origins
                batch, classes = source.draw_batch(rng, clips, *how, **features_of(source, options))
                origin = {"origin": np.array(origins, np.str_)}
                batches.append(batch | self._class_numbers(classes) | origin)
        return batches

    def _join_with_flow(self, rng: np.random.Generator, parts: list[Batch]) -> Batch:
        """The parts as one batch, with optical flow: stored, or else computed from the ground truth."""
        batch = _concatenate([_without(part, FLOW_KEYS) for part in parts])
        if self._add_flow is None:
            return batch
        batch, first = self._add_flow(rng.spawn(1)[0], batch), 0
        for part in parts:
            stored = part.get("has_flow", np.zeros(len(part["seen"]), bool))
            for key in FLOW_KEYS if stored.any() else ():
                batch[key][first + np.flatnonzero(stored)] = part[key][stored]
            first += len(stored)
        return batch

    def _draw_real_motion(self, rng: np.random.Generator) -> Batch:
        """Labelled motion, augmented as for training; if there is none, that of labelled rendered clips."""
        size, motion = self._size, (self._options.real_sources or self._sources).motion
        if motion.sources:
            windows = self._draw_motion(rng, motion, size)
            return {"real_pose": np.float32(windows.pose), "real_betas": np.float32(windows.betas)}
        labelled = [pair for pair in zip(*self._sources.rendered) if pair[0].labelled]
        if not labelled:
            raise UserError(
                "The loss 'adversarial' needs real motion, but no source is labelled: add a labelled source."
            )
        batch = _concatenate(self._draw_observed(rng, make_group(labelled), size, flow_frames=0))
        return {"real_pose": batch["pose"], "real_betas": batch["betas"]}

    def _class_numbers(self, classes: np.ndarray) -> Batch:
        return {"motion_class": np.array([self._classes.index(name) for name in classes], np.int32)}


def _count_clips(shares: Mapping[str, float], batch_size: int) -> dict[str, int]:
    """Clips of each group in a batch. Fixed, because any other number needs a new compilation."""
    ends = np.round(np.cumsum([*shares.values()]) * batch_size).astype(int)
    counts = dict(zip(shares, np.diff(ends, prepend=0).tolist()))
    for name, share in shares.items():
        if share and not counts[name]:
            what = {"rendered": "rendered clips", "motion": "labelled motion"}.get(
                name, name.replace("_", " ")
            )
            logging.warning("No room for %s in a batch of %d: raise their share.", what, batch_size)
    return counts


def _withhold_ground_truth(batch: Batch) -> Batch:
    """Sets the ground truth to 0 in clips whose `has_smpl` and `has_3d` are false."""
    labelled = batch["has_smpl"] | batch["has_3d"]
    shown = {
        key: np.where(labelled.reshape(-1, *[1] * (batch[key].ndim - 1)), batch[key], np.float32(0))
        for key in ("pose", "transl", "betas")
    }
    focal_length = np.where(labelled, batch["true_focal_length"], batch["focal_length"])
    return batch | shown | {"true_focal_length": focal_length}


def _with_points(part: Batch) -> Batch:
    """The part with annotated points, of confidence 0 where it has none."""
    shape = (*part["seen"].shape, len(SPIN24))
    blank = {
        "keypoints_2d": np.zeros((*shape, 3), np.float32),
        "keypoints_3d": np.zeros((*shape, 4), np.float32),
    }
    return blank | part


def features_of(source: object, options: StreamOptions) -> dict[str, bool]:
    """The argument `features` of a source whose clips may store image features, if they are wanted."""
    return {"features": True} if options.features and getattr(source, "image_features", False) else {}


def with_image_features(batch: Batch) -> Batch:
    """The batch, or a row of one, with image features that are unknown where it has none."""
    shape = batch["seen"].shape
    blank = {
        "image_features": np.zeros((*shape, IMAGE_FEATURES), np.float16),
        "has_features": np.zeros(shape, bool),
    }
    return blank | batch


def _concatenate(parts: list[Batch]) -> Batch:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _without(batch: Batch, keys: tuple[str, ...]) -> Batch:
    return {key: value for key, value in batch.items() if key not in keys}
