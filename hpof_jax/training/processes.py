"""Several processes that train together: start, barriers, and what happens when one of them ends.

JAX's coordination service, in process 0, connects them. It is asked directly here, not through collectives of
the devices, which are for the training step.
"""

import contextlib
import ctypes
import itertools
import json
import os
import re
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import logging

from hpof_jax.errors import UserError

LOST = 75  # exit status when another process ended: "temporary failure", worth another start
ARRIVAL = 10 * 60  # seconds to wait for a process to start or to exit
PATIENCE = 30 * 60  # seconds to wait for a process that compiles
BEAT, SILENCE = 2.0, 30.0  # seconds between signs of life, and until a process counts as lost
_GRACE = 6  # seconds that JAX's client waits before it ends the process
_JAX_ON_LOSS = re.compile(rb"coordination_service|preemption_sync_manager|client\.h:\d+\]")

_names = itertools.count()


def start(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Connects this process with the others.

    On Slurm, GKE and Cloud TPUs all arguments can be left out: JAX finds them.

    Args:
      coordinator: HOST:PORT of process 0, at which it can be reached by all.
      num_processes: how many processes there are.
      process_id: of this process, from 0 on.

    Raises:
      UserError: an argument is missing or wrong, or the others do not come.
    """
    try:
        # A lost process is reported by `watched` before JAX's own heartbeat ends this one with a C++ dump.
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=ARRIVAL,
            heartbeat_timeout_seconds=2 * int(SILENCE),
            # A busy machine may take a minute for an exit, and the others would abort instead of ending with their
            # status. The heartbeat finds a process that is killed in its exit.
            shutdown_timeout_seconds=ARRIVAL,
        )
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"The processes cannot be connected ({reason}): give all of them the same --coordinator=HOST:PORT "
            "and --num-processes, and each its own --process-id, from 0 on."
        ) from error
    _soften_loss()
    # The devices connect at their first collective, and CPUs wait for that only 30 seconds. So it comes here, and
    # not in the first step, for which one process may compile longer than another.
    wait_for_all("started")
    add = jax.pmap(lambda x: jax.lax.psum(x, "all"), axis_name="all")
    jax.block_until_ready(add(np.ones(jax.local_device_count(), np.float32)))


def wait_for_all(what: str) -> None:
    """Returns when all processes have called this as often. Does nothing with one process."""
    if jax.process_count() > 1:
        _client().wait_at_barrier(f"hpof_jax/{next(_names)}/{what}", PATIENCE * 1000)


def gather(value: Any) -> list:
    """The values of all processes, by process index. A value is what JSON can hold. All must call it."""
    if jax.process_count() == 1:
        return [json.loads(json.dumps(value))]
    client, key = _client(), f"hpof_jax/gathered/{next(_names)}"
    client.key_value_set(f"{key}/{jax.process_index()}", json.dumps(value))
    texts = [client.blocking_key_value_get(f"{key}/{i}", PATIENCE * 1000) for i in range(jax.process_count())]
    return [json.loads(text) for text in texts]


def check_equal(values: dict[str, Any]) -> None:
    """Checks that all processes call this with the same values.

    Raises:
      UserError: they differ, with the name of the first value that does.
    """
    for index, other in enumerate(gather(values)):
        for name, value in json.loads(json.dumps(values)).items():
            if other.get(name) != value:
                raise UserError(
                    f"Process {index} has {name} {other.get(name)} and process {jax.process_index()} has "
                    f"{value}: start all with the same command, the same number of devices and a --workdir "
                    "that all share."
                )


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Ends this process soon after another one ended, and at once if the block raises.

    Prints one sentence in both cases (for a defect, the traceback). Without it, the others would wait for
    minutes, and a process that raises would wait at its exit for the others. Does nothing with one process.
    """
    if jax.process_count() == 1:
        yield
        return
    done = threading.Event()
    threading.Thread(target=_watch, args=(done,), name="watch", daemon=True).start()
    try:
        yield
        wait_for_all("done")
    except UserError as error:
        _end(2, f"error: {' '.join(str(error).split())}")
    except SystemExit:
        # Every process stops after the same step.
        wait_for_all("stopped")
        raise
    except (ValueError, RuntimeError) as error:  # as JAX raises them
        if not _is_loss(error):
            traceback.print_exc()
            _end(1, f"Process {jax.process_index()} ends with the error above.")
        _end(LOST, _lost_text("another process"))
    except BaseException:
        traceback.print_exc()
        _end(1, f"Process {jax.process_index()} ends with the error above.")
    finally:
        done.set()


def _watch(done: threading.Event) -> None:
    """Shows that this process lives, and looks for those of the others."""
    client, me = _client(), jax.process_index()
    seen = dict.fromkeys(set(range(jax.process_count())) - {me}, ("", time.monotonic()))
    for beat in itertools.count():
        if done.wait(BEAT):
            return
        try:
            client.key_value_set(f"hpof_jax/alive/{me}", str(beat), allow_overwrite=True)
            beats = dict(client.key_value_dir_get("hpof_jax/alive/"))
        except (ValueError, RuntimeError):
            if not done.wait(BEAT):
                _end(LOST, _lost_text("process 0"))
            return
        now = time.monotonic()
        for other, (last, when) in seen.items():
            found = beats.get(f"hpof_jax/alive/{other}", "")
            if found != last:
                seen[other] = found, now
            elif now - when > SILENCE:
                _end(LOST, _lost_text(f"process {other}"))


def _lost_text(who: str) -> str:
    return (
        f"error: Process {jax.process_index()} stops because {who} has ended: start the same command on all "
        "machines again, which resumes from the last checkpoint."
    )


def _is_loss(error: Exception) -> bool:
    """Whether JAX's error says that another process is gone."""
    text = str(error)
    return any(word in text for word in ("Gloo", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "onnection"))


def _end(status: int, text: str) -> None:
    """Not sys.exit, which waits for the other processes."""
    logging.flush()
    sys.stdout.flush()
    os.write(sys.stderr.fileno(), f"{text}\n".encode())
    os._exit(status)


def _soften_loss() -> None:
    """Lets `watched` speak before JAX's client aborts this process because process 0 is gone.

    The abort waits for some seconds, and what C++ prints about the loss is held back that long.
    """
    if sys.platform == "win32":
        return
    libc = ctypes.CDLL(None)
    libc.signal.restype, libc.signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    # The number of the signal is the handler's argument: sleep(6). Then the abort goes on.
    assert signal.SIGABRT == _GRACE
    libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))
    terminal = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    sys.stderr = open(terminal, "w", buffering=1, closefd=False)  # noqa: SIM115 (as long as the program)
    logging.get_absl_handler().python_handler.stream = sys.stderr
    threading.Thread(target=_forward, args=(reading, terminal), name="stderr", daemon=True).start()


def _forward(reading: int, terminal: int) -> None:
    """Copies what C++ prints to the terminal, from the first line about a lost process on with a delay."""
    held, since = b"", None
    while True:
        ready, _, _ = select.select([reading], [], [], None if since is None else 0.5)
        data = os.read(reading, 1 << 16) if ready else b""
        if ready and not data:
            return
        if since is None and not _JAX_ON_LOSS.search(data):
            os.write(terminal, data)
            continue
        since = time.monotonic() if since is None else since
        held += data
        if time.monotonic() - since > _GRACE - 1:
            os.write(terminal, held)
            held, since = b"", None


def _client():
    from jax._src import distributed  # Orbax, too, has no other way

    return distributed.global_state.client
