"""Scene cuts: where one shot of a video ends and the next begins.

Within a shot, a frame consists of blocks of the frame before, each moved a little. After a cut it does not.
Frames are compared as thumbnails of normalised brightness and contrast, so that a change of exposure does not
count. A flash does not count either: the frames after it are like those before it.
"""

import collections
import itertools
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

HEIGHT, WIDTH = 18, 32  # of a thumbnail
REACH = 3  # pixels of the thumbnail that a block may move between two frames: a tenth of the image
BLOCK = 7  # pixels
# The least difference across a cut. Measured: between frames of different scenes at least 0.54, mostly over
# 0.8; within shots of real and rendered videos at most 0.34.
MIN_CHANGE = 0.5
MIN_RATIO = 2.0  # of a cut's difference to the mean of the four around it, which is high in a fast pan
WINDOW = 3  # frames before and after a cut; every one before must differ from every one after
MIN_CONTRAST = 8  # grey levels; less contrast is noise
# Colours are divided by brightness, because the exposure changes both. At medium brightness, 40 levels of
# Lab's a or b count as much as one standard deviation of brightness.
COLOUR_WEIGHT, DARK = 5, 70


def mark_cuts(frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Yields each frame, (H, W, 3) uint8 RGB, and whether it is the first one after a cut.

    It reads three frames ahead.
    """
    before: collections.deque[np.ndarray] = collections.deque(maxlen=WINDOW)
    changes_before: collections.deque[float] = collections.deque(maxlen=2)
    waiting: collections.deque[tuple[np.ndarray, np.ndarray, float]] = collections.deque()

    def settle() -> tuple[np.ndarray, bool]:
        frame, thumbnail, change = waiting.popleft()
        ahead = [(thumbnail, change), *(later[1:] for later in waiting)][:WINDOW]
        around = [*changes_before, *(change for _, change in ahead[1:])]
        cut = change > max(MIN_CHANGE, MIN_RATIO * np.mean(around or 0.0))
        cut = cut and all(
            _change(old, new) > MIN_CHANGE for old, (new, _) in itertools.product(before, ahead)
        )
        before.append(thumbnail)
        changes_before.append(change)
        return frame, cut

    last = None
    for frame in frames:
        thumbnail = _thumbnail(frame)
        waiting.append((frame, thumbnail, 0.0 if last is None else _change(last, thumbnail)))
        last = thumbnail
        if len(waiting) > WINDOW:
            yield settle()
    while waiting:
        yield settle()


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    """(3, HEIGHT, WIDTH) float32: normalised brightness and two colours of a frame."""
    step = max(1, min(frame.shape[0] // (4 * HEIGHT), frame.shape[1] // (4 * WIDTH)))
    # Only every few pixels are read, to save time.
    small = cv2.resize(frame[::step, ::step], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    grey, *colours = np.moveaxis(cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32), -1, 0)
    colours = [COLOUR_WEIGHT * (colour - 128) / (grey + DARK) for colour in colours]
    return np.stack([(grey - grey.mean()) / (grey.std() + MIN_CONTRAST), *colours])


def _change(old: np.ndarray, new: np.ndarray) -> float:
    """The mean difference of two thumbnails, with each block of `old` moved to where it fits `new` best."""
    unmoved = float(np.abs(old - new).sum(axis=0).mean())
    if unmoved < MIN_CHANGE / MIN_RATIO:  # an upper bound, low enough for the decision
        return unmoved
    padded = np.pad(old, ((0, 0), (REACH, REACH), (REACH, REACH)), mode="edge")
    best = np.full((HEIGHT, WIDTH), np.inf, np.float32)
    for row, column in itertools.product(range(2 * REACH + 1), repeat=2):
        moved = padded[:, row : row + HEIGHT, column : column + WIDTH]
        difference = np.abs(moved - new).sum(axis=0)
        np.minimum(best, cv2.blur(difference, (BLOCK, BLOCK)), out=best)
    return float(best.mean())
