"""The training stream: tf.data batches of clips, each a function of (seed, process index, step) alone.

    stream = make_stream({"synthetic": 0.5, "bvh:recordings/": 0.5}, batch_size=64, clip_length=81, seed=0)

A resumed run passes the step it stopped at as `start_step` and sees the very batches it would have seen. The
simulation runs in JAX on the CPU, whatever accelerator the training step uses; TensorFlow only moves the batches.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np
from absl import logging

from data_pipelines.device import cpu
from data_pipelines.feed import Batch, as_dataset
from data_pipelines.motion.augment import Augmentation
from data_pipelines.observed.rendered import PER_FRAME
from data_pipelines.simulate.camera import CameraRange
from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.simulate.flow import FLOW_KEYS, KINDS, SimulatedFlow
from data_pipelines.simulate.observations import simulate
from data_pipelines.sources import class_names, draw_betas, draw_windows, open_sources, with_truth
from hpof_jax.body.files import load_body
from hpof_jax.body.model import BodyModel
from hpof_jax.errors import UserError


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
    flow: str = "none",
    flow_frames: int = 8,
    real_motion: bool = False,
):
    """An endless tf.data.Dataset of batches.

    Args:
      sources: source -> share of the clips. "synthetic", "bvh:FOLDER", "amass:FOLDER" or "tfds:FOLDER": a simulated
        detector watches them; "rendered:FOLDER": the real one has (see `rendered`). "unlabelled:" before one of these:
        the same without its truth. "videos:FOLDER_OR_FILE": real videos, of which there is none (see `videos`).
      batch_size: clips in a batch of this process (B). clip_length: frames in a clip (T).
      seed: with it, process_index and the step, a batch is determined.
      split: "train" or "validation" files.
      start_step: the step of the first batch.
      augment: whether motions are varied (see `augment`).
      noise: the simulated detector's errors. body: the body that moves; None: the free body.
      flow: "exact" or "noisy" optical flow and masks of `flow_frames` frames of each clip (see `true_flow`), or "none".
        A video's are those that were found in it, whichever of the two; with "noisy", so are a rendered clip's that has
        kept them, where its window is not varied in speed or camera.
      real_motion: also motions that nobody watched, for a discriminator: real_pose (B, T, 24, 3) and real_betas (B, 10).

    Returns:
      dicts of float32 (`bool` for seen, mask, has_*; int32 for motion_class): landmarks_2d (B, T, 33, 3),
      landmarks_3d (B, T, 33, 3), seen (B, T), mask (B, T), image_size (B, 2), focal_length (B,), true_focal_length
      (B,), betas (B, 10), pose (B, T, 24, 3) and transl (B, T, 3) in the camera frame, has_smpl (B,), has_3d (B,),
      motion_class (B,), which indexes `stream_classes(sources, split)`. Without has_smpl and has_3d, pose, transl and
      betas are 0 and true_focal_length is the assumed one.

    Raises:
      UserError: an unknown source, shares that are not positive, or a source without a clip in this split.
    """
    if not 0 <= process_index < process_count:
        raise UserError(
            f"process_index {process_index} is not below process_count {process_count}: correct them."
        )
    make = batch_maker(
        sources,
        batch_size,
        clip_length,
        seed,
        split,
        process_index,
        augment,
        noise,
        body,
        flow,
        flow_frames,
        real_motion,
    )
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
    flow: str = "none",
    flow_frames: int = 8,
    real_motion: bool = False,
) -> Callable[[int], Batch]:
    """The function step -> batch behind `make_stream`; no TensorFlow in it."""
    if flow not in KINDS:
        raise UserError(f"There is no optical flow '{flow}' to be made: choose one of {', '.join(KINDS)}.")
    add_flow = SimulatedFlow(flow, flow_frames) if flow != "none" else lambda rng, batch: batch
    drawers, shares = open_sources(sources, split)
    names = class_names(drawers)
    film = _Filming(body, noise)
    options = Augmentation() if augment else None
    groups = _groups(drawers, shares)
    counts = _counts(groups, batch_size)

    def filmed(rng):
        # Apart, because a clip may take limbs of another: hidden motion is to stay hidden.
        drawn = [
            draw_windows(rng, *_normalised(groups[name]), counts[name], clip_length, options)
            for name in ("motion", "hidden")
            if counts[name]
        ]
        if drawn:
            pose, transl, betas, _, classes = map(np.concatenate, zip(*drawn))
            part = film(rng.integers(2**31), pose, transl, betas)
            part["mask"] = np.ones(part["seen"].shape, bool)
            part["has_smpl"] = part["has_3d"] = np.arange(len(pose)) < counts["motion"]
            yield part | {"motion_class": _numbers(names, classes)}

    def watched(rng, group, size, *how):
        if size:
            clips, share = _normalised(group)
            for source, count in zip(clips, rng.multinomial(size, share)):
                if count:
                    part, classes = source.draw(rng, count, clip_length, augment, *how)
                    yield part | {"motion_class": _numbers(names, classes)}

    def flowing(rng, parts):
        """The parts as one, with flow: what a clip has kept, or else made from the truth."""
        known = [{key: value for key, value in part.items() if key not in FLOW_KEYS} for part in parts]
        batch, first = add_flow(rng, _joined(known)), 0
        for part in parts:
            kept = part.get("has_flow", np.zeros(len(part["seen"]), bool))
            for key in FLOW_KEYS if kept.any() else ():
                batch[key][first + np.flatnonzero(kept)] = part[key][kept]
            first += len(kept)
        return batch

    def make(step: int) -> Batch:
        rng = np.random.default_rng((seed, process_index, step))
        kept = flow_frames if flow == "noisy" else 0
        known = [*filmed(rng), *watched(rng, groups["rendered"], counts["rendered"], kept)]
        parts = [flowing(rng, known)] if known else []
        parts += watched(rng, groups["video"], counts["video"], 0 if flow == "none" else flow_frames)
        batch = _without_truth(_joined(parts))
        return batch | real(rng) if real_motion else batch

    def real(rng):
        """Labelled motion as it is varied for training; or, where there is none, that of the rendered clips."""
        if groups["motion"]:
            windows = draw_windows(rng, *_normalised(groups["motion"]), batch_size, clip_length, options)
            return {"real_pose": np.float32(windows.pose), "real_betas": np.float32(windows.betas)}
        labelled = [(source, share) for source, share in groups["rendered"] if source.labelled]
        if not labelled:
            raise UserError(
                "The loss 'adversarial' needs real motion and all sources are without labels: add one with them."
            )
        drawn = _joined([*watched(rng, labelled, batch_size)])
        return {"real_pose": drawn["pose"], "real_betas": drawn["betas"]}

    return make


def stream_classes(sources: Mapping[str, float], split: str = "train") -> tuple[str, ...]:
    """Names of the motion classes, in the order that `motion_class` counts."""
    return class_names(open_sources(sources, split)[0])


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
    """Every validation clip once, cut into consecutive windows; the same at every call. Videos, without truth, give none.

    A clip has one camera and one detector for its whole length. Its last window is padded (mask False). The last
    batch is filled up with windows whose mask is all False and whose name is "".

    Args:
      max_frames: longer clips are cut off there.
      synthetic_clips: how many clips the synthetic source gives, each of two windows.

    Yields:
      a batch like `make_stream`'s, in which an unlabelled source has its truth again, the clips' names and their motion
      classes (B each).
    """
    if sources and not with_truth(sources):
        return
    drawers, _ = open_sources(with_truth(sources), split)
    names = class_names(drawers)
    film = _Filming(body, noise)
    moving, watched = ([d for d in drawers if d.kind == kind] for kind in ("motion", "rendered"))
    clips = itertools.chain.from_iterable(d.clips(seed, 2 * clip_length, synthetic_clips) for d in moving)
    filmed = (
        (_film_whole(film, clip, clip_length, seed, number, max_frames), clip.name, clip.motion_class)
        for number, clip in enumerate(clips)
    )
    seen = itertools.chain.from_iterable(d.windows(clip_length, max_frames) for d in watched)
    rows: list[tuple[Batch, str, str]] = []
    for windows, clip_name, clip_class in itertools.chain(filmed, seen):
        rows += [(row, clip_name, clip_class) for row in windows]
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
    betas = draw_betas(rng) if clip.betas is None else clip.betas
    whole = film(rng.integers(2**31), clip.pose[None, take], clip.transl[None, take], betas[None])
    whole["mask"] = np.arange(padded)[None] < frames
    for window in range(windows):
        span = slice(window * clip_length, (window + 1) * clip_length)
        yield {key: value[0, span] if key in PER_FRAME else value[0] for key, value in whole.items()}


def _groups(drawers, shares):
    """(source, share) of each group, of which a batch has a fixed number of clips: "hidden" is motion without labels."""
    groups = {"rendered": [], "video": [], "hidden": [], "motion": []}
    for source, share in zip(drawers, shares):
        hidden = source.kind == "motion" and not source.labelled
        groups["hidden" if hidden else source.kind].append((source, share))
    return groups


def _counts(groups, batch_size):
    """Clips of each group in every batch. Fixed, because every other number that is filmed would be compiled anew."""
    ends = np.cumsum([sum(share for _, share in group) for group in groups.values()])
    ends = np.round(ends * batch_size).astype(int)
    counts = dict(zip(groups, np.diff(ends, prepend=0).tolist()))
    for name, group in groups.items():
        if group and not counts[name]:
            what = {"hidden": "unlabelled motion", "motion": "labelled motion"}.get(name, f"{name} clips")
            logging.warning("No room for %s in a batch of %d: raise their weight.", what, batch_size)
    return counts


def _joined(parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _without_truth(batch):
    """The batch in which nothing is left of a truth that the clip's `has_smpl` and `has_3d` deny."""
    known = batch["has_smpl"] | batch["has_3d"]
    arrays = {key: batch[key] for key in ("pose", "transl", "betas")}
    hidden = {
        key: np.where(known.reshape(-1, *[1] * (value.ndim - 1)), value, np.float32(0))
        for key, value in arrays.items()
    }
    focal_length = np.where(known, batch["true_focal_length"], batch["focal_length"])
    return batch | hidden | {"true_focal_length": focal_length}


def _normalised(pairs):
    sources, shares = zip(*pairs)
    return sources, np.array(shares) / sum(shares)


def _numbers(names, classes):
    return np.array([names.index(name) for name in classes], np.int32)


def _stack(rows):
    batch = {key: np.stack([row[key] for row, _, _ in rows]) for key in rows[0][0]}
    return batch, [name for _, name, _ in rows], [name for _, _, name in rows]


class _Filming:
    """`simulate` on the CPU, with the body and the noise bound; NumPy in and out."""

    def __init__(self, body: BodyModel | None, noise: DetectorNoise):
        self._cpu = cpu()
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
