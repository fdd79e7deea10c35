"""The heads of the mean-pose baseline: what any model has to beat."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.geometry.rotations import sixd_to_matrix
from hpof_jax.models.kinematic_head import IDENTITY, face_camera


class MeanShapeHead(nn.Module):
    """One learned shape for everybody, in place of `ShapeHead`."""

    num_betas: int = 10

    @nn.compact
    def __call__(self, features: jax.Array, seen: jax.Array) -> jax.Array:
        """(B, T, C), (B, T) -> betas (B, 1, num_betas), independent of the input."""
        betas = self.param("betas", nn.initializers.zeros, (self.num_betas,))
        return jnp.broadcast_to(betas, (len(features), 1, self.num_betas))


class MeanPoseHead(nn.Module):
    """One learned body pose for every frame, in place of `KinematicHead`; only the root follows the input."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: jax.Array, rest: jax.Array) -> jax.Array:
        """Rotations of all joints; arguments and result as for `KinematicHead`. `rest` is not used."""
        root = nn.gelu(nn.Dense(self.hidden, name="feature")(features))
        root = nn.Dense(6, kernel_init=nn.initializers.normal(0.01), name="root")(root)[..., None, :]
        body_pose = self.param("body_pose", nn.initializers.zeros, (len(SMPL_PARENTS) - 1, 6))
        body_pose = jnp.broadcast_to(body_pose, (*features.shape[:-1], *body_pose.shape))
        sixd = jnp.concatenate([root, body_pose], axis=-2) + jnp.array(IDENTITY)
        return face_camera(sixd_to_matrix(sixd))
