"""A motion in front of a camera: skin and camera in every frame, and the window of the frame to draw.

Camera and ground truth are those of `simulate.camera.film`. The frame may be 1080p with a small person in it,
so only a window around the person's path is drawn, at no more than the detector's resolution.
"""

import dataclasses

import jax
import numpy as np

from data_pipelines.render.looks import Look, TexturedBody
from data_pipelines.simulate.camera import CameraRange, film
from hpof_jax.body.kinematics import forward_kinematics
from hpof_jax.body.model import BodyModel, rest_joints
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.geometry.visibility import vertex_normals

PERSON_PIXELS = (170.0, 330.0)  # larger extent of the person in the window; the detector works at about 200
MARGIN = 0.45  # margin around the person's path, as a share of that extent
MAX_PIXELS = 300_000  # of a window


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of the full frame, scaled: window pixels = scale * frame pixels - corner."""

    scale: float
    corner: np.ndarray  # (2,) window pixels [x, y]
    size: tuple[int, int]  # (h, w)
    focal_length: float  # window pixels
    centre: np.ndarray  # (2,) the principal point in window pixels

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Window pixels (..., 2) to pixels of the full frame."""
        return (points + self.corner) / self.scale


@dataclasses.dataclass(frozen=True)
class Shot:
    """T frames. Camera frame: x right, y down, z forward; world: y up, floor at y = 0; metres."""

    ground_truth: dict[str, np.ndarray]  # one clip's from `camera.film`; joints (T, 24, 3), camera frame
    bones: np.ndarray  # (T, 24, 3, 4) float32 transforms from the rest pose to the camera frame
    to_camera: np.ndarray  # (T, 3, 3) rotation from the world to the camera
    positions: np.ndarray  # (T, 3) of the camera in the world
    window: Window

    @property
    def camera(self) -> np.ndarray:
        """(3,) the mean position of the camera in the world."""
        return self.positions.mean(axis=0)


def shoot(
    rng: np.random.Generator,
    body: BodyModel,
    pose: np.ndarray,
    transl: np.ndarray,
    betas: np.ndarray,
    cameras: CameraRange = CameraRange(),  # noqa: B008 (frozen)
) -> Shot:
    """Places a random camera in front of a motion.

    Args:
      pose: (T, 24, 3) axis-angle and transl: (T, 3) the pelvis, as in `motion.clip.MotionClip`.
      betas: (10,).
      cameras: the distribution of the cameras.
    """
    batch = (np.asarray(array, np.float32)[None] for array in (pose, transl, betas))
    ground_truth, landmarks, bones, joints, turns = jax.device_get(
        _shoot(jax.random.key(int(rng.integers(2**31))), body, *batch, cameras)
    )
    ground_truth = {key: value[0] for key, value in ground_truth.items()} | {"joints": joints}
    to_camera = turns.astype(np.float64)
    camera = transl - np.einsum("tji,tj->ti", to_camera, joints[:, 0])
    focal_length = float(ground_truth["true_focal_length"])
    window = _window(rng, landmarks[0], focal_length, ground_truth["image_size"])
    positions = np.tile(camera.mean(axis=0), (len(camera), 1))
    return Shot(ground_truth, bones, to_camera, positions, window)


def dress(
    textured: TexturedBody, look: Look, body: BodyModel, betas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The dressed body in the rest pose of this shape: points and normals, (P, 3) float32 each, metres."""
    skin = np.asarray(body.v_template) + np.asarray(body.shapedirs) @ np.asarray(betas, np.float32)
    faces = textured.vertex[textured.faces]
    surface = skin + vertex_normals(skin, faces) * look.offset[:, None]
    return surface[textured.vertex].astype(np.float32), vertex_normals(surface, faces)[
        textured.vertex
    ].astype(np.float32)


def pose_points(
    shot: Shot, weights: np.ndarray, rest: np.ndarray, normals: np.ndarray, to_light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Skins the dressed body in every frame.

    Args:
      weights: (P, 24) skinning weights.
      rest, normals: (P, 3), as `dress` returns them.
      to_light: (3,) unit vector in the world.

    Returns:
      points (T, 3, P) in the camera frame, metres, and the cosine between normal and light (T, P); float32.
    """
    # Points are linear in weight * position and weight, normals in weight * normal: one product each.
    frames, weights = len(shot.bones), weights.T.astype(np.float32)
    bones = np.moveaxis(shot.bones, 1, -1)  # (T, 3, 4, 24)
    points = bones.reshape(frames * 3, -1) @ np.concatenate([weights * axis for axis in (*rest.T, 1)])
    light = (shot.to_camera @ to_light).astype(np.float32)
    lit = np.einsum("ti,tikj->tkj", light, bones[:, :, :3])
    cosine = lit.reshape(frames, -1) @ np.concatenate([weights * axis for axis in normals.T])
    return points.reshape(frames, 3, -1), cosine


@jax.jit
def _shoot(key, body, pose, transl, betas, cameras):
    ground_truth, landmarks = film(key, body, pose, transl, betas, cameras)
    rest = rest_joints(body, ground_truth["betas"][0])
    rotations = axis_angle_to_matrix(ground_truth["pose"][0])
    turns, joints = forward_kinematics(rest, rotations, body.parents)
    joints = joints + ground_truth["transl"][0][:, None]
    shift = joints - jax.numpy.einsum("tjab,jb->tja", turns, rest)
    bones = jax.numpy.concatenate([turns, shift[..., None]], axis=-1)
    to_camera = rotations[:, 0] @ jax.numpy.swapaxes(axis_angle_to_matrix(pose[0, :, 0]), -1, -2)
    return ground_truth, landmarks, bones, joints, to_camera


def _window(rng, landmarks, focal_length, image_size) -> Window:
    height, width = image_size.astype(float)
    pixels = landmarks[..., :2] / np.maximum(landmarks[..., 2:], 0.1) * focal_length + (width / 2, height / 2)
    extent = float(np.median(np.ptp(pixels, axis=1).max(axis=-1)))
    limit = np.array([width, height])
    low = np.clip(pixels.min((0, 1)) - MARGIN * extent, 0, limit - 1)
    high = np.clip(pixels.max((0, 1)) + MARGIN * extent, low + 1, limit)
    wanted = rng.uniform(*PERSON_PIXELS) / extent
    scale = min(wanted, np.sqrt(MAX_PIXELS / np.prod(high - low)), 1.0)
    corner = np.round(scale * low)
    # Even numbers, as H.264 needs them.
    columns, rows = np.maximum(np.round((scale * high - corner) / 2).astype(int), 16) * 2
    centre = scale * limit / 2 - corner
    return Window(scale, corner, (int(rows), int(columns)), scale * focal_length, centre)
