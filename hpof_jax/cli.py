"""What every entry point does with an error: one sentence on standard error and an exit status that is not 0."""

import sys
from collections.abc import Callable

from absl import logging

from hpof_jax.errors import UserError


def run(main: Callable[[], None]) -> None:
    """Runs `main`; a `UserError` becomes its sentence and status 2, Ctrl-C status 130."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    logging.set_stderrthreshold("info")
    try:
        main()
    except UserError as error:
        sys.exit(_sentence(error))
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        sys.exit(_sentence(f"{error.strerror}: {error.filename or 'while writing'}; free some space or give another path."))
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)


def _sentence(error) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2
