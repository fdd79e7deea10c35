"""One rendered clip from its number: a motion, a person, a camera, a backdrop, and the pictures of them.

A clip depends only on (seed, number) and the options, not on the process that makes it or on other clips.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from data_pipelines.motion.augment import Augmentation
from data_pipelines.render import camera_path
from data_pipelines.render.backdrop import make_backdrop
from data_pipelines.render.hall import Hall
from data_pipelines.render.looks import draw_look, textured_body
from data_pipelines.render.picture import take_pictures
from data_pipelines.render.scene import Shot, dress, pose_points, shoot
from data_pipelines.sources import draw_windows, open_source
from hpof_jax.body.files import load_body
from hpof_jax.errors import UserError

VERSION = 5  # raise it when a change of the code gives another clip for the same number
FRAMES = 120  # of a clip, at 30 frames/s
# Milder than with the simulated detector: in contorted poses the real detector has larger errors than on real
# video.
AUGMENTATION = Augmentation(lean=0.3, perturbation_odds=(0.35, 0.35, 0.2, 0.1))
VALIDATION_EVERY = 10  # one clip in ten shows a motion of the validation split


@dataclasses.dataclass(frozen=True)
class Film:
    """A clip on which no detector has been run."""

    shot: Shot
    pictures: Iterator[
        tuple[np.ndarray, np.ndarray]
    ]  # (window, visible mask) of each frame: see `take_pictures`
    name: str  # of the motion's file
    motion_class: str
    validation: bool  # whether the motion is of the validation split


def make_film(
    seed: int,
    number: int,
    motions: Sequence[str],
    pictures: Sequence[pathlib.Path] = (),
    frames: int = FRAMES,
    augment: bool = True,
    camera_motion: str | None = None,
) -> Film:
    """Clip `number` of the collection that the other arguments define.

    Args:
      seed: of the collection.
      number: of the clip, from 0.
      motions: motion sources, as `stream.make_stream` takes them, in equal shares.
      pictures: photographs and videos for the background.
      frames: in the clip.
      augment: whether the motion is augmented.
      camera_motion: one of `camera_path.KINDS`; the person is in a room, and the window is the whole frame. None: on a tripod or held in the hand, at a fixed place.

    Raises:
      UserError: a source is unknown or empty, or a picture cannot be read.
    """
    rng = np.random.default_rng((seed, number))
    validation = number % VALIDATION_EVERY == VALIDATION_EVERY - 1
    sources, shares = _open(tuple(motions), "validation" if validation else "train")
    # Three windows, because augmentation also mixes the limbs of several.
    motion = draw_windows(rng, list(sources.values()), shares, 3, frames, AUGMENTATION if augment else None)
    body, textured, weights = _body()
    look = draw_look(rng)
    moved = motion.pose[0], motion.transl[0], motion.betas[0]
    shot = camera_path.film(rng, body, *moved, camera_motion) if camera_motion else shoot(rng, body, *moved)
    to_light = rng.normal(size=3) * (1, 0.5, 1) + (0, 1.2, 0)
    to_light /= np.linalg.norm(to_light)
    rest, normals = dress(textured, look, body, motion.betas[0])
    points, cosine = pose_points(shot, weights, rest, normals, to_light)
    backdrop = Hall(rng, shot) if camera_motion else make_backdrop(rng, shot, pictures)
    shown = take_pictures(rng, shot, textured, look, backdrop, points, cosine, to_light)
    return Film(shot, shown, str(motion.name[0]), str(motion.motion_class[0]), validation)


def motion_files(motions: Sequence[str]) -> dict[str, list[str]]:
    """Source -> the sorted names of its files in both splits."""
    files: dict[str, set[str]] = {spec: set() for spec in motions}
    for split in ("train", "validation"):
        for spec, source in _open(tuple(motions), split)[0].items():
            files[spec] |= source.names
    return {spec: sorted(names) for spec, names in files.items()}


@functools.cache
def _body():
    body, textured = load_body(), textured_body()
    return body, textured, np.asarray(body.lbs_weights)[textured.vertex]


@functools.cache
def _open(motions: tuple[str, ...], split: str) -> tuple[dict[str, object], np.ndarray]:
    """Sources by their names, and their shares. At least one source must have the split."""
    sources, missing = {}, None
    for spec in motions:
        try:
            sources[spec] = open_source(spec, split)
        except UserError as error:
            if split == "train":
                raise
            missing = error
    if not sources:
        raise missing
    shares = np.array([motions.count(spec) for spec in sources], np.float64)
    return sources, shares / shares.sum()
