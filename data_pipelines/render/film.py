"""One clip of the closed loop, from its number: a motion, a person, a camera and a place, and the pictures of it.

Everything in a clip follows from (seed, number) and the options, whichever process makes it and whatever was made
before.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from data_pipelines.motion.augment import Augmentation
from data_pipelines.render.backdrop import make_backdrop
from data_pipelines.render.looks import draw_look, make_doll
from data_pipelines.render.picture import take_pictures
from data_pipelines.render.scene import Shot, dress, pose_points, shoot
from data_pipelines.sources import draw_windows, open_source
from hpof_jax.body.files import load_body
from hpof_jax.errors import UserError

VERSION = 5  # raise it whenever the same number gives another clip
FRAMES = 120  # in a clip, at 30 a second
# Milder than what trains with a simulated detector: in contorted poses the real one errs more than it does on video.
VARIATION = Augmentation(lean=0.3, perturbation_odds=(0.35, 0.35, 0.2, 0.1))
VALIDATION_EVERY = 10  # one clip in so many shows a motion of the validation split


@dataclasses.dataclass(frozen=True)
class Film:
    """A clip before anybody has watched it."""

    shot: Shot
    pictures: Iterator[
        tuple[np.ndarray, np.ndarray]
    ]  # window and visible mask of each frame: see `take_pictures`
    name: str  # of the motion's file
    motion_class: str
    validation: bool  # the motion is of the validation split


def make_film(
    seed: int,
    number: int,
    motions: Sequence[str],
    pictures: Sequence[pathlib.Path] = (),
    frames: int = FRAMES,
    vary: bool = True,
) -> Film:
    """Clip `number` of the collection that `seed` and the other arguments name.

    Args:
      motions: motion sources, as `stream.make_stream` takes them, of equal shares.
      pictures: photographs and videos for the background. vary: whether motions are changed (see `augment`), or as recorded.

    Raises:
      UserError: a source that is unknown or empty.
    """
    rng = np.random.default_rng((seed, number))
    validation = number % VALIDATION_EVERY == VALIDATION_EVERY - 1
    drawers, shares = _open(tuple(motions), "validation" if validation else "train")
    # Three, because motions are also mixed with one another.
    motion = draw_windows(rng, list(drawers.values()), shares, 3, frames, VARIATION if vary else None)
    body, doll, weights = _body()
    look = draw_look(rng)
    shot = shoot(rng, body, motion.pose[0], motion.transl[0], motion.betas[0])
    to_light = rng.normal(size=3) * (1, 0.5, 1) + (0, 1.2, 0)
    to_light /= np.linalg.norm(to_light)
    rest, normals = dress(doll, look, body, motion.betas[0])
    points, cosine = pose_points(shot, weights, rest, normals, to_light)
    backdrop = make_backdrop(rng, shot, pictures)
    shown = take_pictures(rng, shot, doll, look, backdrop, points, cosine, to_light)
    return Film(shot, shown, str(motion.name[0]), str(motion.motion_class[0]), validation)


def motion_files(motions: Sequence[str]) -> dict[str, list[str]]:
    """The names of the files of each source, in both splits."""
    files: dict[str, set[str]] = {spec: set() for spec in motions}
    for split in ("train", "validation"):
        drawers, _ = _open(tuple(motions), split)
        for spec, drawer in drawers.items():
            files[spec] |= drawer.names
    return {spec: sorted(names) for spec, names in files.items()}


@functools.cache
def _body():
    body, doll = load_body(), make_doll()
    return body, doll, np.asarray(body.lbs_weights)[doll.vertex]


@functools.cache
def _open(motions: tuple[str, ...], split: str) -> tuple[dict[str, object], np.ndarray]:
    """The sources by their names, and their shares; a small one may lack a validation split, but not all may."""
    drawers, missing = {}, None
    for spec in motions:
        try:
            drawers[spec] = open_source(spec, split)
        except UserError as error:
            if split == "train":
                raise
            missing = error
    if not drawers:
        raise missing
    shares = np.array([motions.count(spec) for spec in drawers], np.float64)
    return drawers, shares / shares.sum()
