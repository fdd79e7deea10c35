"""Files that appear whole or not at all."""

import contextlib
import errno
import functools
import os
import pathlib
from collections.abc import Iterator

from hpof_jax import interrupt
from hpof_jax.errors import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike, what: str) -> Iterator[pathlib.Path]:
    """Yields a temporary path to write to; when the block ends, that file replaces the one at `path`.

    If the block raises, or Ctrl-C stops the program, the temporary file is removed and the one at `path`
    stays.

    Args:
      path: the file to write, in an existing folder.
      what: the subject of the error message, such as "The body".

    Raises:
      UserError: the disk is full, there is no such folder, or no permission (any OSError of the block).
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")  # ffmpeg needs the suffix
    remove = functools.partial(partial.unlink, missing_ok=True)
    with interrupt.cleanup(remove):
        try:
            yield partial
            os.replace(partial, path)
        except OSError as error:
            cure = (
                "make room on the disk" if error.errno == errno.ENOSPC else "give a path that can be written"
            )
            reason = error.strerror or error
            raise UserError(f"{what} cannot be written to {path} ({reason}): {cure}.") from error
        finally:
            with contextlib.suppress(OSError):  # the folder may not exist
                remove()
