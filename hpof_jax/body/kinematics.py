"""Forward kinematics: joint rotations relative to the parents -> absolute rotations and positions."""

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.skeletons import SMPL_PARENTS, tree_levels
from hpof_jax.geometry.rotations import compose, rotate

FEW = 4  # bodies up to which fewer operations are faster, and above which less arithmetic is


def forward_kinematics(
    rest: jax.Array, rotations: jax.Array, parents: tuple[int, ...] = SMPL_PARENTS
) -> tuple[jax.Array, jax.Array]:
    """Absolute rotations and joint positions along the tree.

    Args:
      rest: (..., J, 3) rest joints.
      rotations: (..., J, 3, 3) relative to the parent.

    Returns:
      global rotations (..., J, 3, 3) and joint positions (..., J, 3); the root stays at its rest position.
    """
    rest, rotations = jnp.broadcast_arrays(rest[..., None], rotations)
    rest = rest[..., 0]
    parents_ = np.array(parents)
    bones = rest - jnp.where(parents_[:, None] < 0, 0.0, rest[..., parents_, :])
    # Doubling takes log2(levels) steps instead of one per level, at the price of more arithmetic.
    # A symbolic size, of `jax.export`, cannot be compared: it stands for many bodies.
    few = not jax.export.is_symbolic_dim(rest.size) and rest.size <= FEW * rest.shape[-2] * 3
    along = _along_ancestors if few else _along_levels
    return along(rotations, bones, parents)


def _along_levels(rotations, bones, parents):
    """One level of the tree after the other."""
    levels = tree_levels(parents)
    world, place = [rotations[..., levels[0], :, :]], [bones[..., levels[0], :]]
    for above, level in zip(levels, levels[1:], strict=False):
        up = np.searchsorted(above, np.array(parents)[level])
        turn = world[-1][..., up, :, :]
        place.append(place[-1][..., up, :] + rotate(turn, bones[..., level, :]))
        world.append(compose(turn, rotations[..., level, :, :]))
    order = np.argsort(np.concatenate(levels))
    return jnp.concatenate(world, axis=-3)[..., order, :, :], jnp.concatenate(place, axis=-2)[..., order, :]


def _along_ancestors(rotations, bones, parents):
    """By pointer doubling: every step doubles the number of ancestors that each joint is composed with."""
    up = np.array(parents)
    while np.any(up >= 0):
        child = (up >= 0)[:, None]
        turn, shift = rotations[..., up, :, :], bones[..., up, :]
        bones = jnp.where(child, rotate(turn, bones) + shift, bones)
        rotations = jnp.where(child[..., None], compose(turn, rotations), rotations)
        up = np.where(up >= 0, up[up], -1)
    return rotations, bones
