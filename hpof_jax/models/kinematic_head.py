"""The pose, along the kinematic tree on the skeleton that the shape gives.

After the kinematic tree decoder of MAED (Wan et al., ICCV 2021): a joint's rotation is regressed from the frame's
feature and its ancestors' rotations. Real forward kinematics runs inside, so that a joint also knows its own bone and
where its ancestors' rotations have put it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.skeletons import SMPL_PARENTS, tree_levels
from hpof_jax.geometry.rotations import compose, matrix_to_sixd, rotate, sixd_to_matrix

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # in 6D
# At initialisation the body stands upright in the camera frame (y down, z forward) and faces the camera.
FACING = np.diag(np.array([1.0, -1.0, -1.0], np.float32))


class KinematicHead(nn.Module):
    """Joint after joint by depth: each level of the tree is a few batched matrix products."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: jax.Array, rest: jax.Array) -> jax.Array:
        """Rotations of all joints.

        Args:
          features: (B, T, C) of the frames.
          rest: (B, 1, 24, 3) rest joints of the clip's shape, metres; or (B, T, 24, 3) of each frame's.

        Returns:
          (B, T, 24, 3, 3) relative to the parents; the root's is in the camera frame.
        """
        parents, levels = np.array(SMPL_PARENTS), tree_levels(SMPL_PARENTS)
        frames = features.shape[:-1]
        seeds = nn.Dense(len(parents) * self.hidden, name="feature")(features)
        seeds = seeds.reshape(*frames, len(parents), self.hidden)
        rest = jnp.broadcast_to(rest, (*frames, *rest.shape[-2:]))
        bones = rest - rest[..., np.maximum(parents, 0), :]
        # Of the level above: global rotations, places about the pelvis, and what their joints know of the tree.
        world = jnp.broadcast_to(FACING, (*frames, 1, 3, 3))
        place, chain = jnp.zeros((*frames, 1, 3)), jnp.zeros((*frames, 1, 0))
        local = []
        for depth, level in enumerate(levels):
            up = np.searchsorted(levels[depth - 1], parents[level]) if depth else np.zeros(1, int)
            bone, above = bones[..., level, :], world[..., up, :, :]
            place = place[..., up, :] + rotate(above, bone)
            chain = chain[..., up, :]
            context = jnp.concatenate([bone, place, chain], axis=-1)
            turn = self._level(seeds[..., level, :], context, depth)
            world = compose(above, turn)
            chain = jnp.concatenate([chain, matrix_to_sixd(turn), place], axis=-1)
            local.append(turn if depth else world)
        return jnp.concatenate(local, axis=-3)[..., np.argsort(np.concatenate(levels)), :, :]

    def _level(self, seeds: jax.Array, context: jax.Array, depth: int) -> jax.Array:
        """Rotations of n joints of one depth: seeds (B, T, n, hidden), context (B, T, n, D) -> (B, T, n, 3, 3)."""
        joints = context.shape[-2]
        init = nn.initializers.variance_scaling(1.0, "fan_in", "normal", batch_axis=(0,))
        mix = self.param(f"context_{depth}", init, (joints, context.shape[-1], self.hidden))
        turn = self.param(f"rotation_{depth}", nn.initializers.normal(0.01), (joints, self.hidden, 6))
        bias = self.param(f"bias_{depth}", nn.initializers.zeros, (joints, 6))
        hidden = nn.gelu(seeds + jnp.einsum("btnd,ndh->btnh", context, mix))
        sixd = jnp.einsum("btnh,nhk->btnk", hidden, turn) + bias + jnp.array(IDENTITY)
        return sixd_to_matrix(sixd)
