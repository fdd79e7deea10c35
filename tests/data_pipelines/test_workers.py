import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from data_pipelines.workers import Ahead, parallel_map
from hpof_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def square(number):
    """The square, the process that computed it, and how it is set up."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    # Blocked since the process began, so that its imports end in no traceback.
    blocked = sys.platform == "win32" or signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    variables = os.environ["OMP_NUM_THREADS"], os.environ["JAX_PLATFORMS"]
    return number**2, os.getpid(), *variables, ignored, blocked


def wait_forever(number):
    os.write(1, f"{os.getpid()}\n".encode())  # at once, so that the lines of two processes do not mix
    threading.Event().wait()


def test_two_processes_give_results_in_order(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with parallel_map(2) as each:
        squares, processes, *rest = zip(*each(square, range(6)))
    assert squares == (0, 1, 4, 9, 16, 25)
    assert os.getpid() not in processes and len(set(processes)) <= 2
    assert [set(values) for values in rest] == [{"1"}, {"cpu"}, {True}, {True}]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_one_process_is_this_one():
    with parallel_map(1) as each:
        assert [*each(os.path.basename, ["a/b"])] == ["b"] and each is map


def power(exponent):
    """A function of the step: its power, the process, and whether that ignores SIGTERM."""
    ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    return lambda step: (step**exponent, os.getpid(), ignored) if step < 9 else os._exit(1)


def test_steps_are_computed_ahead_and_come_in_order():
    ahead = Ahead(power, (3,), processes=2)
    # A stream asks for its first step twice.
    values, processes, ignored = zip(*map(ahead, (2, 2, 3, 4, 5)))
    assert values == (8, 8, 27, 64, 125) and all(ignored)
    assert os.getpid() not in processes and len(set(processes)) <= 2
    with pytest.raises(UserError, match="was killed.*lower --config.data.processes"):
        ahead(9)
    ahead.close()


def test_a_killed_worker_gives_a_sentence():
    with pytest.raises(UserError, match="A process was killed.*give fewer --processes"):
        with parallel_map(2) as each:
            list(each(os._exit, [1, 1]))


@pytest.mark.skipif(sys.platform != "linux", reason="a program finds its children in /proc")
@pytest.mark.parametrize("sent, status", [(signal.SIGINT, 130), (signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_the_workers_end_with_their_parent(sent, status):
    code = """
from hpof_jax import interrupt
interrupt.install()
from data_pipelines.workers import parallel_map
from tests.data_pipelines.test_workers import wait_forever
if __name__ == "__main__":
    with parallel_map(2) as each:
        list(each(wait_forever, range(2)))
"""
    program = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    workers = [int(program.stdout.readline()) for _ in range(2)]
    program.send_signal(sent)
    program.communicate(timeout=60)  # returns when no process holds the pipes any more
    assert program.returncode == status
    assert not any(map(runs, workers))


def runs(process):
    """Whether a process is there, and not only waits to be forgotten by the system."""
    try:
        state = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
