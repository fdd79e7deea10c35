"""Optical flow and masks that are stored with an observed clip."""

import numpy as np

from data_pipelines.feed import Batch
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.crops import mask_in_square
from hpof_jax.observe.optical_flow import SIDE


def stored_flow(rng: np.random.Generator, clip: Observations, window: np.ndarray, count: int) -> Batch:
    """Flow and masks of `count` consecutive frames of a window, as a row of a batch.

    Args:
      window: (T,) ascending frame numbers of the clip; padding repeats the last one. The K frames avoid the
        padding if they can.
      count: K, at most T.

    Returns:
      flow_first (), flow_box (K, 3), flow (K - 1, 2, 64, 64, 2), flow_valid (K - 1, 2, 64, 64), masks
      (K, 64, 64) uint8, has_flow () and has_mask (), see `training.terms.loss_terms`.
    """
    unpadded = np.searchsorted(window, window[-1]) + 1
    first = rng.integers(max(unpadded - count, 0) + 1)
    frames = window[first : first + count]
    pairs = np.minimum(frames[:-1], len(clip) - 2)
    squares = zip(clip.masks[frames], clip.mask_to_frame[frames], clip.flow_box[frames])
    masks = np.stack([mask_in_square(*square, SIDE) for square in squares])
    return {
        "flow_first": np.int32(first),
        "flow_box": clip.flow_box[frames],
        "flow": clip.flow[pairs],
        "flow_valid": clip.flow_valid[pairs],
        "masks": np.round(255 * masks).astype(np.uint8),
        "has_flow": np.array(True),
        "has_mask": np.array(True),
    }
