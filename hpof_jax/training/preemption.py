"""SIGTERM, as from a preempted machine, or Ctrl-C ends training after the running step."""

import signal
import threading

import jax


class Notice:
    """A context manager that notes SIGTERM and SIGINT.

        with Notice() as notice:
            for step in ...:
                if notice.received(step):
                    save, then sys.exit(notice.status)

    A second signal of the same kind acts as it did before. With several processes, which must all stop after
    the same step, JAX's coordination service receives the SIGTERM instead and agrees with every process on
    the step.
    """

    def __init__(self):
        self._signal = signal.SIGTERM
        self._received = False
        self._before = {}

    @property
    def status(self) -> int:
        """The exit status for the signal, 128 + its number, as shells report it."""
        return 128 + self._signal

    def received(self, step: int) -> bool:
        """Whether to stop after `step`. Every process must ask after every step."""
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            return multihost_utils.reached_preemption_sync_point(step)
        return self._received

    def __enter__(self) -> "Notice":
        # Python allows signal handlers only in the main thread.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
            # Else `hpof_jax.interrupt`, which listens there, ends the process at the first Ctrl-C.
            self._wakeup = signal.set_wakeup_fd(-1)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._wakeup)

    def _note(self, number: int, frame) -> None:
        self._signal, self._received = number, True
        signal.signal(number, self._before[number])
