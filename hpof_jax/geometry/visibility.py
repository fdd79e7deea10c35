"""Visibility of a mesh: front-facing triangles, vertex normals, vertices in front.

Pixels: x right, y down. Faces are counter-clockwise when seen from outside. `zbuffer` gives exact visibility.
"""

import jax
import jax.numpy as jnp
import numpy as np

CELL, LAYER = 4, 0.12  # pixels and metres: the resolution of `in_front`


def front_facing(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
    """Whether triangles face the camera: corners (..., 2) in pixels -> (...) bool. NumPy or JAX.

    False for triangles seen edge-on and for corners that are NaN.
    """
    ab, ac = b - a, c - a
    return ab[..., 0] * ac[..., 1] < ab[..., 1] * ac[..., 0]


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), outwards: the mean of the adjacent faces' normals, weighted by area.

    Args:
      vertices: (V, 3). faces: (F, 3) int.
    """
    corners = vertices[faces]
    doubled_area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    owner = faces.T.ravel()
    total = np.stack(
        [np.bincount(owner, np.tile(axis, 3), len(vertices)) for axis in doubled_area.T], axis=-1
    )
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)


def in_front(points: jax.Array, depth: jax.Array, faces: jax.Array, side: int) -> jax.Array:
    """The visible vertices of a mesh in a picture of side x side pixels, (..., V) bool; approximate, for jit.

    A vertex counts if one of its faces is front-facing and no vertex in the same cell of `CELL` pixels is
    nearer by more than `LAYER`. `zbuffer.visible_vertices` is exact and slower.

    Args:
      points: (..., V, 2) pixels. depth: (..., V) metres. faces: (F, 3) int.
    """
    faces, cells = jnp.asarray(faces), side // CELL
    facing = front_facing(*jnp.moveaxis(points[..., faces, :], -2, 0))
    turned = jnp.zeros(depth.shape, bool).at[..., faces].max(facing[..., None])
    inside = jnp.all((points >= 0) & (points < side), axis=-1)
    column, row = jnp.moveaxis(jnp.where(inside[..., None], points, 0).astype(jnp.int32) // CELL, -1, 0)
    cell = row * cells + column
    flat = jnp.where(inside, depth, jnp.inf).reshape(-1, depth.shape[-1])
    nearest = jax.vmap(lambda z, at: jnp.full(cells * cells, jnp.inf, z.dtype).at[at].min(z))(
        flat, cell.reshape(flat.shape)
    )
    nearest = jnp.take_along_axis(nearest, cell.reshape(flat.shape), axis=-1).reshape(depth.shape)
    return turned & inside & (depth <= nearest + LAYER)
