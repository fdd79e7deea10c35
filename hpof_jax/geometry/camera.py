"""Pinhole projection, and weak perspective in a person's box <-> translation in the full-frame camera.

Camera frame: x right, y down, z forward, metres. Pixels: x right, y down, (0, 0) at the frame's upper left
corner. The principal point is the middle of the frame. A box is a square, (..., 3) = [centre x, centre y,
size] in pixels.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

DEFAULT_FOCAL_RATIO = 0.75  # focal length over the frame's diagonal; phones have 0.65 to 0.8
BOX_MARGIN = 1.2  # size of the box over the extent of the landmarks in it
MIN_DEPTH = 0.1  # metres; points nearer than this, or behind the camera, are projected as if at this depth


def default_focal_length(image_size: jax.Array) -> jax.Array:
    """The focal length to assume if it is unknown, (...,) pixels: 0.75 of the frame's diagonal.

    Args:
      image_size: (..., 2) = [height, width] in pixels.
    """
    return DEFAULT_FOCAL_RATIO * jnp.linalg.norm(jnp.asarray(image_size, jnp.float32), axis=-1)


def focal_length_of_fov(degrees: float, width: float) -> float:
    """The focal length in pixels of a frame `width` pixels wide, from its horizontal field of view."""
    return width / (2.0 * math.tan(math.radians(degrees) / 2.0))


def project(points: jax.Array, focal_length: jax.Array, image_size: jax.Array) -> jax.Array:
    """Camera-frame points to full-frame pixels.

    Args:
      points: (..., 3) metres.
      focal_length: pixels, broadcastable against points[..., 0].
      image_size: (..., 2) = [height, width], its leading axes broadcastable like `focal_length`.

    Returns:
      (..., 2) pixels [x, y].
    """
    image_size = jnp.asarray(image_size)
    depth = jnp.maximum(points[..., 2], MIN_DEPTH)
    x = focal_length * points[..., 0] / depth + image_size[..., 1] / 2
    y = focal_length * points[..., 1] / depth + image_size[..., 0] / 2
    return jnp.stack([x, y], axis=-1)


def box_from_keypoints(keypoints: jax.Array, min_confidence: float = 0.3) -> jax.Array:
    """The person's square box from 2D keypoints: the centre and the larger extent of the visible ones.

    Args:
      keypoints: (..., K, 3) = [x, y, confidence], pixels.
      min_confidence: keypoints below it are left out. If fewer than four remain, all count.

    Returns:
      (..., 3) = [centre x, centre y, size] in pixels; size is at least 1.
    """
    visible = keypoints[..., 2] >= min_confidence
    visible = visible | (jnp.sum(visible, axis=-1, keepdims=True) < 4)
    xy, visible = keypoints[..., :2], visible[..., None]
    low = jnp.min(jnp.where(visible, xy, jnp.inf), axis=-2)
    high = jnp.max(jnp.where(visible, xy, -jnp.inf), axis=-2)
    size = jnp.maximum(jnp.max(high - low, axis=-1), 1.0 / BOX_MARGIN) * BOX_MARGIN
    return jnp.concatenate([(low + high) / 2, size[..., None]], axis=-1)


def to_box(points: jax.Array, box: jax.Array) -> jax.Array:
    """Full-frame pixels (..., K, 2) to box coordinates, where the box (..., 3) spans [-1, 1] on both axes."""
    return (points - box[..., None, :2]) * (2.0 / box[..., None, 2:])


def box_angles(box: jax.Array, focal_length: jax.Array, image_size: jax.Array) -> jax.Array:
    """The box in the field of view, (..., 3) = [x, y, size] over the focal length, from the frame's middle.

    CLIFF (Li et al., ECCV 2022) gives them to its network as inputs.

    Args:
      box: (..., 3) pixels.
      focal_length: (...,) pixels.
      image_size: (..., 2) = [height, width] in pixels.
    """
    image_size = jnp.asarray(image_size)
    middle = jnp.stack([image_size[..., 1], image_size[..., 0]], axis=-1) / 2.0
    focal_length = jnp.asarray(focal_length)[..., None]
    return jnp.concatenate([(box[..., :2] - middle) / focal_length, box[..., 2:] / focal_length], axis=-1)


def cam_to_translation(
    cam: jax.Array, box: jax.Array, focal_length: jax.Array, image_size: jax.Array
) -> jax.Array:
    """Weak perspective in the box -> position of the body's origin in the full-frame camera (CLIFF, eq. 5).

    In box coordinates x_box = s (x + tx): the point (-tx, -ty, .) of the body is in the middle of the box.
    One metre at the body's depth z = 2 f / (s size) is s half-boxes.

    Args:
      cam: (..., 3) = [s, tx, ty]; s > 0 in 1/metres, tx and ty in metres.
      box: (..., 3) pixels.
      focal_length: (...,) pixels.
      image_size: (..., 2) = [height, width] in pixels.

    Returns:
      (..., 3) metres, camera frame.
    """
    angles = box_angles(box, focal_length, image_size)
    depth = 2.0 / (jnp.maximum(cam[..., 0], 1e-3) * angles[..., 2])
    return jnp.concatenate([cam[..., 1:] + angles[..., :2] * depth[..., None], depth[..., None]], axis=-1)


def translation_to_cam(
    translation: jax.Array, box: jax.Array, focal_length: jax.Array, image_size: jax.Array
) -> jax.Array:
    """The inverse of `cam_to_translation`: (..., 3) metres -> (..., 3) = [s, tx, ty]."""
    angles = box_angles(box, focal_length, image_size)
    depth = jnp.maximum(translation[..., 2:], MIN_DEPTH)
    scale = 2.0 / (depth * angles[..., 2:])
    return jnp.concatenate([scale, translation[..., :2] - angles[..., :2] * depth], axis=-1)


def look_at_body(yaw: jax.Array, elevation: jax.Array, roll: jax.Array) -> jax.Array:
    """Rotation from the world (y up) to a camera that looks at the origin, (..., 3, 3).

    With all angles zero, a body that faces +z faces the camera. Positive elevation puts the camera above the
    body, positive yaw turns the body to its left, positive roll turns the picture clockwise.

    Args:
      yaw, elevation, roll: (...,) radians.
    """

    def about(axis, angle):
        c, s, o, i = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle), jnp.ones_like(angle)
        rows = {
            "x": [i, o, o, o, c, -s, o, s, c],
            "y": [c, o, s, o, i, o, -s, o, c],
            "z": [c, -s, o, s, c, o, o, o, i],
        }[axis]
        return jnp.stack(rows, axis=-1).reshape(*angle.shape, 3, 3)

    flip = jnp.asarray(np.diag([1.0, -1.0, -1.0]), jnp.float32)
    return about("z", roll) @ flip @ about("x", elevation) @ about("y", yaw)
