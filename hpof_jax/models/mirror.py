"""A clip and its mirror image: the mean of the model's answers to both errs less than either."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR, SMPL_MIRROR
from hpof_jax.geometry.rotations import compose, matrix_to_sixd, sixd_to_matrix
from hpof_jax.models.hpof import Prediction

_FLIP = np.diag([-1.0, 1.0, 1.0]).astype(np.float32)


def mirror_batch(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """What the detector would have said of the mirrored video: `landmarks_2d` and `landmarks_3d` (B, T, 33, 3) of a batch."""
    points = batch["landmarks_2d"][:, :, BLAZEPOSE_MIRROR]
    x = jnp.where(batch["seen"][..., None], batch["image_size"][:, None, None, 1] - points[..., 0], 0.0)
    return {
        **batch,
        "landmarks_2d": jnp.concatenate([x[..., None], points[..., 1:]], axis=-1),
        "landmarks_3d": batch["landmarks_3d"][:, :, BLAZEPOSE_MIRROR] * _FLIP.diagonal(),
    }


def mean_of_both(prediction: Prediction, mirrored: Prediction) -> Prediction:
    """The mean of the answers to a batch and to `mirror_batch` of it, in the frame of the first; rotations through 6D."""
    turned = compose(compose(_FLIP, mirrored.rotations[..., SMPL_MIRROR, :, :]), _FLIP)
    return Prediction(
        betas=(prediction.betas + mirrored.betas) / 2,
        rotations=sixd_to_matrix((matrix_to_sixd(prediction.rotations) + matrix_to_sixd(turned)) / 2),
        cam=(prediction.cam + mirrored.cam * np.array([1.0, -1.0, 1.0], np.float32)) / 2,
    )
