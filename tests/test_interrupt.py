"""Ctrl-C in programs, with real processes and signals.

Each program says when it has come to the moment of the interrupt, so that nothing here sleeps.
"""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

from hpof_jax import interrupt

ROOT = pathlib.Path(__file__).parents[1]
LIMIT = 60  # seconds until a program that does not end is a failure


@pytest.fixture(autouse=True)
def heed_ctrl_c():
    """Programs inherit an ignored SIGINT, as it is when the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(*args: object) -> subprocess.Popen:
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen([sys.executable, *map(str, args)], cwd=ROOT, env=environment, text=True, **pipes)


def stop_at(program: subprocess.Popen, moment: str) -> tuple[int, str]:
    """Sends one SIGINT after the program has printed `moment`; its exit status and standard error."""
    with program:
        for line in program.stdout:
            if moment in line:
                break
        else:
            pytest.fail(f"{moment!r} never came: {program.stderr.read()}")
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=LIMIT)
    return program.returncode, errors


def program(code: str) -> str:
    return "from hpof_jax import interrupt; interrupt.install()\n" + textwrap.dedent(code)


@pytest.mark.parametrize(
    "work",
    [
        "while True: pass",
        "import time; time.sleep(1000)",
        # C code that never returns to Python's loop, and so never runs a Python handler.
        "import ctypes; ctypes.CDLL(None).sleep(1000)",
        # A KeyboardInterrupt raised in a destructor is discarded.
        """
        class Endless:
            def __del__(self):
                while True: pass
        Endless()
        """,
    ],
    ids=["python", "sleep", "c", "destructor"],
)
def test_whatever_is_under_way_ends_at_once(work):
    status, errors = stop_at(start("-c", program("print('go')\n" + textwrap.dedent(work))), "go")
    assert status == 130 and errors == "Stopped.\n"


def test_nothing_half_written_is_left(tmp_path):
    (tmp_path / "notes.txt").write_text("old")
    code = """
    import pathlib, sys
    from hpof_jax.atomic import replacing
    with replacing(sys.argv[1], "The text") as partial:
        partial.write_text("half")
        print(partial, flush=True)
        while True: pass
    """
    status, errors = stop_at(start("-c", program(code), tmp_path / "notes.txt"), ".part")
    assert status == 130 and errors == "Stopped.\n"
    assert (tmp_path / "notes.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_children_end_too():
    code = """
    import subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    print("child", child.pid)
    child.wait()
    """
    with start("-c", program(code)) as parent:
        child = int(parent.stdout.readline().split()[1])
        parent.send_signal(signal.SIGINT)
        _, errors = parent.communicate(timeout=LIMIT)
    assert parent.returncode == 130 and errors == "Stopped.\n"
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_deferred_interrupt_is_noted_and_a_second_one_stops():
    code = """
    with interrupt.deferred() as requested:
        print("first")
        while not requested(): pass
        print("second")
        while True: pass
    """
    with start("-c", program(code)) as process:
        for moment in ("first\n", "second\n"):
            assert process.stdout.readline() == moment
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 130 and errors == "Stopped.\n"


def test_a_deferred_interrupt_does_not_stop_what_follows():
    code = """
    with interrupt.deferred() as requested:
        print("go")
        while not requested(): pass
    for _ in range(10**6): pass
    print("the end")
    """
    with start("-c", program(code)) as process:
        assert process.stdout.readline() == "go\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output, errors) == (0, "the end\n", "")


def test_python_m_installs_it_before_the_imports(tmp_path):
    """A module in the way of the first heavy import stops there: the interrupt comes during imports."""
    (tmp_path / "platformdirs.py").write_text("print('importing')\nwhile True: pass\n")
    code = """
    import os, sys
    os.environ["PYTHONPATH"] = sys.argv[1]
    os.execv(sys.executable, [sys.executable, "-m", "hpof_jax.reconstruct"])
    """
    status, errors = stop_at(start("-c", textwrap.dedent(code), tmp_path), "importing")
    assert status == 130 and errors == "Stopped.\n"


def test_importing_the_package_leaves_the_handler_alone():
    code = "import signal, hpof_jax; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_an_ignored_interrupt_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt.install()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
