"""The body: SMPL's functional layer, its files, its joint names, and the free body."""

from hpof_jax.body.files import load_body, save_body
from hpof_jax.body.model import BodyModel, forward

__all__ = ["BodyModel", "forward", "load_body", "save_body"]
