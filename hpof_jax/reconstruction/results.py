"""The folder of a reconstruction's results, and the files in it."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging

from hpof_jax import export as exports
from hpof_jax import interrupt, report, visualize
from hpof_jax.body import BodyModel
from hpof_jax.errors import UserError
from hpof_jax.models.weights import weights_file
from hpof_jax.motion import Motion
from hpof_jax.observe import swaps
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.video import read_video
from hpof_jax.reconstruction.settings import Settings


@contextlib.contextmanager
def open_folder(out: str | os.PathLike | None) -> Iterator[pathlib.Path | None]:
    """Makes the folder and its parents if they do not exist, and checks that it can be written to; None stays None.

    If the block raises, or Ctrl-C stops the program, the folders that were made and are still empty are
    removed.

    Raises:
      UserError: the folder cannot be written to.
    """
    if out is None:
        yield None
        return
    out = pathlib.Path(out)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]

    def remove() -> None:
        with contextlib.suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()

    with interrupt.cleanup(remove):
        try:
            _check_writable(out)
            yield out
        except BaseException:
            remove()
            raise


def _check_writable(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"The folder {folder} cannot be written to ({reason}): give another --out."
        ) from error


def write(
    folder: pathlib.Path,
    video: str | os.PathLike | int,
    people: Sequence[Observations],
    motions: Sequence[Motion],
    body: BodyModel,
    settings: Settings,
) -> None:
    """Writes the motions, their export, the overlay and the reports, in this order; logs each file.

    Args:
      video: that the people were observed in, with the same settings.
      people, motions: of the same length.
      body: the body that the motions were made with.

    Raises:
      UserError: a file cannot be written.
    """
    suffixes = [f"_{number}" for number in range(1, len(people) + 1)] if settings.everybody else [""]
    named = {f"motion{suffix}": motion for suffix, motion in zip(suffixes, motions, strict=True)}
    for name, motion in named.items():
        motion.save(folder / f"{name}.npz")
        logging.info("wrote %s", folder / f"{name}.npz")
    if settings.export:
        for path in exports.export(named, folder, settings.export, body):
            logging.info("wrote %s", path)
    if settings.overlay:
        frames, _ = read_video(video, **settings.part)
        bodies, path = motions if settings.everybody else motions[0], folder / "overlay.mp4"
        visualize.write_overlay(frames, bodies, body, path, **settings.look, progress=settings.progress)
        logging.info("wrote %s", path)
    made_with = _made_with(video, settings)
    for suffix, motion, person in zip(suffixes, motions, people, strict=True):
        _write_report(motion, person, body, folder / f"report{suffix}.html", made_with, settings)


def _made_with(video: str | os.PathLike | int, settings: Settings) -> dict[str, Any]:
    """What somebody needs to make the motion again."""
    files: dict[str, str | os.PathLike | None] = {
        "video": str(video),
        "weights": weights_file(settings.weights),
        "features": settings.features,
        "body": settings.body,
    }
    hashes = {
        what: {"name": pathlib.Path(path).name, "sha256": report.digest(path)}
        for what, path in files.items()
        if path is not None
    }
    return hashes | {"options": settings.decisive, "versions": report.versions()}


def _write_report(
    motion: Motion,
    person: Observations,
    body: BodyModel,
    path: pathlib.Path,
    made_with: dict[str, Any],
    settings: Settings,
) -> None:
    *_, swapped = swaps.undo_swaps(person.landmarks_2d, person.landmarks_3d, person.seen, person.shots)
    made = report.make(
        motion,
        body,
        swapped=swapped[:, 0] | swapped[:, 1],
        shots=person.shots.tolist(),
        person=settings.person,
        refine=settings.refine,
        made_with=made_with,
    )
    report.write(made, path, "overlay.mp4" if settings.overlay else None)
    count = len(made["warnings"])
    logging.info("%d warning%s; see %s", count, "" if count == 1 else "s", path)
