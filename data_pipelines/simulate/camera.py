"""Random cameras: each films a clip of world motion, on a tripod or hand-held, still or panning. Pure JAX.

A camera rotates about a fixed position. All random numbers come from one PRNG key.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel, keypoints, rest_joints
from hpof_jax.geometry.camera import default_focal_length, look_at_body
from hpof_jax.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

_IMAGE_SIZES = (
    (1080, 1920),
    (720, 1280),
    (480, 854),
    (480, 640),
    (1920, 1080),
    (1280, 720),
    (854, 480),
    (1440, 1080),
    (1080, 1080),
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CameraRange:
    """The distribution of positions, movements and lenses. Degrees and metres. A pytree."""

    level_share: float = 0.45  # share of clips filmed from about chest height; the others from `elevation`
    level: tuple[float, float] = (5.0, 8.0)  # mean and sigma of the elevation from about chest height
    elevation: tuple[float, float] = (-15.0, 40.0)
    roll: float = 4.0  # sigma
    distance: tuple[float, float] = (2.0, 8.0)
    far: float = 14.0  # largest distance, for a person who does not fit into the frame at `distance`
    near: float = 0.8  # smallest depth of the person's nearest point
    close_share: float = 0.2  # share of clips filmed from so near that limbs are cut off
    close: tuple[float, float] = (0.55, 1.0)  # factor on their distance
    follow_share: float = 0.3  # share of clips in which the camera pans with the person
    handheld_share: float = 0.5
    handheld: float = 0.7  # sigma of the slow sway of a hand-held camera
    focal: tuple[float, float] = (0.75, 0.15)  # focal length / frame's diagonal: median, sigma of the log
    focal_limits: tuple[float, float] = (0.6, 1.1)  # of the same ratio; phones have 0.65 to 0.8
    focal_known_share: float = 0.3  # clips whose true focal length is given, as users and files may give it
    image_sizes: tuple[tuple[int, int], ...] = dataclasses.field(
        default=_IMAGE_SIZES, metadata={"static": True}
    )


def film(
    key: jax.Array, body: BodyModel, pose: jax.Array, transl: jax.Array, betas: jax.Array, camera: CameraRange
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Places a camera in front of each clip.

    Args:
      key: JAX random key.
      body: the body that moves.
      pose: (B, T, 24, 3) axis-angle, world with y up. transl: (B, T, 3) the pelvis in the world, metres.
      betas: (B, 10).
      camera: the distribution of the cameras.

    Returns:
      the ground truth, as `observations.simulate` documents it, and the landmarks (B, T, 33, 3) in the camera
      frame.
    """
    uniform, normal = _numbers(key, pose.shape[0])
    sizes = jnp.array(camera.image_sizes, jnp.float32)
    image_size = sizes[jnp.minimum((uniform[0] * len(sizes)).astype(jnp.int32), len(sizes) - 1)]
    focal = _focal_length(normal[0], image_size, camera)
    known = uniform[23] < camera.focal_known_share
    given = jnp.where(known, focal, default_focal_length(image_size))
    follow = (uniform[1] < camera.follow_share).astype(jnp.float32)

    turn = _viewpoint(uniform[2:5], normal[1:3], camera)
    rotations = axis_angle_to_matrix(pose)
    rotations = rotations.at[:, :, 0].set(turn[:, None] @ rotations[:, :, 0])
    points, joints = keypoints(body, body.landmarks, betas[:, None], rotations)
    points = points - joints[:, :, :1]
    path = jnp.einsum("bij,btj->bti", turn, transl - jnp.mean(transl, axis=1, keepdims=True))

    path = path + _stand(uniform[5:10], points + path[:, :, None], path, follow, focal, image_size, camera)
    sway = _sway(uniform[10:23], normal[3:9], pose.shape[1], camera)
    bearing = jnp.arctan2(path[..., 0], path[..., 2])
    pan = -follow[:, None] * (bearing - jnp.mean(bearing, axis=1, keepdims=True))
    move = axis_angle_to_matrix(sway) @ axis_angle_to_matrix(pan[..., None] * jnp.array([0.0, 1.0, 0.0]))

    pelvis = jnp.einsum("btij,btj->bti", move, path)
    points = jnp.einsum("btij,btkj->btki", move, points) + pelvis[:, :, None]
    root = matrix_to_axis_angle(move @ rotations[:, :, 0])
    ground_truth = dict(
        image_size=image_size,
        focal_length=given,
        true_focal_length=focal,
        betas=betas,
        pose=pose.at[:, :, 0].set(root),
        transl=pelvis - rest_joints(body, betas)[:, None, 0],
    )
    return ground_truth, points


@jax.jit
def landmarks(
    body: BodyModel, pose: jax.Array, betas: jax.Array, transl: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The landmarks of a batch, computed from its ground truth.

    Args:
      pose: (B, T, 24, 3) axis-angle. betas: (B, 10). transl: (B, T, 3) metres. All in the camera frame.

    Returns:
      landmarks (B, T, 33, 3) and pelvis (B, T, 3), metres, camera frame.
    """
    points, joints = keypoints(body, body.landmarks, betas[:, None], axis_angle_to_matrix(pose), transl)
    return points, joints[:, :, 0]


def _numbers(key, clips):
    """Uniform (24, B) and normal (9, B) numbers, in two calls, because each takes seconds to compile."""
    keys = jax.random.split(key)
    return jax.random.uniform(keys[0], (24, clips)), jax.random.normal(keys[1], (9, clips))


def _focal_length(normal, image_size, camera):
    """True focal lengths (B,) in pixels: log-normal, clipped."""
    ratio = camera.focal[0] * jnp.exp(camera.focal[1] * normal)
    return jnp.clip(ratio, *camera.focal_limits) * jnp.linalg.norm(image_size, axis=-1)


def _viewpoint(uniform, normal, camera):
    """Rotations from the world to the camera, (B, 3, 3)."""
    yaw = 2 * math.pi * uniform[0]
    level = camera.level[0] + camera.level[1] * normal[0]
    elevation = jnp.where(uniform[1] < camera.level_share, level, between(camera.elevation, uniform[2]))
    return look_at_body(yaw, jnp.deg2rad(elevation), jnp.deg2rad(camera.roll * normal[1]))


def _stand(uniform, points, path, follow, focal, image_size, camera):
    """The shift (B, 1, 3) that moves a motion from the origin to a place in the camera's view."""
    x = points[..., 0] - (follow[:, None] * path[..., 0])[..., None]
    y, z = points[..., 1], points[..., 2]
    middle = [(jnp.min(a, axis=(1, 2)) + jnp.max(a, axis=(1, 2))) / 2 for a in (x, y)]
    aside = [jnp.abs(a - m[:, None, None]) for a, m in zip((x, y), middle, strict=True)]
    # Tangents of half the field of view on each axis, less a small border.
    reach = 0.47 * jnp.stack([image_size[:, 1], image_size[:, 0]]) / focal
    needed = [jnp.max(a / r[:, None, None] - z, axis=(1, 2)) for a, r in zip(aside, reach, strict=True)]
    nearer = jnp.where(uniform[0] < camera.close_share, between(camera.close, uniform[1]), 1.0)
    low, high = camera.distance
    distance = jnp.maximum(low * (high / low) ** uniform[2], jnp.maximum(*needed) * nearer)
    distance = jnp.maximum(jnp.minimum(distance, camera.far), camera.near - jnp.min(z, axis=(1, 2)))
    # The room left on both sides is how far the person may stand off the centre.
    depth = distance[:, None, None] + z
    slack = [jnp.min(r[:, None, None] * depth - a, axis=(1, 2)) for a, r in zip(aside, reach, strict=True)]
    shift = [jnp.maximum(s, 0.0) * between((-0.9, 0.9), u) for s, u in zip(slack, uniform[3:5], strict=True)]
    centre = [s - m for s, m in zip(shift, middle, strict=True)]
    return jnp.stack([*centre, distance], axis=-1)[:, None]


def _sway(uniform, normal, frames, camera):
    """Sway of hand-held cameras as axis-angle (B, T, 3): two slow sines about each axis; zero on a tripod."""
    clips = uniform.shape[1]

    def per_axis(numbers):  # (6, B) -> (B, 1, 3, 2)
        return numbers.T.reshape(clips, 1, 3, 2)

    period = between((15.0, 120.0), per_axis(uniform[0:6]))
    phase = 2 * math.pi * per_axis(uniform[6:12])
    held = uniform[12] < camera.handheld_share
    size = jnp.deg2rad(camera.handheld) * per_axis(normal) * held[:, None, None, None]
    frame = np.arange(frames, dtype=np.float32)[:, None, None]
    return jnp.sum(size * jnp.sin(2 * math.pi * frame / period + phase), axis=-1)


def between(bounds, chance):
    """Uniform numbers from 0 to 1 -> numbers between two bounds."""
    return bounds[0] + (bounds[1] - bounds[0]) * chance
