"""A motion before a camera: where the body's skin and the camera are in every frame, and the part of the frame to draw.

The camera is `simulate.film`'s, with its truth. Of its picture, which may be 1080p with a small person in it, only a
window around the person's path is drawn, and no finer than the detector looks.
"""

import dataclasses

import jax
import numpy as np

from data_pipelines.render.looks import Doll, Look
from data_pipelines.simulate.camera import CameraRange, film
from hpof_jax.body.model import BodyModel, forward_kinematics, rest_joints
from hpof_jax.geometry.rotations import axis_angle_to_matrix

PERSON_PIXELS = (170.0, 330.0)  # the person's larger extent in the window; the detector looks at 200
MARGIN = 0.45  # of that extent, around the person's path
MAX_PIXELS = 300_000


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of the full frame, scaled: window = scale * frame - corner."""

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

    truth: dict[
        str, np.ndarray
    ]  # what `simulate.film` tells of one clip, and joints (T, 24, 3) in the camera frame
    bones: np.ndarray  # (T, 24, 3, 4) float32 from the rest pose to the camera frame
    to_camera: np.ndarray  # (T, 3, 3) rotation from the world to the camera
    camera: np.ndarray  # (3,) the camera's place in the world
    window: Window


def shoot(
    rng: np.random.Generator,
    body: BodyModel,
    pose: np.ndarray,
    transl: np.ndarray,
    betas: np.ndarray,
    cameras: CameraRange = CameraRange(),  # noqa: B008 (frozen)
) -> Shot:
    """Places a random camera before a motion.

    Args:
      pose: (T, 24, 3) axis-angle and transl: (T, 3) the pelvis in the world, as `motion.MotionClip` has them.
      betas: (10,).
    """
    batch = (np.asarray(array, np.float32)[None] for array in (pose, transl, betas))
    truth, landmarks, bones, joints, turns = jax.device_get(
        _shoot(jax.random.key(int(rng.integers(2**31))), body, *batch, cameras)
    )
    truth = {key: value[0] for key, value in truth.items()} | {"joints": joints}
    to_camera = turns.astype(np.float64)
    camera = transl - np.einsum("tji,tj->ti", to_camera, joints[:, 0])
    window = _window(rng, landmarks[0], float(truth["true_focal_length"]), truth["image_size"])
    return Shot(truth, bones, to_camera, camera.mean(0), window)


@jax.jit
def _shoot(key, body, pose, transl, betas, cameras):
    truth, landmarks = film(key, body, pose, transl, betas, cameras)
    rest = rest_joints(body, truth["betas"][0])
    rotations = axis_angle_to_matrix(truth["pose"][0])
    turns, joints = forward_kinematics(rest, rotations, body.parents)
    joints = joints + truth["transl"][0][:, None]
    bones = jax.numpy.concatenate([turns, (joints - jax.numpy.einsum("tjab,jb->tja", turns, rest))[..., None]], axis=-1)  # fmt: skip
    to_camera = rotations[:, 0] @ jax.numpy.swapaxes(axis_angle_to_matrix(pose[0, :, 0]), -1, -2)
    return truth, landmarks, bones, joints, to_camera


def dress(doll: Doll, look: Look, body: BodyModel, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The doll's points in the rest pose of this shape, clothes included, and their normals; (P, 3) float32 both."""
    skin = np.asarray(body.v_template) + np.asarray(body.shapedirs) @ np.asarray(betas, np.float32)
    faces = doll.vertex[doll.faces]
    surface = skin + _normals(skin, faces) * look.offset[:, None]
    return surface[doll.vertex].astype(np.float32), _normals(surface, faces)[doll.vertex].astype(np.float32)


def pose_points(
    shot: Shot, weights: np.ndarray, rest: np.ndarray, normals: np.ndarray, to_light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The skin in every frame.

    Args:
      weights: (P, 24) skinning weights. rest, normals: (P, 3) from `dress`. to_light: (3,) in the world.

    Returns:
      points (T, 3, P) in the camera frame, and the cosine between normal and light (T, P); float32.
    """
    # A point is linear in weight * place and weight, its normal in weight * normal: one product each for all frames.
    frames, weights = len(shot.bones), weights.T.astype(np.float32)
    bones = np.moveaxis(shot.bones, 1, -1)  # (T, 3, 4, 24)
    points = bones.reshape(frames * 3, -1) @ np.concatenate([weights * axis for axis in (*rest.T, 1)])
    light = (shot.to_camera @ to_light).astype(np.float32)
    lit = np.einsum("ti,tikj->tkj", light, bones[:, :, :3])
    cosine = lit.reshape(frames, -1) @ np.concatenate([weights * axis for axis in normals.T])
    return points.reshape(frames, 3, -1), cosine


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
    columns, rows = (
        np.maximum(np.round((scale * high - corner) / 2).astype(int), 16) * 2
    )  # even, as videos are
    centre = scale * limit / 2 - corner
    return Window(scale, corner, (int(rows), int(columns)), scale * focal_length, centre)


def _normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = points[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [np.bincount(faces.T.ravel(), np.tile(axis, 3), len(points)) for axis in area.T], axis=-1
    )
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)
