"""Makes the next items in a thread while the caller works on one, for streams that must not wait."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator

POLL = 0.1  # seconds in which a stop is noticed


def ahead(items: Iterable, newest: bool, stop: Callable[[], bool]) -> Iterator:
    """The items, of which a thread makes the next while the caller works; errors are raised in the caller.

    Args:
      newest: an item that is not taken before the next one is there is left out.
      stop: true ends the iteration.
    """
    waiting: queue.Queue = queue.Queue(1)
    end, ended = object(), threading.Event()

    def put(item: object) -> None:
        while not ended.is_set():
            with contextlib.suppress(queue.Full):
                return waiting.put(item, timeout=POLL)

    def work() -> None:
        try:
            for item in items:
                if newest:
                    with contextlib.suppress(queue.Empty):
                        waiting.get_nowait()
                put((item, None))
                if ended.is_set():
                    return
            put((end, None))
        except BaseException as error:  # noqa: BLE001 it is raised in the caller's thread
            put((end, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        while not stop():
            with contextlib.suppress(queue.Empty):
                item, error = waiting.get(timeout=POLL)
                if error is not None:
                    raise error
                if item is end:
                    return
                yield item
    finally:
        ended.set()
