"""Batches in order, and only the time in which the devices are idle counts."""

import itertools
import threading

import pytest

from hpof_jax.training import input_wait
from hpof_jax.training.input_wait import Fetched


class Step:
    """A running step; `jax.block_until_ready` calls its method, which records that, and lets the batch come."""

    def __init__(self, batch_may_come):
        self.waited_for, self._batch_may_come = False, batch_may_come

    def block_until_ready(self):
        self.waited_for = True
        self._batch_may_come.set()


@pytest.fixture
def clock(monkeypatch):
    """A second passes from each look at the clock to the next."""
    seconds = itertools.count()
    monkeypatch.setattr(input_wait.time, "monotonic", lambda: float(next(seconds)))


def test_a_batch_that_is_late_counts_from_the_end_of_the_running_step(clock):
    may_come = threading.Event()

    def batches():
        yield 0
        may_come.wait()
        yield 1

    fetched, step = Fetched(batches()), Step(may_come)
    assert fetched.take() == 0
    before = fetched.waited
    assert fetched.take(step) == 1
    assert step.waited_for and fetched.waited - before == 1.0
    fetched.close()


def test_a_batch_that_is_there_neither_waits_nor_waits_for_the_step(clock):
    closed = []
    fetched, step = Fetched(iter(range(3)), lambda: closed.append(True)), Step(threading.Event())
    for number in range(3):
        input_wait.concurrent.futures.wait([fetched._next])
        assert fetched.take(step) == number
    assert not step.waited_for and fetched.waited == 0.0 and not closed
    fetched.close()
    assert closed


def test_what_the_iterator_raises_is_raised():
    def batches():
        yield 0
        raise ValueError("no more")

    fetched = Fetched(batches())
    assert fetched.take() == 0
    with pytest.raises(ValueError, match="no more"):
        fetched.take()
    fetched.close()
