"""Validation clips as batches: every clip once, from beginning to end."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from data_pipelines.feed import Batch
from data_pipelines.motion.clip import MotionClip
from data_pipelines.observed.rendered import PER_FRAME
from data_pipelines.sources import Group, draw_betas, open_sources, with_ground_truth
from data_pipelines.stream import Simulator, StreamOptions, features_of, with_image_features


def validation_windows(
    sources: Mapping[str, float],
    options: StreamOptions,
    *,
    max_frames: int | None = None,
    synthetic_clips: int = 64,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[tuple[Batch, list[str], list[str]]]:
    """Every validation clip once, cut into consecutive windows; the same at every call.

    A clip has one camera and one detector for its whole length. Its last window is padded, with `mask` false.
    The last batch is filled up with windows whose mask is false and whose name is "". Videos, without ground
    truth, are left out; unlabelled sources have their ground truth here.

    Args:
      max_frames: longer clips are cut to this length.
      synthetic_clips: number of clips of the synthetic source, each two windows long.
      process_index: of this process among `process_count`, of which each gets every `process_count`-th clip.

    Yields:
      a batch like `make_stream`'s without optical flow, the clips' names and their motion classes (B each).
    """
    if sources and not with_ground_truth(sources):
        return
    opened = open_sources(with_ground_truth(sources), options.split or "validation")
    class_names = opened.classes
    clips = _simulated_clips(opened.motion, options, max_frames, synthetic_clips)
    clips = itertools.chain(
        clips,
        *(
            source.windows(options.clip_length, max_frames, **features_of(source, options))
            for source in (*opened.rendered.sources, *opened.videos.sources)
        ),
    )
    clips = itertools.islice(clips, process_index, None, process_count)
    rows: list[tuple[Batch, str, str]] = []
    for windows, name, motion_class in clips:
        number = {"motion_class": np.int32(class_names.index(motion_class))}
        if options.features:
            windows = map(with_image_features, windows)
        rows += [(window | number, name, motion_class) for window in windows]
        while len(rows) >= options.batch_size:
            yield _stack(rows[: options.batch_size])
            rows = rows[options.batch_size :]
    if rows:
        blank = {key: np.zeros_like(value) for key, value in rows[0][0].items()}
        blank |= {key: rows[0][0][key] for key in ("image_size", "focal_length", "true_focal_length")}
        yield _stack(rows + [(blank, "", "")] * (options.batch_size - len(rows)))


def _simulated_clips(
    group: Group, options: StreamOptions, max_frames: int | None, synthetic_clips: int
) -> Iterator[tuple[Iterator[Batch], str, str]]:
    """Clips of the motion sources, observed by the simulated detector: windows, name and motion class."""
    simulator = Simulator(options.body, options.noise)
    clips = itertools.chain.from_iterable(
        source.clips(options.seed, 2 * options.clip_length, synthetic_clips) for source in group.sources
    )
    for number, clip in enumerate(clips):
        rng = np.random.default_rng((options.seed, number))
        windows = _simulate_whole(simulator, rng, clip, options.clip_length, max_frames)
        yield windows, clip.name, clip.motion_class


def _simulate_whole(
    simulator: Simulator, rng: np.random.Generator, clip: MotionClip, clip_length: int, max_frames: int | None
) -> Iterator[Batch]:
    """The windows of one clip as rows of a batch."""
    frames = min(len(clip.pose), max_frames or len(clip.pose))
    windows = -(-frames // clip_length)
    # A power of two, so that few lengths need a compilation.
    padded = clip_length * 2 ** (windows - 1).bit_length()
    take = np.minimum(np.arange(padded), frames - 1)
    betas = draw_betas(rng) if clip.betas is None else clip.betas
    whole = simulator(rng.integers(2**31), clip.pose[None, take], clip.transl[None, take], betas[None])
    whole["mask"] = np.arange(padded)[None] < frames
    for window in range(windows):
        span = slice(window * clip_length, (window + 1) * clip_length)
        yield {key: value[0, span] if key in PER_FRAME else value[0] for key, value in whole.items()}


def _stack(rows: list[tuple[Batch, str, str]]) -> tuple[Batch, list[str], list[str]]:
    batches, names, classes = zip(*rows)
    return {key: np.stack([row[key] for row in batches]) for key in batches[0]}, list(names), list(classes)
