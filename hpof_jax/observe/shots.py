"""Scene cuts: where one shot of a video ends and the next begins."""

from collections.abc import Iterator

import numpy as np


def mark_cuts(frames: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Yields each frame (H, W, 3) uint8 RGB, and whether it is the first of a shot (the video's first frame is not marked)."""
    for frame in frames:
        yield frame, False
