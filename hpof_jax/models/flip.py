"""Flip test-time augmentation: the mean of the predictions for a clip and for its mirror image."""

import jax.numpy as jnp

from hpof_jax.body.mirror import mirror_rotations
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
