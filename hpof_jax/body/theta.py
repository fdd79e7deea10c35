"""The one vector of SMPL's parameters: theta (..., 85) = [cam 3 | pose 72 | betas 10] (Kanazawa et al., HMR, CVPR 2018)."""

import jax
import jax.numpy as jnp

SIZES = (3, 72, 10)
THETA_SIZE = sum(SIZES)


def pack_theta(cam: jax.Array, pose: jax.Array, betas: jax.Array) -> jax.Array:
    """cam (..., 3), pose (..., 24, 3) axis-angle with the root first, betas (..., 10) -> theta (..., 85).

    Leading axes are broadcast, so that the one `betas` of a clip goes with all of its frames.
    """
    parts = [jnp.asarray(cam), jnp.reshape(pose, (*jnp.shape(pose)[:-2], SIZES[1])), jnp.asarray(betas)]
    batch = jnp.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return jnp.concatenate([jnp.broadcast_to(part, (*batch, part.shape[-1])) for part in parts], axis=-1)


def unpack_theta(theta: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """theta (..., 85) -> cam (..., 3), pose (..., 24, 3), betas (..., 10); the inverse of `pack_theta`."""
    if theta.shape[-1] != THETA_SIZE:
        raise ValueError(f"theta has {theta.shape[-1]} numbers on its last axis instead of {THETA_SIZE}.")
    cam, pose, betas = jnp.split(theta, (SIZES[0], SIZES[0] + SIZES[1]), axis=-1)
    return cam, pose.reshape(*pose.shape[:-1], 24, 3), betas
