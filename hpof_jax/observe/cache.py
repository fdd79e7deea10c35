"""Observations of video files, kept in the user's cache folder, and continued after an interruption."""

import functools
import hashlib
import inspect
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from absl import logging

from hpof_jax.archives import DAMAGE
from hpof_jax.atomic import replacing
from hpof_jax.downloads import cache_dir, sha256_of
from hpof_jax.errors import UserError
from hpof_jax.observe.blazepose import BlazePose
from hpof_jax.observe.clip import Observations, observe
from hpof_jax.observe.everybody import observe_everybody
from hpof_jax.observe.journal import JournaledBlazePose


def observe_cached(video: str | os.PathLike, **options: Any) -> Observations:
    """Like `hpof_jax.observe.clip.observe`, for a video file; the result is kept in the cache.

    Observing takes a few times as long as the video. If it is interrupted, the next call continues it. The key
    is made of the file's content, the options and the source code of `hpof_jax.observe`. If the cache cannot
    be written, a warning is logged.

    Args:
      video: a file, or a folder of pictures.
      options: those of `observe`.

    Raises:
      UserError: the file cannot be read, or shows nobody.
    """
    return _cached(observe, video, options, _save, _load)


def observe_everybody_cached(video: str | os.PathLike, **options: Any) -> list[Observations]:
    """Like `hpof_jax.observe.everybody.observe_everybody`; the cache is as in `observe_cached`."""
    return _cached(observe_everybody, video, options, _save_people, _load_people)


def _cached(
    function: Callable, video: str | os.PathLike, options: dict[str, Any], save: Callable, load: Callable
):
    """The result of `function`; `save(result, path)` and `load(path)` take a path without a suffix."""
    video = pathlib.Path(video).expanduser()
    arguments = inspect.signature(function).bind(video, **options)
    arguments.apply_defaults()
    decisive = {
        name: value for name, value in arguments.arguments.items() if name not in ("video", "progress", "net")
    }
    try:
        content = _content(video)
    except OSError as error:
        raise UserError(f"the video {video} cannot be read: {error.strerror or error}") from error
    text = f"{function.__name__} {content} {sorted(decisive.items(), key=str)} {_code()}"
    stored = cache_dir() / "observations" / hashlib.sha256(text.encode()).hexdigest()[:20]
    try:
        return load(stored)
    except FileNotFoundError:
        pass
    except (UserError, *DAMAGE, TypeError) as error:
        logging.warning("%s is observed again: %s", video, error)
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        logging.warning("The observations of %s are not kept: %s", video, error)
        return function(video, **options)
    logging.info("Observing %s, once; the observations are kept in %s.", video, stored.parent)
    make = functools.partial(BlazePose, decisive.get("landmark_model", "full"))
    with JournaledBlazePose(stored.with_suffix(".journal"), make) as net:
        try:
            found = function(video, **options, net=net)
        except UserError:
            net.remove()
            raise
        try:
            save(found, stored)
            net.remove()
        except (OSError, UserError) as error:
            logging.warning("The observations of %s are not kept: %s", video, error)
    return found


def _content(video: pathlib.Path) -> str:
    """A hash of the file, or of the names and contents of the files in the folder."""
    if not video.is_dir():
        return sha256_of(video)
    files = sorted(path for path in video.iterdir() if path.is_file())
    return hashlib.sha256(repr([(path.name, sha256_of(path)) for path in files]).encode()).hexdigest()


def _save(observations: Observations, stored: pathlib.Path) -> None:
    observations.save(stored.with_suffix(".npz"))


def _load(stored: pathlib.Path) -> Observations:
    if not stored.with_suffix(".npz").is_file():
        raise FileNotFoundError(stored)
    return Observations.load(stored.with_suffix(".npz"), packed=True)


def _save_people(people: list[Observations], stored: pathlib.Path) -> None:
    """Writes one file for each person, and then the list of these files."""
    paths = [stored.with_name(f"{stored.name}-{number}.npz") for number in range(1, len(people) + 1)]
    for observations, path in zip(people, paths, strict=True):
        observations.save(path)
    with replacing(stored.with_suffix(".json"), "The observations") as partial:
        partial.write_text(json.dumps([path.name for path in paths]), encoding="utf-8")


def _load_people(stored: pathlib.Path) -> list[Observations]:
    names = json.loads(stored.with_suffix(".json").read_text(encoding="utf-8"))
    return [Observations.load(stored.with_name(pathlib.PurePath(name).name), packed=True) for name in names]


@functools.cache
def _code() -> str:
    """A hash of the source code, because a change of the code may change the observations."""
    digest = hashlib.sha256()
    for source in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
