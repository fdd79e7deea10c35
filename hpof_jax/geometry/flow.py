"""Optical flow: backward warp, forward-backward check, flow between two boxes, exact flow of a moving mesh.

A flow (..., H, W, 2) holds [dx, dy] in pixels: the point at p in one picture is at p + flow(p) in the other.
The two pictures may be crops of a frame at different places (`between_boxes`); each end is then in its own
crop's pixels.
Pixels: x right, y down, the centre of pixel (row i, column j) is at (j + 0.5, i + 0.5).
"""

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.geometry import zbuffer
from hpof_jax.geometry.visibility import front_facing


def warp(image: jax.Array, flow: jax.Array, step: int = 1) -> jax.Array:
    """Backward warp: out[y, x] = image[y + dy, x + dx], bilinear.

    Differentiable with respect to image and flow. Outside the image the value is 0, with a linear ramp one
    pixel wide.

    Args:
      image: (..., H, W), the picture that the flow leads to.
      flow: (..., H, W, 2) pixels, finite.
      step: `flow` holds only every `step`-th row and column.

    Returns:
      (..., H, W), or as many rows and columns as `flow` has.
    """
    points = _centres(image.shape[-2:])[::step, ::step] + flow
    flat = points.reshape(*points.shape[:-3], -1, 2)
    return sample(image, flat).reshape(points.shape[:-1])


def sample(image: jax.Array, points: jax.Array) -> jax.Array:
    """Bilinear samples (..., N) of an image (..., H, W) at points (..., N, 2) in pixels; 0 outside."""
    height, width = image.shape[-2:]
    rim = [(0, 0)] * (image.ndim - 2) + [(1, 1), (1, 1)]
    padded = jnp.pad(image, rim).reshape(*image.shape[:-2], -1)
    x = jnp.clip(points[..., 0] + 0.5, 0.0, width + 1.0)
    y = jnp.clip(points[..., 1] + 0.5, 0.0, height + 1.0)
    left, top = jnp.clip(jnp.floor(x), 0, width), jnp.clip(jnp.floor(y), 0, height)
    right_share, low_share = x - left, y - top
    first = top.astype(jnp.int32) * (width + 2) + left.astype(jnp.int32)

    def row(start):
        pixels = [jnp.take_along_axis(padded, start + k, axis=-1, mode="clip") for k in (0, 1)]
        return pixels[0] * (1.0 - right_share) + pixels[1] * right_share

    return row(first) * (1.0 - low_share) + row(first + width + 2) * low_share


def consistency(forward: jax.Array, backward: jax.Array) -> jax.Array:
    """Forward-backward check: where both flows, one after the other, end near the start.

    |f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5 in square pixels (Sundaram, Brox and Keutzer, ECCV 2010). Elsewhere
    the pixel is occluded in the other picture, or one flow is wrong. The bound depends on the resolution:
    check flow at the resolution at which it was computed.

    Args:
      forward, backward: (..., H, W, 2) pixels, from the first picture to the second and back.

    Returns:
      (..., H, W) bool, at the pixels of the first picture; false where `forward` leaves the picture.
    """
    size = jnp.asarray(forward.shape[-2:-4:-1])  # [W, H]
    target = _centres(forward.shape[-3:-1]) + forward
    inside = jnp.all((target >= 0) & (target <= size), axis=-1)
    back = jax.vmap(warp, in_axes=(-1, None), out_axes=-1)(backward, forward)
    squares = jnp.sum(jnp.square(forward), axis=-1) + jnp.sum(jnp.square(back), axis=-1)
    return inside & (jnp.sum(jnp.square(forward + back), axis=-1) < 0.01 * squares + 0.5)


def common_box(box: jax.Array, next_box: jax.Array) -> jax.Array:
    """The smallest square around two squares; each is (..., 3) = [centre x, centre y, size] in pixels."""
    half, next_half = box[..., 2:] / 2, next_box[..., 2:] / 2
    low = jnp.minimum(box[..., :2] - half, next_box[..., :2] - next_half)
    high = jnp.maximum(box[..., :2] + half, next_box[..., :2] + next_half)
    return jnp.concatenate([(low + high) / 2, jnp.max(high - low, axis=-1, keepdims=True)], axis=-1)


def between_boxes(flow: jax.Array, box: jax.Array, next_box: jax.Array) -> jax.Array:
    """Flow in the frame's pixels -> flow from the pixels of one box to those of another.

    Args:
      flow: (..., R, R, 2) flow in frame pixels, at the R x R pixels of `box`; zero for a static scene.
      box, next_box: (..., 3) = [centre x, centre y, size], frame pixels. Each has R x R pixels of its own.

    Returns:
      (..., R, R, 2).
    """
    side = flow.shape[-2]
    box, next_box = box[..., None, None, :], next_box[..., None, None, :]
    centres = _centres((side, side))
    place = (centres / side - 0.5) * box[..., 2:] + box[..., :2] + flow
    return ((place - next_box[..., :2]) / next_box[..., 2:] + 0.5) * side - centres


def rendered_flow(
    points: np.ndarray,
    depth: np.ndarray,
    faces: np.ndarray,
    image_size: tuple[int, int],
    background: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The exact flow of a mesh that moves in front of a background, from each picture to the next and back.

    Args:
      points: (T, V, 2) pixels in each picture. depth: (T, V) metres. faces: (F, 3) int.
      image_size: (H, W) of all pictures.
      background: (T - 1, 2, H, W, 2) the background's flow; None is zero. It is not zero between crops at
        different places.

    Returns:
      flow: (T - 1, 2, H, W, 2) float32.
      valid: (T - 1, 2, H, W) bool, false where the point is not visible in the other picture.
      masks: (T, H, W) bool, the mesh.
    """
    pictures = [zbuffer.rasterize(p, d, faces, image_size) for p, d in zip(points, depth, strict=True)]
    masks = np.stack([picture.mask for picture in pictures])
    turned = np.stack([front_facing(*p[faces].swapaxes(0, 1)) for p in points])
    flow = np.zeros((len(points) - 1, 2, *image_size, 2), np.float32)
    if background is not None:
        flow[:] = background
    valid = np.zeros(flow.shape[:-1], bool)
    centres = _centres(image_size)
    for here, picture in enumerate(pictures):
        ways = [(here, 0, here + 1), (here - 1, 1, here - 1)]
        ways = [(pair, way, there) for pair, way, there in ways if 0 <= there < len(points)]
        if not ways:  # only one frame
            continue
        moves = [np.column_stack([points[there] - points[here], depth[there]]) for *_, there in ways]
        spread = zbuffer.interpolate(picture, points[here], faces, np.hstack(moves))
        for column, (pair, way, there) in zip(range(0, 3 * len(ways), 3), ways):
            mask = masks[here]
            flow[pair, way][mask] = spread[mask, column : column + 2]
            arrival = np.where(mask, spread[..., column + 2], np.inf)
            seen = pictures[there].shows(centres + flow[pair, way], arrival)
            valid[pair, way] = seen & (~mask | turned[there][picture.face])
    return flow, valid, masks


def _centres(image_size: tuple[int, int]) -> np.ndarray:
    """(H, W, 2) float32 [x, y] of the pixels' centres."""
    height, width = image_size
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32) + 0.5
