"""Soft silhouettes of a mesh: the exact covered share of each pixel, with exact gradients.

The area that a surface covers in a pixel is an integral along the surface's outline (Green's theorem):
inside, the edges of neighbouring faces cancel. So only silhouette edges, with exactly one front-facing side,
are traversed, pixel by pixel. The gradient traverses them too: it is the boundary term of Reynolds' transport
theorem, which Li et al. (Differentiable Monte Carlo ray tracing, SIGGRAPH Asia 2018) sample.

Memory does not grow with pixels x faces, and faces may have any size. SoftRas (Liu et al., ICCV 2019)
multiplies the probabilities of neighbouring faces, which makes its silhouettes too large;
`docs/rasterizer.md` compares the two.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.geometry.visibility import front_facing

CHUNK = 8192  # segments of edges per step
TINY = 1e-30


def soft_silhouette(
    points: jax.Array, faces: jax.Array, image_size: tuple[int, int], sigma: float = 0.5
) -> jax.Array:
    """The silhouette of a mesh: the covered share of each pixel, blurred.

    Where several front-facing layers overlap, their shares are added, up to 1. That is exact except in pixels
    that the outlines of two layers cross.

    Args:
      points: (..., V, 2) pixels, x right, y down, centre of pixel (row i, column j) at (j + 0.5, i + 0.5). A
        face with a corner that is not finite is not drawn: mark points behind the camera as NaN.
      faces: (F, 3) int, counter-clockwise when seen from outside. Back faces are not drawn; for a closed mesh
        that makes no difference. Concrete faces (not traced by `jax.jit`) are sorted once; traced ones at
        every call.
      image_size: (H, W).
      sigma: standard deviation of a Gaussian blur in pixels; 0 for none. The blur includes faces up to 3
        sigma outside of the picture.

    Returns:
      (..., H, W) in [0, 1]; differentiable once with respect to the points, in reverse mode.
    """
    points = jnp.asarray(points)
    points = points.astype(jnp.promote_types(points.dtype, jnp.float32))
    edges = jax.tree.map(jnp.asarray, _edges(faces))
    drawn = _draw(points.reshape(-1, *points.shape[-2:]), edges, tuple(map(int, image_size)), float(sigma))
    return drawn.reshape(*points.shape[:-2], *drawn.shape[1:])


class _Edges(NamedTuple):
    """The R edges of a mesh of F faces. An edge of more than two faces is listed several times."""

    corners: jax.Array  # (3, F) the mesh's faces
    ends: jax.Array  # (2, R) the vertices at the edge's ends
    faces: jax.Array  # (2, R) the adjacent faces, F where there is none
    signs: jax.Array  # (2, R) 1 if that face runs from the first end to the second, -1: reverse, 0: none


class _Pieces(NamedTuple):
    """N segments of edges, each cut into three pieces at the borders of pixels; (3, N) unless noted."""

    along: jax.Array  # (N, 2) from the edge's first end to the second, pixels
    begin: jax.Array  # position on the edge where the piece begins, 0 to 1
    end: jax.Array
    row: jax.Array  # of the pixel that contains the piece
    column: jax.Array  # -1 for everything left of the picture
    rise: jax.Array  # vertical extent, pixels downwards
    across: jax.Array  # distance of the piece's middle from the pixel's left side


@functools.partial(jax.jit, static_argnums=(2, 3))
def _draw(points, edges, image_size, sigma):
    rim = math.ceil(3 * sigma)
    height, width = image_size
    covered = _coverage(points + rim, edges, (height + 2 * rim, width + 2 * rim))
    covered = jnp.clip(covered, 0.0, 1.0)
    return _blur(_blur(covered, sigma, 1), sigma, 2) if rim else covered


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _coverage(points: jax.Array, edges: _Edges, image_size: tuple[int, int]) -> jax.Array:
    """The sum of the covered shares of all front faces: (B, V, 2) -> (B, H, W)."""
    height, width = image_size

    def add(steps, image, ends, layers, pieces):
        # Right of a piece, the pixels of its row are covered over its height: a running sum of steps.
        row, column = jnp.where(pieces.row < 0, height, pieces.row), jnp.maximum(pieces.column, 0)
        now = pieces.rise * layers
        later = now * jnp.where(pieces.column < 0, 0, pieces.across)
        steps = steps.at[column, image, row].add(now - later, mode="drop")
        return steps.at[column + 1, image, row].add(later, mode="drop")

    steps = _walk(points, edges, image_size, add, jnp.zeros((width, len(points), height), points.dtype))
    _, covered = jax.lax.scan(lambda total, step: (total + step,) * 2, jnp.zeros_like(steps[0]), steps)
    return jnp.moveaxis(covered, 0, -1)


def _coverage_forward(points, edges, image_size):
    return _coverage(points, edges, image_size), (points, edges)


def _coverage_backward(image_size, kept, gradient):
    points, edges = kept

    def add(total, image, ends, layers, pieces):
        # A piece that moves sideways sweeps area in its own pixel only.
        row, column = (jnp.where(index < 0, max(image_size), index) for index in (pieces.row, pieces.column))
        swept = gradient.at[image, row, column].get(mode="fill", fill_value=0) * (pieces.end - pieces.begin)
        by_end = jnp.sum(swept * (pieces.begin + pieces.end) / 2, axis=0)
        shares = jnp.stack([jnp.sum(swept, axis=0) - by_end, by_end]) * layers
        across = jnp.stack([-pieces.along[:, 1], pieces.along[:, 0]], axis=-1)
        return total.at[image, ends].add(shares[..., None] * across)

    return _walk(points, edges, image_size, add, jnp.zeros_like(points)), None


_coverage.defvjp(_coverage_forward, _coverage_backward)


def _walk(points, edges, image_size, add, total):
    """Applies `total = add(total, ...)` to all pieces of the outline, `CHUNK` segments at a time."""
    layers, segments = _outline(points, edges, image_size)
    until = jnp.cumsum(segments)

    def step(carry):
        first, total = carry
        # Segment k belongs to the first edge whose cumulative count exceeds k.
        number = first + jnp.arange(CHUNK)
        there = number < until[-1]
        place = jnp.searchsorted(until, jnp.minimum(number, until[-1] - 1), side="right")
        number = number - (until[place] - segments[place])
        edge, image = jnp.divmod(place, len(points))
        ends = edges.ends[:, edge]
        pieces = _cut(points[image, ends], number, image_size)
        return first + CHUNK, add(total, image, ends, layers[edge, image] * there, pieces)

    return jax.lax.while_loop(lambda carry: carry[0] < until[-1], step, (0, total))[1]


def _outline(points, edges, image_size):
    """Layers that end at each edge, (R, B), and its number of segments, (R B,); both 0 off the outline."""
    points = jnp.moveaxis(points, 0, 1)
    a, b, c = points[edges.corners]  # (F, B, 2) each
    facing = front_facing(a, b, c)
    facing &= jnp.all(jnp.isfinite(a + b + c), axis=-1)
    facing = jnp.pad(facing, ((0, 1), (0, 0)))
    layers = jnp.sum(facing[edges.faces] * edges.signs[..., None], axis=0)
    _, left, inside = _reach(*points[edges.ends], image_size)
    return layers.astype(points.dtype), jnp.where(layers != 0, left + inside, 0).reshape(-1)


def _reach(start, end, image_size):
    """The relevant part of an edge, and the number of segments of at most one pixel that it is cut into.

    Left of the picture an edge still covers the pixels on its right. Above, below and right of it, it covers
    none.

    Returns:
      cuts: (3, ...) positions on the edge, 0 at its start and 1 at its end: the end of the part on the left,
        the crossing of the picture's left side, the end of the part in the picture.
      left, inside: (...) the number of segments of the two parts.
    """
    height, width = image_size
    (x, y), (dx, dy) = ((point[..., 0], point[..., 1]) for point in (start, end - start))
    slope_x, slope_y = (1 / jnp.where(jnp.abs(step) < TINY, TINY, step) for step in (dx, dy))
    # One row more at the top and at the bottom: it is not drawn, so rounding errors in cutting long edges are
    # harmless.
    top, bottom = jnp.clip((-1 - y) * slope_y, 0, 1), jnp.clip((height + 1 - y) * slope_y, 0, 1)
    low, high = jnp.minimum(top, bottom), jnp.maximum(top, bottom)
    enter, leave = jnp.clip(-x * slope_x, low, high), jnp.clip((width - x) * slope_x, low, high)
    outside = jnp.where(dx < 0, high, low)
    left = jnp.abs(dy) * jnp.abs(enter - outside)
    inside = jnp.maximum(jnp.abs(dx), jnp.abs(dy)) * jnp.abs(leave - enter)
    left, inside = (jnp.where(jnp.abs(dy) < TINY, 0, jnp.ceil(size)).astype(int) for size in (left, inside))
    return jnp.stack([outside, enter, leave]), left, inside


def _cut(ends, number, image_size):
    """The pieces of segment `number` (N,) of the edges between `ends` (2, N, 2)."""
    start, end = ends
    (outside, enter, leave), left, inside = _reach(start, end, image_size)
    is_left = number < left
    share = jnp.where(is_left, number, number - left) + jnp.array([[0], [1]])
    share = share / jnp.maximum(jnp.where(is_left, left, inside), 1)
    span = jnp.where(is_left, outside, enter) * (1 - share) + jnp.where(is_left, enter, leave) * share
    first, last = span = jnp.stack([jnp.min(span, axis=0), jnp.max(span, axis=0)])  # jnp.sort is far slower
    x, y = jnp.moveaxis(start * (1 - span[..., None]) + end * span[..., None], -1, 0)
    (cross_x, _), (cross_y, border) = _crossing(*x), _crossing(*y)
    inner = jnp.minimum(cross_x, cross_y), jnp.maximum(cross_x, cross_y)
    cuts = jnp.stack([jnp.zeros_like(first), *inner, jnp.ones_like(first)])
    # Exactly on the border: rounding would leave a gap between the pieces above and below.
    ys = jnp.where(cuts == cross_y, border, y[0] + (y[1] - y[0]) * cuts)
    ys = ys.at[0].set(y[0]).at[-1].set(y[1])
    middle_x = x[0] + (x[1] - x[0]) * (cuts[:-1] + cuts[1:]) / 2
    column = jnp.maximum(jnp.floor(middle_x), -1)
    on_edge = first + (last - first) * cuts
    return _Pieces(
        along=end - start,
        begin=on_edge[:-1],
        end=on_edge[1:],
        row=jnp.floor((ys[:-1] + ys[1:]) / 2).astype(int),
        column=column.astype(int),
        rise=ys[1:] - ys[:-1],
        across=middle_x - column,
    )


def _crossing(first, second):
    """Position (0 to 1) and value of the integer between two numbers; 1 and the second number if none."""
    border = jnp.floor(jnp.minimum(first, second)) + 1
    crosses = border < jnp.maximum(first, second)
    share = (border - first) / jnp.where(crosses, second - first, 1)
    return jnp.where(crosses, share, 1), jnp.where(crosses, border, second)


def _blur(image, sigma, axis):
    """Gaussian blur along an axis, without padding: the result is shorter by 3 sigma at both ends."""
    rim = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-rim, rim + 1) / sigma) ** 2)
    size = image.shape[axis] - 2 * rim
    parts = (jax.lax.slice_in_dim(image, k, k + size, axis=axis) for k in range(2 * rim + 1))
    return sum(part * float(tap) for part, tap in zip(parts, taps / taps.sum()))


def _edges(faces):
    if isinstance(faces, jax.core.Tracer):
        return _find_edges(faces, jnp)
    faces = np.ascontiguousarray(faces, np.int32)
    return _sorted_once(faces.tobytes())


@functools.lru_cache(maxsize=16)
def _sorted_once(faces: bytes) -> _Edges:
    edges = _find_edges(np.frombuffer(faces, np.int32).reshape(-1, 3), np)
    return edges._replace(
        **{name: getattr(edges, name)[:, edges.signs[0] != 0] for name in ("ends", "faces", "signs")}
    )


def _find_edges(faces, xp) -> _Edges:
    """The sides of all faces, paired where two share an edge; the second of a pair has sign 0."""
    number = len(faces)
    first, second = faces.reshape(-1), xp.roll(faces, -1, axis=1).reshape(-1)
    owner = xp.repeat(xp.arange(number), 3)
    sign = xp.where(first < second, 1, -1)
    ends = xp.stack([xp.minimum(first, second), xp.maximum(first, second)])
    order = xp.lexsort((sign, ends[1], ends[0]))
    ends, owner, sign = ends[:, order], owner[order], sign[order]
    same = xp.concatenate([xp.zeros(1, bool), xp.all(ends[:, 1:] == ends[:, :-1], axis=0)])
    index = xp.arange(3 * number)
    since = index - (xp.maximum.accumulate if xp is np else jax.lax.cummax)(xp.where(same, 0, index))
    leads = since % 2 == 0
    has_partner = leads & xp.concatenate([same[1:], xp.zeros(1, bool)])
    partner_owner, partner_sign = xp.roll(owner, -1), xp.roll(sign, -1)
    return _Edges(
        corners=faces.T,
        ends=ends,
        faces=xp.stack([owner, xp.where(has_partner, partner_owner, number)]),
        signs=xp.stack([xp.where(leads, sign, 0), xp.where(has_partner, partner_sign, 0)]),
    )
