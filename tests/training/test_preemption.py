import os
import signal
import threading

import jax
import pytest

from hpof_jax.training.preemption import Notice


class Ended(Exception):
    """Raised by the handler that stood before, in place of the end of the process."""


@pytest.fixture(autouse=True)
def handlers():
    """Handlers that raise `Ended`, while a test runs."""

    def end(number, frame):
        raise Ended(number)

    before = {s: signal.signal(s, end) for s in (signal.SIGTERM, signal.SIGINT)}
    yield end
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_running_step_ends(number):
    stopped_at = None
    with Notice() as notice:
        for step in range(1, 6):
            if step == 3:
                signal.raise_signal(number)
            if notice.received(step):
                stopped_at = step
                break
    assert stopped_at == 3
    assert notice.status == 128 + number


def test_without_a_signal_nothing_is_received():
    with Notice() as notice:
        assert not any(notice.received(step) for step in range(5))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_acts_as_before(number):
    with Notice() as notice:
        signal.raise_signal(number)
        with pytest.raises(Ended):
            signal.raise_signal(number)
        assert notice.received(1)


def test_the_first_signal_of_the_other_kind_is_noted_too():
    with Notice() as notice:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert notice.received(1) and notice.status == 128 + signal.SIGINT


def test_the_handlers_are_restored_after_an_error_too(handlers):
    reading, writing = os.pipe2(os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writing)
    try:
        with pytest.raises(KeyError), Notice():
            signal.raise_signal(signal.SIGINT)
            raise KeyError
        assert signal.set_wakeup_fd(writing) == writing
        assert signal.getsignal(signal.SIGTERM) is handlers and signal.getsignal(signal.SIGINT) is handlers
        with pytest.raises(BlockingIOError):  # whoever listens there does not hear of a signal that is noted
            os.read(reading, 1)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def test_outside_the_main_thread_no_handler_is_set(handlers):
    found = []

    def work():
        with Notice() as notice:
            found.append((notice.received(1), signal.getsignal(signal.SIGTERM) is handlers))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, True)]


def test_with_several_processes_the_coordination_service_decides(handlers, monkeypatch):
    from jax.experimental import multihost_utils

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", lambda step: step == 7)
    with Notice() as notice:
        assert signal.getsignal(signal.SIGTERM) is handlers, "JAX's own listener must hear the signal"
        assert [step for step in range(10) if notice.received(step)] == [7]
    assert notice.status == 128 + signal.SIGTERM
