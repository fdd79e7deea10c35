"""Progress of long work: a bar on a terminal, else a line in the log now and then, with the time left."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm
from absl import logging

EVERY = 30.0  # seconds between two lines

_T = TypeVar("_T")


def progress(
    items: Iterable[_T], what: str, total: int | None = None, unit: str = "frame", show: bool = True
) -> Iterator[_T]:
    """Yields the items, and shows how many have been taken.

    On a terminal a bar is drawn. Otherwise a line is logged every `EVERY` seconds. At the end, a line with the
    number and the rate is logged.

    Args:
      what: the work, such as "observing".
      total: the number of items; None: unknown.
      show: False: nothing is shown.
    """
    if not show:
        yield from items
        return
    start = said = time.monotonic()
    bar = tqdm.tqdm(total=total, desc=what, unit=unit, leave=False, disable=None)
    count = 0
    try:
        for item in items:
            yield item
            count += 1
            bar.update()
            now = time.monotonic()
            if now - said >= EVERY and bar.disable:
                said = now
                logging.info("%s: %s", what, _state(count, total, unit, now - start))
    finally:
        bar.close()
    logging.info("%s: %s", what, rate(count, time.monotonic() - start, unit))


@contextlib.contextmanager
def timed(what: str, count: int, unit: str = "frame") -> Iterator[None]:
    """Logs the rate of work that is done in one piece, which the block does."""
    start = time.monotonic()
    yield
    logging.info("%s: %s", what, rate(count, time.monotonic() - start, unit))


def rate(count: int, seconds: float, unit: str = "frame") -> str:
    """Such as "230 frames in 9.2 s, 25.0 frames/s"."""
    return f"{count} {unit}s in {seconds:.1f} s, {count / max(seconds, 1e-3):.1f} {unit}s/s"


def _state(count: int, total: int | None, unit: str, seconds: float) -> str:
    """Such as "1200 of 18000 frames, 25.0 frames/s, 11 min left"."""
    speed = count / max(seconds, 1e-3)
    of, left = "", ""
    if total is not None and total >= count > 0:
        of = f" of {total}"
        left = f", {_duration((total - count) / speed)} left"
    return f"{count}{of} {unit}s, {speed:.1f} {unit}s/s{left}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
