"""Observations and rotations in the mirror image of a video. For NumPy and JAX arrays alike."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR, SMPL_MIRROR

_SIGNS = np.array([-1.0, 1.0, 1.0], np.float32)
_X = np.array([1.0, 0.0, 0.0], np.float32)


def mirror_observations(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The observations of the mirrored video.

    Args:
      batch: `landmarks_2d` (B, T, 33, 3) = [x px, y px, visibility], `landmarks_3d` (B, T, 33, 3) metres in
        camera axes, `seen` (B, T), `image_size` (B, 2) = [height, width], and other arrays.

    Returns:
      The batch with mirrored `landmarks_2d` and `landmarks_3d`. In unseen frames the landmarks' x stays 0.
    """
    points = batch["landmarks_2d"][..., BLAZEPOSE_MIRROR, :]
    width = batch["image_size"][:, None, None, 1:]
    return {
        **batch,
        "landmarks_2d": points * _SIGNS + width * _X * batch["seen"][..., None, None],
        "landmarks_3d": batch["landmarks_3d"][..., BLAZEPOSE_MIRROR, :] * _SIGNS,
    }


def mirror_rotations(rotations: Any) -> Any:
    """Joint rotations (..., 24, 3, 3) of the mirrored motion.

    F R F with F = diag(-1, 1, 1), and the rotation of each joint from its counterpart on the other side.
    """
    return rotations[..., SMPL_MIRROR, :, :] * (_SIGNS[:, None] * _SIGNS)
