"""Ctrl-C ends a program within moments, with exit status 130, and leaves no half-written file.

A KeyboardInterrupt would be raised in the Python code that runs at that moment. JAX's callbacks and
destructors discard it, long work in C++ delays it, and imports end in a traceback. So a separate thread waits
for the signal, removes unfinished files and ends the process. It need not wait for the main thread.

Nothing but the standard library is imported here, because this runs before all other imports.
"""

import contextlib
import glob
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

STATUS = 130  # 128 + SIGINT, as shells report it

_cleanups: list[Callable[[], object]] = []
_wake: socket.socket | None = None  # a byte sent here wakes the thread


def install() -> None:
    """Makes Ctrl-C end this program; does nothing if it is ignored, as in a shell's background jobs."""
    global _wake
    main_thread = threading.current_thread() is threading.main_thread()
    if _wake or not main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    woken, _wake = socket.socketpair()
    _wake.setblocking(False)
    threading.Thread(target=_wait, args=(woken,), name="interrupt", daemon=True).start()
    # Python's own handler, in C, writes to this file at once, even while the main thread is busy in C++.
    signal.set_wakeup_fd(_wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, _park)


@contextlib.contextmanager
def cleanup(undo: Callable[[], object]) -> Iterator[None]:
    """While the block runs, Ctrl-C calls `undo` before the program ends; the latest `undo` comes first.

    `undo` runs in another thread; an OSError that it raises is ignored.
    """
    _cleanups.append(undo)
    try:
        yield
    finally:
        _cleanups.remove(undo)


def at_stop(undo: Callable[[], object]) -> None:
    """Like `cleanup`, until the program ends."""
    _cleanups.append(undo)


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """While the block runs, the first Ctrl-C is only noted; a second one acts as before the block.

        with deferred() as requested:
            for frame in frames:
                if requested():
                    break

    Outside the main thread, where Python allows no handlers, Ctrl-C is never noted.
    """
    noted = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: noted
        return

    def note(number, frame):
        nonlocal noted
        noted = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    wakeup = signal.set_wakeup_fd(-1)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(wakeup)


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that start in the block never get Ctrl-C, which a terminal sends to all processes at once.

    Not on Windows.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _park(number, frame) -> None:
    """Stops the main thread, so that it reports no errors that the stop causes."""
    with contextlib.suppress(OSError):
        _wake.send(bytes([number]))  # within `deferred` nothing else wakes the thread
    threading.Event().wait()


def _wait(woken: socket.socket) -> None:
    while woken.recv(1) != bytes([signal.SIGINT]):
        pass
    _end_children()
    for undo in reversed(_cleanups):
        with contextlib.suppress(OSError):
            undo()
    with contextlib.suppress(OSError):
        below_bar = "\n" if os.isatty(2) else ""
        os.write(2, f"{below_bar}Stopped.\n".encode())
    # Not sys.exit: JAX's and LiteRT's destructors may crash while their threads still run.
    os._exit(STATUS)


def _end_children() -> None:
    """Ends this process's children on Linux; elsewhere ffmpeg ends by itself when its input does."""
    children = set()
    for path in glob.glob("/proc/self/task/*/children"):
        with contextlib.suppress(OSError), open(path) as file:
            children.update(map(int, file.read().split()))
    for child in children:
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
    for child in children:  # they must not write to a file that is then removed
        with contextlib.suppress(OSError):
            os.waitpid(child, 0)
