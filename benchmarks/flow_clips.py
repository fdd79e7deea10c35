"""Rendered clips to measure losses on optical flow: ground truth, observations, exact and DIS flow."""

import dataclasses
import itertools
import sys
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from data_pipelines.render.film import Film, make_film
from data_pipelines.render.scene import Shot
from hpof_jax.body import BodyModel
from hpof_jax.body.model import keypoints, skin
from hpof_jax.geometry import camera, flow
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.observe.blazepose import LANDMARK_SIDE as MASK_SIDE
from hpof_jax.observe.crops import mask_in_square
from hpof_jax.observe.optical_flow import SIDE
from hpof_jax.observe.person import PersonTracker
from hpof_jax.observe.track import track

FPS = 30.0
OFFSET, JITTER = 0.015, 0.01  # sigmas of a simulated landmark's error, in boxes: per clip, per frame


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Clips:
    """C clips of T frames. Pixels are those of the rendered window; a box has 64 x 64 pixels of its own."""

    pose: np.ndarray  # (C, T, 24, 3) ground truth, axis-angle
    transl: np.ndarray  # (C, T, 3) ground truth, metres, camera frame
    betas: np.ndarray  # (C, 10) ground truth
    focal_length: np.ndarray  # (C,) px
    middle: np.ndarray  # (C, 2) px, the principal point
    box: np.ndarray  # (C, T, 3) px
    landmarks: np.ndarray  # (C, T, 33, 3) [x px, y px, visibility]
    masks: np.ndarray  # (C, T, 64, 64) the detector's person mask in the box, 0 to 1
    inside: np.ndarray  # (C, T, 64, 64) bool: the pixel of the box lies in the picture
    flow: dict[str, np.ndarray]  # "exact" and "DIS", as in `Observations`: (C, T - 1, 2, 64, 64, 2)
    valid: dict[str, np.ndarray]  # (C, T - 1, 2, 64, 64) bool


def make_clips(
    body: BodyModel, motions: Sequence[str], count: int, frames: int, seed: int, every: int = 1
) -> Clips:
    """Renders clips and runs the detector on them. A clip with an unseen frame is left out.

    Args:
      body: the body of the exact flow.
      motions: motion sources, as `python -m hpof_jax.data render` takes them.
      count: of clips. frames: of a clip.
      every: use one of so many frames.
    """
    clips, progress = [], tqdm(total=count, unit="clip", disable=not sys.stderr.isatty())
    for number in itertools.count():
        clip = _observe(body, make_film(seed, number, motions, frames=frames * every), every)
        if clip is not None:
            clips.append(clip)
            progress.update()
        if len(clips) == count:
            return jax.tree.map(lambda *arrays: np.stack(arrays), *clips)


def _observe(body: BodyModel, film: Film, every: int) -> Clips | None:
    """One clip without the axis C, or None if the person is not seen in a frame."""
    shot, tracker = film.shot, PersonTracker("full", fps=FPS / every)
    shot = dataclasses.replace(shot, to_camera=shot.to_camera[::every], ground_truth=dict(shot.ground_truth))
    for key in ("pose", "transl"):
        shot.ground_truth[key] = shot.ground_truth[key][::every]
    pictures = (picture for picture, _ in itertools.islice(film.pictures, 0, None, every))
    found = track(
        pictures,
        tracker,
        mask_side=MASK_SIDE,
        keep_flow=True,
        find_cuts=False,
        stop=lambda seen: not seen[-1],
    )
    if not found["seen"].all():
        return None
    boxes, size = found["flow_box"], np.array(shot.window.size)
    squares = zip(found["masks"], found["mask_to_frame"], boxes)
    places = np.stack([_frame_pixels(box) for box in boxes])
    exact, exact_valid = _exact_flow(body, shot, boxes)
    return Clips(
        *(shot.ground_truth[key] for key in ("pose", "transl", "betas")),
        focal_length=np.float32(shot.window.focal_length),
        middle=np.float32(shot.window.centre),
        box=boxes,
        landmarks=found["landmarks_2d"],
        masks=np.stack([mask_in_square(*square, SIDE) for square in squares]),
        inside=np.all((places > 0) & (places < size[::-1]), axis=-1),
        flow={"exact": exact, "DIS": np.float32(found["flow"])},
        valid={"exact": exact_valid, "DIS": found["flow_valid"]},
    )


def box_pixels(points: jax.Array, box: jax.Array) -> jax.Array:
    """Pixels of a frame (..., K, 2) to pixels of a box (..., 3), which has 64 x 64 of them."""
    return (camera.to_box(points, box) + 1) * (SIDE / 2)


def _frame_pixels(box):
    """The pixel of the frame at the centre of each pixel of a box, (64, 64, 2)."""
    return ((np.moveaxis(np.indices((SIDE, SIDE)), 0, -1)[..., ::-1] + 0.5) / SIDE - 0.5) * box[2] + box[:2]


def _exact_flow(body: BodyModel, shot: Shot, boxes: np.ndarray):
    """Flow and where it is valid, both ways between the frames, from the ground truth."""
    rotations = axis_angle_to_matrix(shot.ground_truth["pose"])
    vertices, _ = jax.jit(skin)(
        body, shot.ground_truth["betas"][None], rotations, shot.ground_truth["transl"]
    )
    vertices, faces = np.asarray(vertices), np.asarray(body.faces)
    focal, middle = shot.window.focal_length, shot.window.centre
    points = vertices[..., :2] / vertices[..., 2:] * focal + middle
    points = np.asarray(box_pixels(points, boxes))
    background = np.empty((len(boxes) - 1, 2, SIDE, SIDE, 2), np.float32)
    for pair, way in np.ndindex(background.shape[:2]):
        a, b = (pair, pair + 1)[:: -1 if way else 1]
        # The background is far away: it moves only as the camera turns.
        place = _frame_pixels(boxes[a])
        rays = np.concatenate([(place - middle) / focal, np.ones((SIDE, SIDE, 1))], axis=-1)
        rays = rays @ (shot.to_camera[b] @ shot.to_camera[a].T).T
        moved = np.float32(rays[..., :2] / rays[..., 2:] * focal + middle - place)
        background[pair, way] = flow.between_boxes(moved, boxes[a], boxes[b])
    return flow.rendered_flow(points, vertices[..., 2], faces, (SIDE, SIDE), background)[:2]


def project(clips: Clips, points: jax.Array) -> jax.Array:
    """Points (C, T, K, 3) in metres, camera frame, to pixels of the window (C, T, K, 2)."""
    depth = jnp.maximum(points[..., 2:], 0.1)
    focal = jnp.asarray(clips.focal_length)[:, None, None, None]
    return points[..., :2] / depth * focal + jnp.asarray(clips.middle)[:, None, None]


def simulate_landmarks(body: BodyModel, clips: Clips, seed: int) -> np.ndarray:
    """Like `Clips.landmarks`: the true landmarks with an error per clip and one per frame, all visible."""
    points, _ = keypoints(
        body, body.landmarks, clips.betas[:, None], axis_angle_to_matrix(jnp.asarray(clips.pose))
    )
    place = np.asarray(project(clips, points + clips.transl[:, :, None]))
    rng, (count, frames) = np.random.default_rng(seed), place.shape[:2]
    noise = OFFSET * rng.normal(size=(count, 1, 33, 2)) + JITTER * rng.normal(size=(count, frames, 33, 2))
    return np.concatenate(
        [place + noise * clips.box[:, :, None, 2:], np.ones_like(place[..., :1])], axis=-1, dtype=np.float32
    )
