"""Fetches batches while the devices compute, and measures how long the devices wait for one."""

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

WAIT = "wait for a batch"  # what a profiler's trace calls the time in which the devices have no step to do


class Fetched:
    """The batches of an iterator; a thread fetches the next one while the caller works.

    Attributes:
      waited: seconds in which the devices had nothing to do because the next batch was not there.
    """

    def __init__(self, batches: Iterator, on_close: Callable[[], object] = lambda: None):
        """on_close: called at the end."""
        self.waited = 0.0
        self._batches, self._on_close = batches, on_close
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "batches")
        self._next = self._thread.submit(next, batches)

    def take(self, running: Any = None) -> Any:
        """The next batch.

        Args:
          running: a result of the step that the devices compute; None: they compute nothing. A wait counts from
            the end of this step. If the batch is there already, the step is not waited for, so that the next one
            is queued behind it.
        """
        if not self._next.done():
            jax.block_until_ready(running)
            start = time.monotonic()
            with jax.profiler.TraceAnnotation(WAIT):
                concurrent.futures.wait([self._next])
            self.waited += time.monotonic() - start
        batch = self._next.result()
        self._next = self._thread.submit(next, self._batches)
        return batch

    def close(self) -> None:
        """Ends the thread, after the batch that it fetches."""
        self._thread.shutdown(cancel_futures=True)
        self._on_close()
