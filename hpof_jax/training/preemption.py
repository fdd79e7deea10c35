"""A polite stop: the machine's notice (SIGTERM) or Ctrl-C lets the running step finish and be saved."""

import signal
import threading

import jax


class Notice:
    """Listens while it is entered.

        with Notice() as notice:
            for step in ...:
                if notice.received(step):
                    save, then sys.exit(notice.status)

    A second signal acts at once, as if nobody listened. With several processes all have to stop after the same step:
    there, JAX's coordination service hears the SIGTERM and tells every process the step.
    """

    def __init__(self):
        self._signal = signal.SIGTERM
        self._received = False
        self._before = {}

    @property
    def status(self) -> int:
        """The exit status that says which signal it was, as a shell does."""
        return 128 + self._signal

    def received(self, step: int) -> bool:
        """Whether to stop after `step`; every process asks after every step."""
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            return multihost_utils.reached_preemption_sync_point(step)
        return self._received

    def __enter__(self) -> "Notice":
        # Python lets only the main thread listen.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
            self._wakeup = signal.set_wakeup_fd(-1)  # else `hpof_jax.interrupt` would act on the first one
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._wakeup)

    def _note(self, number: int, frame) -> None:
        self._signal, self._received = number, True
        signal.signal(number, self._before[number])
