"""Who is seen in a video, where and how well: the observations that a reconstruction starts from."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from hpof_jax import moving_camera, visualize
from hpof_jax.errors import UserError
from hpof_jax.features import Extractor
from hpof_jax.geometry.camera import DEFAULT_FOCAL_RATIO, focal_length_of_fov
from hpof_jax.observe import cache, clip
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.everybody import observe_everybody
from hpof_jax.observe.video import is_webcam, read_video
from hpof_jax.progress import progress as shown
from hpof_jax.reconstruction.settings import Settings

FOCAL_LENGTH_SOURCES = {
    "given": "as given",
    "metadata": "from the video's metadata",
    "background": "from how the background moves while the camera turns",
    "assumed": f"assumed to be {DEFAULT_FOCAL_RATIO} of the frame's diagonal; set --focal-length or --fov if "
    "you know it",
}


def record(webcam: str | os.PathLike | int, path: pathlib.Path, settings: Settings) -> pathlib.Path:
    """Records a webcam: it gives each frame only once, but the detector and the overlay both need it."""
    frames, info = read_video(webcam, settings.max_frames, settings.fps)
    logging.info("recording %s into %s; press Ctrl-C to stop", info.name, path)
    visualize.record(frames, info.fps, path)
    return path


def observe(
    video: str | os.PathLike | int, settings: Settings, extractor: Extractor | None = None
) -> list[Observations]:
    """The people of a video whom the settings ask for; logs what the result depends on.

    Args:
      extractor: of the image features that the model takes. None: it takes none.

    Raises:
      UserError: the video cannot be read, or nobody is seen in enough frames.
    """
    people = _with_focal_length(_find(video, settings), settings)
    people = _known_people(people, settings.min_seen) if settings.everybody else _one_person(people, settings)
    if extractor is None:
        return people
    frames, info = read_video(video, **settings.part)
    return extractor.of_people(
        shown(frames, "image features", info.frame_count, show=settings.progress), people
    )


def _find(video: Any, settings: Settings) -> list[Observations]:
    """The observations of one person, or of everybody; those of a file are kept in the cache."""
    options: dict[str, Any] = settings.part | dict(
        landmark_model=settings.landmark_model,
        focal_length=settings.focal_length,
        keep_masks=settings.refine != "off",
        keep_flow=settings.refine == "full",
        keep_background=True,
        progress=settings.progress,
    )
    is_file = not is_webcam(video) and pathlib.Path(video).expanduser().exists()
    if settings.everybody:
        find_all = cache.observe_everybody_cached if is_file else observe_everybody
        return find_all(video, **options)
    find_one = cache.observe_cached if is_file else clip.observe
    return [find_one(video, person=settings.person, **options)]


def _with_focal_length(people: list[Observations], settings: Settings) -> list[Observations]:
    """The people with the focal length of the field of view, or of the background where it was assumed."""
    if settings.fov is None:
        return moving_camera.calibrated(people, settings.camera)
    width = float(people[0].image_size[1])
    focal_length = np.asarray(focal_length_of_fov(settings.fov, width), np.float32)
    return [
        dataclasses.replace(one, focal_length=focal_length, focal_length_source="given") for one in people
    ]


def _one_person(people: list[Observations], settings: Settings) -> list[Observations]:
    """Raises UserError if the person is seen in too few frames."""
    (person,) = people
    share, frames = float(np.mean(person.seen)), len(person)
    logging.info("The person is seen in %.0f %% of %d frames.", 100 * share, frames)
    if share < settings.min_seen:
        raise UserError(
            f"The person is seen in only {person.seen.sum()} of {frames} frames, less than "
            f"{100 * settings.min_seen:g} %: choose somebody else with --person or a part of the video with --start and "
            "--end, or accept this with --min-seen 0."
        )
    if len(doubts := person.times[np.asarray(person.doubts, int)]):
        first, last = doubts[0], doubts[-1]
        logging.warning(
            "%s somebody who looks alike is close to the person: the body may go on with the other one. Look at the "
            "overlay, or recover everybody with --person all.",
            f"At {first:.2f} s" if first == last else f"From {first:.2f} to {last:.2f} s",
        )
    _log_video(people)
    return people


def _known_people(found: list[Observations], min_seen: float) -> list[Observations]:
    """The people who are seen in enough frames; logs who they are and where it is doubtful who is who."""
    people = [person for person in found if np.mean(person.seen) >= min_seen]
    if not people:
        raise UserError(
            f"Each of the {len(found)} people is seen in less than {100 * min_seen:g} % of the frames between their "
            "first and last one: choose a part of the video with --start and --end, or accept this with --min-seen 0."
        )
    if len(people) < len(found):
        logging.warning(
            "People who are seen in too few frames and are left out: %d.", len(found) - len(people)
        )
    for number, person in enumerate(people, 1):
        logging.info(
            "Person %d is seen in %.0f %% of the frames from %.2f to %.2f s, around x = %.0f pixels.",
            number,
            100 * np.mean(person.seen),
            person.times[0],
            person.times[-1],
            np.median(person.landmarks_2d[person.seen][..., 0]),
        )
        for doubt in person.times[np.asarray(person.doubts, int)]:
            logging.warning(
                "Person %d cannot be told from others after %.2f s: the track ends; somebody who comes later may "
                "be the same.",
                number,
                doubt,
            )
    _log_video(people)
    return people


def _log_video(people: Sequence[Observations]) -> None:
    cuts = np.unique(np.concatenate([person.times[person.shots[1:]] for person in people]))
    if len(cuts):
        logging.info("The video has %d cut(s), at %s s.", len(cuts), ", ".join(f"{at:.2f}" for at in cuts))
    source = FOCAL_LENGTH_SOURCES[people[0].focal_length_source]
    logging.info("The focal length is %.0f pixels, %s.", people[0].focal_length, source)
