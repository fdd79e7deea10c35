"""The pose head: joint rotations along the kinematic tree, on the skeleton that the shape gives.

After the kinematic tree decoder of MAED (Wan et al., ICCV 2021): a joint's rotation is regressed from the
frame's feature and its ancestors' rotations. Here forward kinematics runs inside the head, so each joint also
sees its bone and the position to which its ancestors' rotations have moved it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.skeletons import SMPL_PARENTS, tree_levels
from hpof_jax.geometry.rotations import compose, matrix_to_sixd, rotate, sixd_to_matrix

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # in 6D
# At initialisation the body is upright in the camera frame (y down, z forward) and faces the camera.
FACING = np.diag(np.array([1.0, -1.0, -1.0], np.float32))


class KinematicHead(nn.Module):
    """Joint after joint by depth: each level of the tree is a few batched matrix products."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: jax.Array, rest: jax.Array) -> jax.Array:
        """Rotations of all joints.

        Args:
          features: (B, T, C) of the encoder.
          rest: (B, S, 24, 3) rest joints of the shape, metres; S is 1, or T with a shape for each frame.

        Returns:
          (B, T, 24, 3, 3) relative to the parents; the root's is in the camera frame.
        """
        parents, levels = np.array(SMPL_PARENTS), tree_levels(SMPL_PARENTS)
        frames = features.shape[:-1]
        seeds = nn.Dense(len(parents) * self.hidden, name="feature")(features)
        seeds = seeds.reshape(*frames, len(parents), self.hidden)
        rest = jnp.broadcast_to(rest, (*frames, *rest.shape[-2:]))
        bones = rest - rest[..., np.maximum(parents, 0), :]
        # Of the level above: global rotations, positions about the pelvis, and the rotations and positions of
        # all ancestors.
        world = jnp.broadcast_to(FACING, (*frames, 1, 3, 3))
        position, chain = jnp.zeros((*frames, 1, 3)), jnp.zeros((*frames, 1, 0))
        local = []
        for depth, level in enumerate(levels):
            up = np.searchsorted(levels[depth - 1], parents[level]) if depth else np.zeros(1, int)
            bone, above = bones[..., level, :], world[..., up, :, :]
            position = position[..., up, :] + rotate(above, bone)
            chain = chain[..., up, :]
            context = jnp.concatenate([bone, position, chain], axis=-1)
            rotation = self._level(seeds[..., level, :], context, depth)
            world = compose(above, rotation)
            chain = jnp.concatenate([chain, matrix_to_sixd(rotation), position], axis=-1)
            local.append(rotation if depth else world)
        return jnp.concatenate(local, axis=-3)[..., np.argsort(np.concatenate(levels)), :, :]

    def _level(self, seeds: jax.Array, context: jax.Array, depth: int) -> jax.Array:
        """One depth of n joints: seeds (B, T, n, hidden), context (B, T, n, D) -> (B, T, n, 3, 3)."""
        joints = context.shape[-2]
        init = nn.initializers.variance_scaling(1.0, "fan_in", "normal", batch_axis=(0,))
        mix = self.param(f"context_{depth}", init, (joints, context.shape[-1], self.hidden))
        kernel = self.param(f"rotation_{depth}", nn.initializers.normal(0.01), (joints, self.hidden, 6))
        bias = self.param(f"bias_{depth}", nn.initializers.zeros, (joints, 6))
        hidden = nn.gelu(seeds + jnp.einsum("btnd,ndh->btnh", context, mix))
        sixd = jnp.einsum("btnh,nhk->btnk", hidden, kernel) + bias + jnp.array(IDENTITY)
        return sixd_to_matrix(sixd)


def face_camera(rotations: jax.Array) -> jax.Array:
    """Rotations (..., 24, 3, 3) with the root's relative to `FACING` -> with it in the camera frame."""
    root = rotations[..., :1, :, :]
    root = compose(jnp.broadcast_to(FACING, root.shape), root)
    return jnp.concatenate([root, rotations[..., 1:, :, :]], axis=-3)
