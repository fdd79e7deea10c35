"""The flat pose head: all joints at once, without the kinematic tree. An ablation of `kinematic_head`."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.geometry.rotations import sixd_to_matrix
from hpof_jax.models.kinematic_head import IDENTITY, face_camera


class FlatHead(nn.Module):
    """Each joint's rotation from the frame's feature only; no joint depends on another."""

    hidden: int = 64
    use_shape: bool = True  # the rest skeleton is an input

    @nn.compact
    def __call__(self, features: jax.Array, rest: jax.Array) -> jax.Array:
        """Rotations of all joints; arguments and result as for `KinematicHead`."""
        joints = len(SMPL_PARENTS)
        if self.use_shape:
            skeleton = rest.reshape(*rest.shape[:2], -1)
            skeleton = jnp.broadcast_to(skeleton, (*features.shape[:2], skeleton.shape[-1]))
            features = jnp.concatenate([features, skeleton], axis=-1)
        hidden = nn.gelu(nn.Dense(joints * self.hidden, name="feature")(features))
        hidden = hidden.reshape(*features.shape[:-1], joints, self.hidden)
        kernel = self.param("rotation", nn.initializers.normal(0.01), (joints, self.hidden, 6))
        bias = self.param("bias", nn.initializers.zeros, (joints, 6))
        sixd = jnp.einsum("btjh,jhk->btjk", hidden, kernel) + bias + jnp.array(IDENTITY)
        return face_camera(sixd_to_matrix(sixd))
