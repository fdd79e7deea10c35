"""Shared by all programs: errors as one sentence and a status, logging, a cache of compiled programs."""

import argparse
import functools
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Callable
from logging import ERROR, WARNING, LogRecord

from absl import flags, logging

from hpof_jax import downloads, interrupt
from hpof_jax.errors import UserError

MIN_COMPILE_SECONDS = 0.1  # programs that compile faster are not kept


def entry_point(main: Callable[[], None]) -> Callable[[], None]:
    """Decorates a program's `main`: a `UserError` becomes its message and exit status 2, Ctrl-C status 130.

    Logs go to standard error. Programs that JAX compiles are kept for the next run.
    """

    @functools.wraps(main)
    def run() -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else TensorFlow logs that it uses oneDNN, twice
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our own error says what is wrong
        flags.FLAGS.mark_as_parsed()  # else absl logs a warning; training parses its flags itself
        logging.use_absl_handler()
        logging.set_verbosity(logging.INFO)
        logging.get_absl_handler().python_handler.addFilter(_is_wanted)
        keep_compiled_programs()
        try:
            main()
        except UserError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:  # where `interrupt` is not installed
            print("Stopped.", file=sys.stderr)
            sys.exit(interrupt.STATUS)

    return run


def positive_int(text: str) -> int:
    """The type of a command-line argument that is a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from error
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def add_camera(parser: argparse.ArgumentParser) -> None:
    """Adds the options about the camera's pose, with the names of `world.find_world`'s arguments."""
    add = functools.partial(parser.add_argument, type=float)
    add("--camera-pitch", help="degrees, positive if the camera looks up (default: estimated)")
    add("--camera-roll", help="degrees, positive if turned clockwise, seen from behind (default: estimated)")
    add("--camera-height", help="metres above the floor (default: estimated)")


def keep_compiled_programs() -> None:
    """Makes JAX keep compiled programs in the user's cache folder.

    The environment variable JAX_COMPILATION_CACHE_DIR names another folder. If the folder cannot be written
    to, nothing is kept, without a warning.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = downloads.cache_dir() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    options: dict[str, str | float] = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": MIN_COMPILE_SECONDS,
    }
    for name, value in options.items():
        # The environment is for child processes, and for a JAX that is imported later.
        chosen = os.environ.setdefault(name.upper(), str(value))
        if "jax" in sys.modules:
            sys.modules["jax"].config.update(name, type(value)(chosen))
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    # JAX does not write these files atomically, and it never replaces a damaged one.
    interrupt.at_stop(functools.partial(_remove_newest, folder, time.time()))


def _remove_newest(folder: pathlib.Path, since: float) -> None:
    for path in folder.iterdir():
        if path.stat().st_mtime > max(since, time.time() - 2.0):
            path.unlink(missing_ok=True)


def _is_wanted(record: LogRecord) -> bool:
    """Keeps this package's lines and other packages' warnings: Orbax logs ten lines for each checkpoint.

    Orbax's warnings about folders that are opened for reading are left out: reading is intended.
    """
    package = pathlib.Path(__file__).parent
    ours = (package, package.parent / "data_pipelines")
    if "read_only" in str(record.msg) or "read only" in str(record.msg):
        return False
    if "orbax" in pathlib.Path(record.pathname).parts and record.levelno >= ERROR:
        return False  # Orbax also raises what it logs, with a traceback for each of its threads
    return record.levelno >= WARNING or any(pathlib.Path(record.pathname).is_relative_to(f) for f in ours)
