"""The SMPL layer as pure functions, body files, joint names and keypoint sets."""

from hpof_jax.body.files import load_body, save_body
from hpof_jax.body.keypoint_sets import keypoint_basis
from hpof_jax.body.model import BodyModel, forward, keypoints

__all__ = ["BodyModel", "forward", "keypoint_basis", "keypoints", "load_body", "save_body"]
