"""One rendered clip of several people who meet, pass each other, or leave and come back, with known identities.

They walk along drawn paths in front of a camera that stands still. A clip depends only on (seed, number).
"""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from data_pipelines.motion.clip import FPS
from data_pipelines.motion.synthetic import sample_gait
from data_pipelines.render.backdrop import make_backdrop
from data_pipelines.render.looks import draw_look, textured_body
from data_pipelines.render.picture import take_pictures_of_people
from data_pipelines.render.scene import Shot, Window, dress, pose_points
from hpof_jax.body.files import load_body
from hpof_jax.body.kinematics import forward_kinematics
from hpof_jax.body.model import rest_joints
from hpof_jax.geometry.numpy_rotations import about, compose
from hpof_jax.geometry.rotations import axis_angle_to_matrix

# pass: two people cross; overtake: the same, in one direction; meet: two people stand close together, then part to
# either side; leave: one person leaves the picture and comes back, past another; three: three people cross.
KINDS = ("pass", "overtake", "meet", "leave", "three")
FRAMES = 150
IMAGE_SIZES = ((360, 640), (480, 640), (540, 960), (480, 848))
ALIKE_SHARE = 0.1  # of the clips: two people wear the same clothes
LEGS = (1, 2, 4, 5, 7, 8, 10, 11)


@dataclasses.dataclass(frozen=True)
class Crowd:
    """A clip of N people in T frames.

    kind: one of `KINDS`.
    joints: (N, T, 24, 2) [x, y] px of SMPL's joints, also of hidden ones and outside the picture.
    image_size: (h, w) px.
    pictures: of each frame the picture (h, w, 3) uint8 RGB and the visible mask (h, w) uint8 of each person.
    """

    kind: str
    joints: np.ndarray
    image_size: tuple[int, int]
    pictures: Iterator[tuple[np.ndarray, list[np.ndarray]]]


def make_crowd(seed: int, number: int, frames: int = FRAMES, kind: str | None = None) -> Crowd:
    """Clip `number` of the collection `seed`.

    Args:
      kind: one of `KINDS`; None: the kinds take turns.
    """
    rng = np.random.default_rng((seed, number))
    kind = kind or KINDS[number % len(KINDS)]
    body, textured = load_body(), textured_body()
    weights = np.asarray(body.lbs_weights)[textured.vertex]
    size = IMAGE_SIZES[rng.integers(len(IMAGE_SIZES))]
    shot, view = _camera(rng, size, frames)
    paths = draw_paths(rng, kind, frames, view)
    count = len(paths)
    pose, transl = (array.astype(np.float64) for array in sample_gait(rng, frames, count))
    for one, height, path in zip(pose, transl, paths):
        _follow(one, height, path)
    betas = rng.normal(0, 0.8, (count, 10)).astype(np.float32)
    looks = [draw_look(rng) for _ in range(count)]
    if rng.random() < ALIKE_SHARE:
        looks[1] = looks[0]
    to_light = rng.normal(size=3) * (1, 0.5, 1) + (0, 1.2, 0)
    to_light /= np.linalg.norm(to_light)
    people, joints = [], []
    for person in range(count):
        bones, points = (
            np.asarray(array)
            for array in _bones(
                body, betas[person], pose[person], transl[person], shot.to_camera[0], shot.camera
            )
        )
        own = dataclasses.replace(shot, bones=bones)
        people.append(
            (
                looks[person],
                *pose_points(own, weights, *dress(textured, looks[person], body, betas[person]), to_light),
            )
        )
        pixels = points[..., :2] / np.maximum(points[..., 2:], 0.1) * shot.window.focal_length
        joints.append(pixels + shot.window.centre)
    backdrop = make_backdrop(rng, dataclasses.replace(shot, bones=bones))
    backdrop = dataclasses.replace(backdrop, occluder=None)
    pictures = take_pictures_of_people(rng, shot, textured, people, backdrop, to_light)
    return Crowd(kind, np.array(joints), size, pictures)


def draw_paths(rng: np.random.Generator, kind: str, frames: int, view: float) -> np.ndarray:
    """(N, T, 2) metres [x right, z towards the camera] of the people on the floor.

    Args:
      view: half of the width that the camera sees at z = 0, metres.
    """
    time = (np.arange(frames) - frames / 2) / FPS
    middle = time[-1] * rng.uniform(-0.2, 0.2) + time  # the meeting is not always in the middle of the clip
    meeting = rng.uniform(-0.2, 0.2) * view
    side = rng.choice([-1.0, 1.0])
    gap = rng.uniform(0.35, 0.8) * rng.choice([-1, 1])

    def walk(speed, depth, at=meeting):
        drift = rng.normal(0, 0.08) * time
        return np.stack([at + speed * middle, depth + drift], axis=1)

    speeds = rng.uniform(0.6, 1.3, 3)
    if kind == "pass":
        paths = [walk(side * speeds[0], gap), walk(-side * speeds[1], 0.0)]
    elif kind == "overtake":
        slow = rng.uniform(0.15, 0.4)
        paths = [walk(side * (slow + rng.uniform(0.5, 0.9)), gap), walk(side * slow, 0.0)]
    elif kind == "meet":
        together, through = rng.uniform(0.3, 1.0), rng.random() < 0.5
        gap = np.sign(gap) * rng.uniform(0.3, 0.45)
        # Both come, stand for `together` seconds at each side of the meeting, and part.
        apart = np.sign(middle) * np.maximum(np.abs(middle) - together, 0)
        apart = apart if through else -np.abs(apart)
        close = rng.uniform(0.0, 0.15)
        paths = [
            np.stack([meeting + side * (speeds[0] * apart - close), np.full(frames, gap)], axis=1),
            np.stack([meeting - side * (speeds[1] * apart - close), np.zeros(frames)], axis=1),
        ]
    elif kind == "leave":
        away = rng.uniform(0.5, 1.2)  # seconds out of the picture
        edge = view * 1.25
        x = edge + speeds[0] * (away / 2 - np.abs(middle))
        x = np.where(np.abs(middle) * speeds[0] > edge * 1.4, edge - 1.4 * edge + speeds[0] * away / 2, x)
        still = np.stack([rng.uniform(-0.3, 0.3) * view + 0.05 * np.sin(time), np.full(frames, gap)], axis=1)
        paths = [np.stack([side * x, np.zeros(frames)], axis=1), still]
    else:
        directions = side * np.array([1.0, -1.0, rng.choice([-1.0, 1.0])])
        places = meeting + np.array([0.0, 0.0, rng.uniform(-0.4, 0.4) * view])
        depths = rng.permutation([-0.7, 0.0, 0.7])
        factors = (1.0, 1.0, rng.uniform(0.0, 0.5))
        paths = [
            walk(direction * speed * factor, depth, place)
            for direction, speed, factor, depth, place in zip(directions, speeds, factors, depths, places)
        ]
    return np.stack(paths)


def _camera(rng: np.random.Generator, size: tuple[int, int], frames: int) -> tuple[Shot, float]:
    """A camera that stands still, without people, and half of the width that it sees at the people, metres."""
    height, width = size
    focal_length = rng.uniform(0.65, 0.85) * np.hypot(height, width)
    distance = focal_length * rng.uniform(2.4, 3.4) / height
    level = rng.uniform(1.0, 1.8)
    down = np.arctan2(level - 0.95, distance)
    forward = np.array([0.0, -np.sin(down), -np.cos(down)])
    right = np.array([1.0, 0.0, 0.0])
    to_camera = np.stack([right, np.cross(forward, right), forward])
    window = Window(1.0, np.zeros(2), size, focal_length, np.array([width / 2, height / 2]))
    turns = np.tile(to_camera, (frames, 1, 1))
    positions = np.tile([0.0, level, distance], (frames, 1))
    return Shot(
        {}, np.empty((frames, 24, 3, 4)), turns, positions, window
    ), width / 2 / focal_length * distance


def _follow(pose: np.ndarray, transl: np.ndarray, path: np.ndarray) -> None:
    """Moves a gait, in place, onto a path (T, 2). Who stands faces the camera more or less."""
    velocity = np.gradient(path, 1 / FPS, axis=0)
    speed = np.linalg.norm(velocity, axis=1)
    kernel = np.ones(9) / 9
    smooth = np.stack([np.convolve(np.pad(axis, 4, "edge"), kernel, "valid") for axis in velocity.T], axis=1)
    smooth[:, 1] += 0.15  # towards the camera
    heading = np.unwrap(np.arctan2(smooth[:, 0], smooth[:, 1]))
    facing = np.asarray(axis_angle_to_matrix(pose[:, 0].astype(np.float32)))[:, :, 2]
    turn = heading - np.arctan2(facing[:, 0], facing[:, 2])
    pose[:, 0] = compose(about(1, turn), pose[:, 0])
    stride = np.clip(speed / 0.6, 0.1, 1.0)
    stride = np.convolve(np.pad(stride, 4, "edge"), kernel, "valid")
    pose[:, LEGS] *= stride[:, None, None]
    transl[:, 0], transl[:, 2] = path.T


@jax.jit
def _bones(body, betas, pose, transl, to_camera, camera):
    """(T, 24, 3, 4) transforms from the rest pose to the camera frame, and the joints (T, 24, 3) in it."""
    rest = rest_joints(body, betas)
    turns, joints = forward_kinematics(rest, axis_angle_to_matrix(pose), body.parents)
    joints = (joints - joints[:, :1] + transl[:, None] - camera) @ to_camera.T
    turns = jax.numpy.einsum("ab,tjbc->tjac", to_camera, turns)
    shift = joints - jax.numpy.einsum("tjab,jb->tja", turns, rest)
    return jax.numpy.concatenate([turns, shift[..., None]], axis=-1), joints
