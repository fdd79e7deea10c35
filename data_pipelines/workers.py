"""Work in several processes: a map, and a function of the step that is computed ahead."""

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
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start_worker)
    try:
        with _environment():
            yield functools.partial(_map, pool)
    except BrokenProcessPool as error:
        raise UserError(
            "A process was killed, probably for lack of memory: give fewer --processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class Ahead:
    """step -> the value of a function, computed ahead by new processes, each of which has another step.

    Steps are asked for in ascending order. The values are those that this process would compute.

    Args:
      build: called once in each process with `arguments`, which are pickled; returns the function of the step.
    """

    def __init__(self, build: Callable, arguments: tuple, processes: int):
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(processes, context, _start_ahead, (build, arguments))
        self._processes, self._futures = processes, {}
        with _environment(), interrupt.kept_from_children():
            self._pool.submit(os.getpid)  # starts the processes

    def __call__(self, step: int):
        """The value. Raises UserError if a process was killed."""
        try:
            for number in range(step, step + self._processes):
                if number not in self._futures:
                    self._futures[number] = self._pool.submit(_compute, number)
            return self._futures.pop(step).result()
        except BrokenProcessPool as error:
            raise UserError(
                "A process that makes batches was killed, probably for lack of memory: lower "
                "--config.data.processes."
            ) from error

    def close(self) -> None:
        """Ends the processes after the steps that they compute; does not wait for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """A process that starts in the block has a copy of this environment."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
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


def _start_ahead(build: Callable, arguments: tuple) -> None:
    _start_worker()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a preempted training still takes batches before it saves
    _function.append(build(*arguments))


def _compute(step: int):
    return _function[0](step)


_function: list[Callable] = []  # of this process


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, and they would wait for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)
