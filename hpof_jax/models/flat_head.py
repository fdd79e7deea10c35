"""The pose of all joints at once, without the kinematic tree: to compare with `kinematic_head`."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.geometry.rotations import compose, sixd_to_matrix
from hpof_jax.models.kinematic_head import FACING, IDENTITY


class FlatHead(nn.Module):
    """`KinematicHead` without what goes down the tree: no joint knows of another, or where it has been put."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """(B, T, C) -> rotations (B, T, 24, 3, 3) relative to the parents; the root's is in the camera frame."""
        joints = len(SMPL_PARENTS)
        hidden = nn.gelu(nn.Dense(joints * self.hidden, name="feature")(features))
        hidden = hidden.reshape(*features.shape[:-1], joints, self.hidden)
        turn = self.param("rotation", nn.initializers.normal(0.01), (joints, self.hidden, 6))
        bias = self.param("bias", nn.initializers.zeros, (joints, 6))
        sixd = jnp.einsum("btjh,jhk->btjk", hidden, turn) + bias + jnp.array(IDENTITY)
        rotations = sixd_to_matrix(sixd)
        root = compose(jnp.broadcast_to(FACING, rotations[..., :1, :, :].shape), rotations[..., :1, :, :])
        return jnp.concatenate([root, rotations[..., 1:, :, :]], axis=-3)
