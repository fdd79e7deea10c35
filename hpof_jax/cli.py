"""What every entry point does with an error: one sentence on standard error and an exit status that is not 0."""

import functools
import os
import pathlib
import sys
from collections.abc import Callable
from logging import WARNING, LogRecord

from absl import flags, logging

from hpof_jax.errors import UserError


def entry_point(main: Callable[[], None]) -> Callable[[], None]:
    """Decorates a `main`: a `UserError` becomes its sentence and status 2, Ctrl-C status 130, logs go to stderr."""

    @functools.wraps(main)
    def run() -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        os.environ.setdefault(
            "OPENCV_FFMPEG_LOGLEVEL", "-8"
        )  # what is wrong with a video is said once, by us
        flags.FLAGS.mark_as_parsed()  # else absl warns before its first line; only training has flags, and parses them
        logging.use_absl_handler()
        logging.set_verbosity(logging.INFO)
        logging.get_absl_handler().python_handler.addFilter(_worth_a_line)
        try:
            main()
        except UserError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("Stopped.", file=sys.stderr)
            sys.exit(130)

    return run


def _worth_a_line(record: LogRecord) -> bool:
    """Our own lines, and other packages' warnings: Orbax alone would tell ten things about every checkpoint.

    Its warnings about a folder opened for reading say what was asked for.
    """
    package = pathlib.Path(__file__).parent
    ours = (package, package.parent / "data_pipelines")
    if "read_only" in str(record.msg) or "read only" in str(record.msg):
        return False
    return record.levelno >= WARNING or any(pathlib.Path(record.pathname).is_relative_to(f) for f in ours)
