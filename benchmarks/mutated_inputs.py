"""Gives damaged and malicious files to everything that reads a user's file, and counts what comes of it.

    python -m benchmarks.mutated_inputs                          # 10,000 files a door, an hour or two
    python -m benchmarks.mutated_inputs --door motion --count 500
    python -m benchmarks.mutated_inputs --door motion --first 137 --count 1   # one file again

A door is a function that reads files. Each file is a valid one with random damage: flipped bits, cuts, splices,
lists of a zip that lie, headers of arrays that lie, NaN, other shapes and types, pickles, archives that unpack
to 1.6 GB. Every file must be read, or be refused by one sentence. What counts as a defect: another exception,
more than 10 CPU seconds, more than 2 GB of memory, a crash, a program that is started, and a file written outside the
scratch folder. Where a good file lies beside the damaged one, and for caches, a refusal is a defect, too.

Linux only: it reads /proc, and limits memory by RLIMIT_AS.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from unittest import mock

import numpy as np

from benchmarks.door import Door
from benchmarks.mutated_doors import DOORS
from benchmarks.program import print_row, program
from hpof_jax.errors import UserError

SECONDS = 10
PATIENCE = 600  # seconds by the clock: on a busy machine, a file that takes 10 CPU seconds takes minutes
MEMORY = 2 * 2**30
READ, REFUSED = "read", "refused"
# Events of sys.addaudithook that no reader of files raises.
_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
)
_FORBIDDEN += ("pickle.find_class", "ctypes.dlopen", "webbrowser.open", "os.chmod", "os.symlink", "os.link")
_STARTS = ("subprocess.Popen", "os.posix_spawn")
_WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.truncate")


class Hang(BaseException):
    """More than `SECONDS` of CPU time, which other programs do not change. No `except Exception` stops it."""


class Watch:
    """Notes forbidden events while it is on. A hook cannot be removed, so there is one per process."""

    _events: list[str] | None = None
    allowed: tuple[str, ...] = ()  # folders in which files may be written
    programs: tuple[str, ...] = ()  # that may be started, by a part of their names
    _installed = False

    def __enter__(self) -> list[str]:
        if not Watch._installed:
            sys.addaudithook(Watch._note)
            Watch._installed = True
        Watch._events = []
        return Watch._events

    def __exit__(self, *_) -> None:
        Watch._events = None

    @staticmethod
    def _note(event: str, arguments: tuple) -> None:
        if Watch._events is None:
            return
        path = arguments[0] if arguments else None
        path = os.fspath(path) if isinstance(path, os.PathLike) else path
        folder = arguments[-1] if event in _WRITES else -1
        if isinstance(path, str) and isinstance(folder, int) and folder >= 0:  # relative to an open folder
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        outside = isinstance(path, str) and not path.startswith(Watch.allowed)
        if event == "open" and outside and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            Watch._events.append(f"writes {path}")
        elif event in _WRITES and outside:
            Watch._events.append(f"{event} {path}")
        elif event.startswith(_STARTS) and any(name in str(path) for name in Watch.programs):
            pass
        elif event.startswith(_FORBIDDEN) or (event == "import" and "mutated_payload" in str(path)):
            Watch._events.append(f"{event} {str(arguments)[:100]}")


def outcome(door: Door, seed: int, number: int, folder: pathlib.Path) -> str:
    """What comes of damaged file `number`: `READ`, `REFUSED`, or the defect in a few words."""
    rng = np.random.default_rng((seed, number))
    with (
        warnings.catch_warnings(),
        mock.patch.object(tempfile, "tempdir", str(folder)),
        _scratch(folder) as scratch,
    ):
        warnings.simplefilter("ignore")
        path = door.damage(rng, scratch)
        started = time.process_time()
        before = _reset_peak()
        Watch.allowed = (
            str(folder),
            "/dev/null",
            "/proc/self",
            os.environ.get("JAX_COMPILATION_CACHE_DIR", "-"),
        )
        Watch.programs = door.programs
        with Watch() as events:
            try:
                with _limited_time():
                    door.open(path)
                result = READ
            except UserError as error:
                sentence = str(error)
                result = REFUSED
                if "\n" in sentence or not sentence.isprintable():
                    result = f"a sentence that is not one line: {sentence[:200]!r}"
                elif door.must_read:
                    result = f"refused: {sentence.replace(str(scratch), '')[:200]}"
            except Hang:
                result = f"takes more than {SECONDS} s"
            except Exception as error:  # noqa: BLE001  that is what is counted
                last = traceback.extract_tb(error.__traceback__)[-1]
                result = f"{type(error).__name__} in {pathlib.Path(last.filename).name}: {str(error)[:100]!r}"
        if events:
            result = events[0]
        elif (folder / "outside").exists():
            result = "runs a command of a file"
        elif time.process_time() - started > SECONDS:
            result = f"takes more than {SECONDS} s"
        elif _peak() - before > MEMORY:
            result = "takes more than 2 GB"
    return result


@contextlib.contextmanager
def _scratch(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        yield pathlib.Path(scratch)


@contextlib.contextmanager
def _limited_time() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise Hang

    handler = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS + 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)


def _reset_peak() -> int:
    """Sets this process's peak memory back to what it takes now, and returns that."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """Bytes; 0 where /proc does not tell."""
    try:
        status = pathlib.Path("/proc/self/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return 1024 * int(fields["VmHWM"].split()[0])


def work(name: str, seed: int, first: int, count: int) -> None:
    """Prints the outcome of each file, one line each, and limits the memory of this process."""
    door = DOORS[name]
    outcomes = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not mix with the outcomes
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # deleting on a disk takes longest
    with tempfile.TemporaryDirectory(prefix="mutated-", dir=memory) as folder:
        folder = pathlib.Path(folder)
        (folder / "valid").mkdir()
        door.prepare(folder / "valid")
        shutil.copytree(folder / "valid", folder / "copy")
        door.open(door.valid(folder / "copy"))  # loads what is loaded at first use
        fields = pathlib.Path("/proc/self/statm").read_text().split()
        limit = int(fields[0]) * resource.getpagesize() + MEMORY + 2**28
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number in range(first, first + count):
            print(json.dumps([number, outcome(door, seed, number, folder)]), file=outcomes, flush=True)


def survey(name: str, seed: int, first: int, count: int) -> tuple[collections.Counter, dict[str, int]]:
    """Outcomes of the files `first` to `first + count`, and the first file of each kind of defect.

    A process that dies, or hangs in C, is replaced by one that goes on with the next file.
    """
    outcomes: collections.Counter = collections.Counter()
    examples: dict[str, int] = {}
    number, end = first, first + count
    while number < end:
        command = [sys.executable, "-m", "benchmarks.mutated_inputs", "--worker", "--door", name]
        command += ["--seed", str(seed), "--first", str(number), "--count", str(end - number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
            errors: list[str] = []
            drain = threading.Thread(target=lambda w=worker, e=errors: e.extend(w.stderr), daemon=True)
            drain.start()
            patience = threading.Timer(PATIENCE, worker.kill)  # for its start; then for each file
            patience.start()
            for line in worker.stdout:
                patience.cancel()
                patience = threading.Timer(PATIENCE, worker.kill)
                patience.start()
                number, result = json.loads(line)
                outcomes[result] += 1
                examples.setdefault(result, number)
                number += 1
            patience.cancel()
        if worker.returncode and number == first:
            raise UserError(f"The worker of {name} does not start: {''.join(errors[-5:])[-500:]}")
        if number < end:
            result = f"the process ends with status {worker.returncode}"
            outcomes[result] += 1
            examples.setdefault(result, number)
            number += 1
    return outcomes, examples


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--door", action="append", choices=sorted(DOORS), help="default: all; may be repeated"
    )
    parser.add_argument("--count", type=int, default=10_000, help="files a door (default: 10,000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first file (default: 0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)


@program(__doc__, _add_options)
def main(options: argparse.Namespace) -> object:
    if options.worker:
        return work(options.door[0], options.seed, options.first, options.count)
    print_row("door", ["files", "read", "refused", "defects", "seconds"])
    report = {}
    for name in options.door or DOORS:
        started = time.monotonic()
        outcomes, examples = survey(name, options.seed, options.first, options.count)
        defects = {kind: n for kind, n in outcomes.most_common() if kind not in (READ, REFUSED)}
        read, refused, seconds = outcomes[READ], outcomes[REFUSED], time.monotonic() - started
        print_row(name, [sum(outcomes.values()), read, refused, sum(defects.values()), round(seconds)])
        for kind, n in defects.items():
            print(f"  {n:6d}  {kind} (file {examples[kind]})", flush=True)
        report[name] = {"read": read, "refused": refused, "defects": defects, "examples": examples}
    return report


if __name__ == "__main__":
    main()
