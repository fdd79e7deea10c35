"""A camera that pans, is held in the hand, or walks, in place of one on a tripod.

All kinds keep the person in the picture. A pan turns about a fixed place; a camera in the hand also sways by a few
centimetres; a walking one moves through the room.
"""

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from data_pipelines.motion.clip import FPS
from data_pipelines.render.scene import MAX_PIXELS, Shot, Window, shoot
from data_pipelines.simulate.camera import CameraRange
from hpof_jax.body.model import BodyModel
from hpof_jax.geometry.numpy_rotations import about, compose, to_matrix

KINDS = ("pan", "handheld", "walk")
SWEEP = 0.35  # largest angle of a pan beside the person, as a share of the field of view
SWAY = {"pan": 0.1, "handheld": 0.9, "walk": 0.8}  # degrees, sigma of the slow sway about each axis
SHIFT = {
    "pan": 0.0,
    "handheld": 0.015,
    "walk": 0.02,
}  # metres, sigma of the sway of the place along each axis
SPEED = (0.4, 1.1)  # m/s of a walking camera
NEAREST = 1.8  # metres from a walking camera to the person
STEPS = 1.8  # per second, of a walking camera


def film(
    rng: np.random.Generator,
    body: BodyModel,
    pose: np.ndarray,
    transl: np.ndarray,
    betas: np.ndarray,
    kind: str,
) -> Shot:
    """As `scene.shoot`, with a camera that moves; the window is the whole frame.

    Args:
      kind: one of `KINDS`.
    """
    range_ = CameraRange(follow_share=float(kind == "pan"), handheld_share=0.0, close_share=0.0)
    shot = shoot(rng, body, pose, transl, betas, range_)
    frames, up = len(transl), np.array([0.0, 1.0, 0.0])
    places = shot.positions + _sines(rng, frames, SHIFT[kind], (20, 90))
    turns = shot.to_camera
    if kind == "walk":
        places = places + _walk(rng, shot.positions[0], transl)
        # The camera keeps the person where they would be in the picture of a camera that stands still.
        bearings = [
            np.unwrap(np.arctan2(*(transl - place)[:, [0, 2]].T)) for place in (shot.positions, places)
        ]
        yaw = gaussian_filter1d(bearings[0] - bearings[1], FPS / 4, mode="nearest")
        turns = turns @ to_matrix(yaw[:, None] * up)
    sway = np.radians(_sines(rng, frames, SWAY[kind], (15, 120)))
    if kind == "pan":
        height, width = shot.ground_truth["image_size"]
        view = 2 * np.arctan(width / 2 / float(shot.ground_truth["true_focal_length"]))
        sweep = rng.uniform(0.3, 1) * SWEEP * view * rng.choice([-1, 1])
        sway = sway + about(1, np.linspace(-sweep, sweep, frames))
    return _seen_from(shot, to_matrix(sway) @ turns, places)


def _walk(rng: np.random.Generator, start: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """The way (T, 3) of a walking camera from its place in the middle of the clip; it does not come near the person."""
    time = (np.arange(len(transl)) - len(transl) / 2) / FPS
    along = np.array([1.0, 0.0, 1.0])
    ways = []
    for angle in rng.uniform(-np.pi, np.pi, 20):
        way = rng.uniform(*SPEED) * time[:, None] * np.array([np.sin(angle), 0.0, np.cos(angle)])
        ways.append((np.linalg.norm((start + way - transl) * along, axis=1).min(), way))
    far = [way for distance, way in ways if distance > NEAREST]
    way = far[0] if far else max(ways, key=lambda pair: pair[0])[1]
    phase = 2 * np.pi * (STEPS * time + rng.random())
    return way + np.stack([0.01 * np.sin(phase / 2), 0.02 * np.sin(phase), 0.01 * np.cos(phase / 2)], axis=1)


def _sines(rng: np.random.Generator, frames: int, size: float, periods: tuple[float, float]) -> np.ndarray:
    """(T, 3) smooth random numbers: two sines on each axis."""
    period, phase = rng.uniform(*periods, (2, 3)), rng.uniform(0, 2 * np.pi, (2, 3))
    time = np.arange(frames)[:, None, None]
    return (size * rng.normal(size=(2, 3)) * np.sin(2 * np.pi * time / period + phase)).sum(axis=1)


def _seen_from(shot: Shot, to_camera: np.ndarray, positions: np.ndarray) -> Shot:
    """The same motion, seen by a camera with other rotations (T, 3, 3) and positions (T, 3) in the world."""
    turn = to_camera @ np.swapaxes(shot.to_camera, 1, 2)
    shift = np.einsum("tij,tj->ti", to_camera, shot.positions - positions)
    truth, bones = shot.ground_truth, np.einsum("tij,tkjl->tkil", turn, shot.bones)
    bones[..., 3] += shift[:, None]
    joints = np.einsum("tij,tkj->tki", turn, truth["joints"]) + shift[:, None]
    pose = truth["pose"].copy()
    pose[:, 0] = compose(Rotation.from_matrix(turn).as_rotvec(), pose[:, 0])
    transl = truth["transl"] + joints[:, 0] - truth["joints"][:, 0]
    moved = dict(pose=pose, joints=joints.astype(np.float32), transl=transl.astype(np.float32))
    size = truth["image_size"].astype(float)
    scale = min(float(np.sqrt(MAX_PIXELS / np.prod(size))), 1.0)
    rows, columns = np.round(scale * size / 2).astype(int).tolist()
    focal_length = scale * float(truth["true_focal_length"])
    window = Window(scale, np.zeros(2), (2 * rows, 2 * columns), focal_length, scale * size[::-1] / 2)
    return dataclasses.replace(
        shot,
        ground_truth=truth | moved,
        bones=bones.astype(np.float32),
        to_camera=to_camera,
        positions=positions,
        window=window,
    )
