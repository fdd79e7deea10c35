"""Flip test-time augmentation: the mean of the predictions for a clip and for its mirror image, and their distance."""

import jax
import jax.numpy as jnp

from hpof_jax.body.mirror import mirror_rotations
from hpof_jax.body.model import BodyModel, posed_joints
from hpof_jax.body.skeletons import SMPL_LIMBS
from hpof_jax.geometry.rotations import matrix_to_sixd, sixd_to_matrix
from hpof_jax.models.hpof import Prediction


def average_flipped(prediction: Prediction, flipped: Prediction) -> Prediction:
    """The mean of two predictions; that of rotations is taken in the 6D representation.

    Args:
      prediction: for a batch.
      flipped: for `body.mirror.mirror_observations` of it.

    Returns:
      The mean, in the camera frame of the first.
    """
    sixd = matrix_to_sixd(prediction.rotations) + matrix_to_sixd(mirror_rotations(flipped.rotations))
    return Prediction(
        betas=(prediction.betas + flipped.betas) / 2,
        rotations=sixd_to_matrix(sixd / 2),
        cam=(prediction.cam + flipped.cam * jnp.array([1.0, -1.0, 1.0])) / 2,
    )


def disagreement(rotations: jax.Array, flipped: jax.Array, body: BodyModel, betas: jax.Array) -> jax.Array:
    """How far apart two predictions are: the mean distance of the limb joints about the pelvis, (..., T) metres.

    Args:
      rotations: (..., T, 24, 3, 3) for a clip, and `flipped` those for its mirror image.
      betas: (10,) the shape that both are posed with.
    """
    first, second = (posed_joints(body, betas, turns) for turns in (rotations, mirror_rotations(flipped)))
    apart = (first - first[..., :1, :]) - (second - second[..., :1, :])
    return jnp.mean(jnp.linalg.norm(apart[..., SMPL_LIMBS, :], axis=-1), axis=-1)
