"""A map over several processes."""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2

from hpof_jax import interrupt
from hpof_jax.errors import UserError

# One thread per process, and no accelerator: each process would reserve its memory.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
}


@contextlib.contextmanager
def parallel_map(processes: int) -> Iterator[Callable]:
    """Yields a `map` that runs in new processes, or in this one if `processes` is 1.

    Results come in the order of the arguments. Only this process handles Ctrl-C.

    Raises:
      UserError: a process was killed.
    """
    if processes <= 1:
        yield map
        return
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)  # a new process starts with a copy
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start_worker)
    try:
        yield functools.partial(_map, pool)
    except BrokenProcessPool as error:
        raise UserError(
            "A process was killed, probably for lack of memory: give fewer --processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _map(pool: ProcessPoolExecutor, *arguments) -> Iterator:
    with interrupt.kept_from_children():  # they would show a traceback while they still import
        return pool.map(*arguments)  # starts the processes


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, and they would wait for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)
