"""Files that appear whole or not at all."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

from hpof_jax.errors import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike, what: str) -> Iterator[pathlib.Path]:
    """Gives a path beside `path` to write to, and moves what is there to `path` when the block ends.

    If the block raises, nothing of it is left, and what was at `path` stays.

    Args:
      path: the file to write; its folder must be there.
      what: what is written, for the message: "The body".

    Raises:
      UserError: the disk is full, there is no such folder, or no permission (any OSError of the block).
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")  # ffmpeg goes by the suffix
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        cure = "make room on the disk" if error.errno == errno.ENOSPC else "give a path that can be written"
        reason = error.strerror or error
        raise UserError(f"{what} cannot be written to {path} ({reason}): {cure}.") from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself may not be there
            partial.unlink(missing_ok=True)
