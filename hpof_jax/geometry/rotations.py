"""Rotations as axis-angle (..., 3), 6D (..., 6) and matrices (..., 3, 3), with finite gradients everywhere.

Matrices act on column vectors, `v' = R v`. Every function takes any leading axes.
"""

import jax
import jax.numpy as jnp

from hpof_jax.geometry.vectors import normalise

# Squared angle below which a few terms of a Taylor series are exact in float64, derivatives included.
_SMALL = 1e-3


def axis_angle_to_matrix(axis_angle: jax.Array) -> jax.Array:
    """Rotation matrices by Rodrigues' formula: (..., 3) radians -> (..., 3, 3).

    First and second derivatives are finite everywhere, also at zero and at pi.
    """
    angle2 = jnp.sum(axis_angle * axis_angle, axis=-1)
    small = angle2 < _SMALL
    # The closed form gets 1 in place of small angles: a NaN gradient would pass through `where`.
    safe2 = jnp.where(small, 1.0, angle2)
    angle = jnp.sqrt(safe2)
    sine_series = 1.0 - angle2 / 6.0 * (1.0 - angle2 / 20.0 * (1.0 - angle2 / 42.0))
    cosine_series = 0.5 - angle2 / 24.0 * (1.0 - angle2 / 30.0 * (1.0 - angle2 / 56.0))
    a = jnp.where(small, sine_series, jnp.sin(angle) / angle)
    b = jnp.where(small, cosine_series, (1.0 - jnp.cos(angle)) / safe2)
    outer = axis_angle[..., :, None] * axis_angle[..., None, :]
    identity = jnp.eye(3, dtype=axis_angle.dtype)
    diagonal = (1.0 - b * angle2)[..., None, None] * identity
    return diagonal + a[..., None, None] * skew(axis_angle) + b[..., None, None] * outer


def matrix_to_axis_angle(matrix: jax.Array) -> jax.Array:
    """(..., 3, 3) -> axis-angle (..., 3) with an angle in [0, pi]; finite gradients everywhere."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def matrix_to_quaternion(matrix: jax.Array) -> jax.Array:
    """(..., 3, 3) -> unit quaternion (..., 4) [w, x, y, z] with w >= 0, by Shepperd's method (1978)."""
    m = matrix
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    s01, s02, s12 = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    d0, d1, d2 = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    squares = jnp.stack(
        [1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], axis=-1
    )
    # Row k is the quaternion times 4 times its k-th component. The row of the largest component is used.
    rows = jnp.stack(
        [
            jnp.stack([squares[..., 0], d0, d1, d2], axis=-1),
            jnp.stack([d0, squares[..., 1], s01, s02], axis=-1),
            jnp.stack([d1, s01, squares[..., 2], s12], axis=-1),
            jnp.stack([d2, s02, s12, squares[..., 3]], axis=-1),
        ],
        axis=-2,
    )
    largest = jnp.argmax(squares, axis=-1)
    quaternion = jnp.take_along_axis(rows, largest[..., None, None], axis=-2)[..., 0, :]
    quaternion = quaternion / jnp.linalg.norm(quaternion, axis=-1, keepdims=True)
    return jnp.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_axis_angle(quaternion: jax.Array) -> jax.Array:
    """Unit quaternion (..., 4) [w, x, y, z] -> axis-angle (..., 3)."""
    w, v = quaternion[..., 0], quaternion[..., 1:]
    norm2 = jnp.sum(v * v, axis=-1)
    small = norm2 < _SMALL
    norm = jnp.sqrt(jnp.where(small, 1.0, norm2))
    safe_w = jnp.where(small & (w != 0), w, 1.0)
    t = jnp.where(small, norm2, 0.0) / (safe_w * safe_w)
    series = 2.0 / safe_w * (1.0 - t * (1.0 / 3.0 - t * (1.0 / 5.0 - t * (1.0 / 7.0 - t / 9.0))))
    scale = jnp.where(small, series, 2.0 * jnp.arctan2(norm, w) / norm)
    return scale[..., None] * v


def sixd_to_matrix(sixd: jax.Array) -> jax.Array:
    """6D representation, the first two columns, to a rotation matrix: (..., 6) -> (..., 3, 3).

    The columns are orthonormalised (Zhou et al., CVPR 2019); they must not be parallel. `[1, 0, 0, 0, 1, 0]`
    is the identity.
    """
    x = normalise(sixd[..., :3])
    y = sixd[..., 3:]
    y = normalise(y - jnp.sum(x * y, axis=-1, keepdims=True) * x)
    return jnp.stack([x, y, jnp.cross(x, y)], axis=-1)


def matrix_to_sixd(matrix: jax.Array) -> jax.Array:
    """The first two columns: (..., 3, 3) -> (..., 6)."""
    return jnp.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def compose(a: jax.Array, b: jax.Array) -> jax.Array:
    """The matrix product a b, (..., 3, 3).

    Written out, because XLA fuses it; a batch of tiny matrix products becomes one call each.
    """
    return sum(a[..., :, k, None] * b[..., None, k, :] for k in range(3))


def rotate(matrix: jax.Array, v: jax.Array) -> jax.Array:
    """Matrices (..., 3, 3) times vectors (..., 3), written out like `compose`."""
    return sum(matrix[..., :, k] * v[..., None, k] for k in range(3))


def skew(v: jax.Array) -> jax.Array:
    """The matrix of the cross product with v: (..., 3) -> (..., 3, 3)."""
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    zero = jnp.zeros_like(x)
    return jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*v.shape[:-1], 3, 3)
