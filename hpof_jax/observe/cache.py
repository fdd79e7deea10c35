"""Observations of video files, kept in the user's cache folder."""

import functools
import hashlib
import inspect
import os
import pathlib
from typing import Any

from absl import logging

from hpof_jax.downloads import cache_dir, sha256_of
from hpof_jax.errors import UserError
from hpof_jax.observe.clip import Observations, observe


def observe_cached(video: str | os.PathLike, **options: Any) -> Observations:
    """Like `hpof_jax.observe.clip.observe`, for a video file; the result is kept in the cache.

    Observing takes a few times as long as the video. The key is made of the file's content, the options and
    the source code of `hpof_jax.observe`. If the cache cannot be written, a warning is logged.

    Args:
      video: a file.
      options: those of `observe`.

    Raises:
      UserError: the file cannot be read, or shows nobody.
    """
    video = pathlib.Path(video).expanduser()
    arguments = inspect.signature(observe).bind(video, **options)
    arguments.apply_defaults()
    decisive = {
        name: value for name, value in arguments.arguments.items() if name not in ("video", "progress")
    }
    try:
        content = sha256_of(video)
    except OSError as error:
        raise UserError(f"the video {video} cannot be read: {error.strerror or error}") from error
    key = hashlib.sha256(f"{content} {sorted(decisive.items())} {_code()}".encode()).hexdigest()
    stored = cache_dir() / "observations" / f"{key[:20]}.npz"
    if stored.is_file():
        try:
            return Observations.load(stored)
        except UserError as error:
            logging.warning("%s is observed again: %s", video, error)
    logging.info("Observing %s, once; the observations are kept in %s.", video, stored.parent)
    seen = observe(video, **options)
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        seen.save(stored)
    except (OSError, UserError) as error:
        logging.warning("The observations of %s are not kept: %s", video, error)
    return seen


@functools.cache
def _code() -> str:
    """A hash of the source code, because a change of the code may change the observations."""
    digest = hashlib.sha256()
    for source in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
