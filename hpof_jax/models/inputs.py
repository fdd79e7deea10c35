"""The model's inputs: observations in pixels and metres, and image features, become one vector for each frame."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hpof_jax.geometry import camera
from hpof_jax.geometry.temporal import interpolate_gaps
from hpof_jax.models.backbone import IMAGE_FEATURES

LANDMARKS = 33
NUM_FEATURES = LANDMARKS * 6 + 5
PLACE = slice(LANDMARKS * 6, LANDMARKS * 6 + 3)  # of the box in the field of view, in the vector
WITH_IMAGE = NUM_FEATURES + IMAGE_FEATURES + 1


class Inputs(NamedTuple):
    """A batch of clips, as the model takes it."""

    features: jax.Array  # (B, T, NUM_FEATURES), or WITH_IMAGE if there are image features
    box: jax.Array  # (B, T, 3) pixels, interpolated where nobody was seen
    mask: jax.Array  # (B, T) bool, false on padding
    seen: jax.Array  # (B, T) bool, the detector saw the person; false on padding


def make_inputs(
    landmarks_2d: jax.Array,
    landmarks_3d: jax.Array,
    seen: jax.Array,
    mask: jax.Array,
    image_size: jax.Array,
    focal_length: jax.Array,
    hide_3d: jax.Array | bool = False,
    image_features: jax.Array | None = None,
    has_features: jax.Array | bool = True,
    hide_landmarks: jax.Array | bool = False,
) -> Inputs:
    """Landmarks relative to the person's box, the place of the box in the field of view, and image features.

    The box is an input as in CLIFF (Li et al., ECCV 2022).

    Args:
      landmarks_2d: (B, T, 33, 3) = [x px, y px, visibility] in the full frame.
      landmarks_3d: (B, T, 33, 3) of the detector, metres about the middle of the hips, camera axes.
      seen: (B, T) bool, the detector found the person. mask: (B, T) bool, false on padding.
      image_size: (B, 2) = [height, width] pixels. focal_length: (B,) assumed focal length, pixels.
      hide_3d: (B,) bool or bool; where true, `landmarks_3d` is withheld from the model.
      image_features: (B, T, 2048) of the crops of the boxes, see `hpof_jax.features`; None: of no clip.
      has_features: (B, T) bool or bool, where they are known and not withheld. They count only where `seen`.
      hide_landmarks: (B,) bool or bool; where true, all landmarks are withheld; the box stays.
    """
    seen = seen & mask
    box = interpolate_gaps(camera.box_from_keypoints(landmarks_2d), seen)
    place = camera.box_angles(box, focal_length[:, None], image_size[:, None])
    points = jnp.clip(camera.to_box(landmarks_2d[..., :2], box), -3.0, 3.0)
    confidence = landmarks_2d[..., 2]
    there = seen.astype(points.dtype)[..., None]
    if hide_landmarks is not False:
        there = there * ~jnp.broadcast_to(jnp.asarray(hide_landmarks), seen.shape[:1])[:, None, None]
    has_3d = there * ~jnp.broadcast_to(jnp.asarray(hide_3d), seen.shape[:1])[:, None, None]
    flat = (*seen.shape, -1)
    features = jnp.concatenate(
        [
            points.reshape(flat) * there,
            (confidence - 0.5) * there,
            landmarks_3d.reshape(flat) * (2.0 * has_3d),
            place,
            there,
            has_3d,
        ],
        axis=-1,
    )
    if image_features is not None:
        known = (seen & has_features)[..., None]
        image = jnp.where(known, image_features.astype(features.dtype), 0.0)
        features = jnp.concatenate([features, image, known.astype(features.dtype)], axis=-1)
    return Inputs(features, box, mask, seen)


class Observed(NamedTuple):
    """What the features say of a frame, zeros where it is unseen."""

    points: jax.Array  # (..., 33, 2) in the box, which spans [-1, 1]; clipped to [-3, 3]
    confidence: jax.Array  # (..., 33)
    landmarks_3d: jax.Array  # (..., 33, 3) metres about the middle of the hips, camera axes
    place: jax.Array  # (..., 3) the box in the field of view, see `camera.box_angles`
    there: jax.Array  # (...,) 1 where the person is seen, and the landmarks are not withheld
    has_3d: jax.Array  # (...,) 1 where the 3D landmarks are known


def read_features(features: jax.Array) -> Observed:
    """The inverse of `make_inputs`: (..., NUM_FEATURES) -> what was observed."""
    ends = [LANDMARKS * n for n in (2, 3, 6)]
    points, confidence, landmarks_3d, rest = jnp.split(features, ends, axis=-1)
    batch = features.shape[:-1]
    there, has_3d = rest[..., 3], rest[..., 4]
    return Observed(
        points.reshape(*batch, LANDMARKS, 2),
        confidence + 0.5 * there[..., None],
        landmarks_3d.reshape(*batch, LANDMARKS, 3) / 2.0,
        rest[..., :3],
        there,
        has_3d,
    )
