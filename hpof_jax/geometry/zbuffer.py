"""Z-buffer in NumPy: the nearest face at each pixel and its depth, for masks, depth maps and overlays.

Scan conversion, vectorised over all faces: faces -> rows -> runs of pixels -> the nearest run wins. It has no
gradients (`rasterizer` has), and needs neither a compiler nor a GPU.
"""

import dataclasses

import numpy as np

from hpof_jax.geometry.visibility import front_facing

NEAR = 0.05  # metres; a face with a corner nearer than this, or behind the camera, is not drawn
SLIVER = 1e-2  # square pixels, twice the area below which a face counts as flat
TOLERANCE = 0.03  # metres that a visible point may lie behind the surface at its pixel's centre


@dataclasses.dataclass(frozen=True)
class ZBuffer:
    """The surface at each pixel of a (H, W) picture."""

    face: np.ndarray  # (H, W) int32 the nearest face, -1 where there is none
    depth: np.ndarray  # (H, W) float32 its z in metres at the pixel's centre, inf where there is none

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: a face covers the pixel's centre."""
        return self.face >= 0

    def shows(self, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Whether points are visible: in the picture, at most `TOLERANCE` behind the surface at their pixel.

        Args:
          points: (..., 2) pixels. depth: (...) metres.
        """
        height, width = self.depth.shape
        x, y = points[..., 0], points[..., 1]
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        column, row = (np.where(inside, place, 0).astype(int) for place in (x, y))
        return inside & (depth <= self.depth[row, column] + TOLERANCE)


def project(vertices: np.ndarray, focal_length: float, image_size: tuple[int, int]) -> np.ndarray:
    """Camera-frame vertices (V, 3) in metres -> (V, 2) pixels; those nearer than `NEAR` become NaN."""
    vertices = np.asarray(vertices, np.float64)
    depth = np.where(vertices[:, 2:] >= NEAR, vertices[:, 2:], np.nan)
    return vertices[:, :2] * (float(focal_length) / depth) + np.array([image_size[1], image_size[0]]) / 2


def rasterize(
    points: np.ndarray, depth: np.ndarray, faces: np.ndarray, image_size: tuple[int, int]
) -> ZBuffer:
    """Draws the front faces; each pixel gets the nearest one.

    A pixel belongs to a face that covers its centre. Neighbouring faces share an edge without gap or overlap.

    Args:
      points: (V, 2) pixels, x right, y down, the centre of pixel (row i, column j) at (j + 0.5, i + 0.5). A
        face with a NaN corner is not drawn.
      depth: (V,) metres, z of each vertex.
      faces: (F, 3) int, counter-clockwise when seen from outside.
      image_size: (H, W).
    """
    height, width = (int(side) for side in image_size)
    faces = np.asarray(faces)
    points = np.asarray(points, np.float64)
    drawn = _drawn(points, faces, height, width)
    shown = faces[drawn].T
    corners = points[shown]
    base, slope = _planes(corners, 1.0 / np.asarray(depth, np.float64)[shown])

    owner, row, first, length = _runs(corners, height, width)
    start = base[owner] + slope[0][owner] * (first + 0.5) + slope[1][owner] * (row + 0.5)

    # All runs of pixels one after the other. One integer per pixel holds 1/z in its high half (positive
    # floats sort like their bits; larger is nearer) and the face in its low half, so that one maximum finds
    # the nearest face.
    before = np.cumsum(length) - length
    along = np.arange(length.sum(), dtype=np.int32) - np.repeat(before.astype(np.int32), length)
    pixel = np.repeat((row * width + first).astype(np.int32), length) + along
    nearness = np.repeat(slope[0][owner].astype(np.float32), length)
    nearness *= along
    nearness += np.repeat(start.astype(np.float32), length)
    np.maximum(nearness, np.float32(1e-30), out=nearness)
    key = nearness.view(np.int32).astype(np.int64)
    key <<= 32
    key |= np.repeat(drawn[owner], length)
    best = np.full(height * width, -1, np.int64)
    np.maximum.at(best, pixel, key)

    best = best.reshape(height, width)
    nearness = (best >> 32).astype(np.int32).view(np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    np.divide(np.float32(1), nearness, out=depth, where=best >= 0)
    return ZBuffer(face=best.astype(np.int32), depth=depth)


def interpolate(buffer: ZBuffer, points: np.ndarray, faces: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolates values of the vertices over the picture, linearly in each face.

    Linear in the picture, not in space. The difference is negligible for faces much smaller than their
    distance.

    Args:
      values: (V,) or (V, C).

    Returns:
      (H, W) or (H, W, C) float32, 0 where there is no face.
    """
    channels = np.atleast_2d(np.asarray(values, np.float64).T)  # (C, V)
    pixel = np.flatnonzero(buffer.mask)
    row, column = (place.astype(np.float32) for place in np.divmod(pixel, buffer.face.shape[1]))
    seen, face = _numbered(buffer.face.ravel()[pixel], len(faces))
    corners = np.asarray(faces)[seen].T
    base, slope = _planes(points[corners], channels[:, corners])
    base = (base + 0.5 * (slope[0] + slope[1])).astype(np.float32)
    along_x, along_y = slope.astype(np.float32)
    picture = np.zeros((len(channels), buffer.face.size), np.float32)
    for spread, channel, *plane in zip(picture, channels, base, along_x, along_y):
        at_zero, to_the_right, down = (part[face] for part in plane)
        spread[pixel] = np.clip(at_zero + to_the_right * column + down * row, channel.min(), channel.max())
    return picture.T.reshape(*buffer.face.shape, *np.shape(values)[1:])


def visible_vertices(
    points: np.ndarray, depth: np.ndarray, faces: np.ndarray, image_size: tuple[int, int]
) -> np.ndarray:
    """The visible vertices of a mesh, (V,) bool; arguments as in `rasterize`.

    A vertex is visible if one of its faces is front-facing and the z-buffer `shows` it. Draw a person at
    least 100 pixels high; in coarser pictures too many vertices count as hidden.
    """
    turned = np.zeros(len(points), bool)
    turned[faces[front_facing(*points[faces].swapaxes(0, 1))]] = True
    return turned & rasterize(points, depth, faces, image_size).shows(points, depth)


def _numbered(labels, count):
    """The sorted distinct labels (N,) of labels (P,) < count, and the index of each label among them (P,)."""
    there = np.zeros(count, bool)
    there[labels] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[labels]


def _planes(corners: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The linear function that has `values` (..., 3, F) at `corners` (3, F, 2).

    Returns:
      its value at pixel (0, 0), (..., F), and its derivatives by x and y, (2, ..., F).
    """
    a, b, c = corners
    (abx, aby), (acx, acy) = (b - a).T, (c - a).T
    first, second, third = (values[..., corner, :] for corner in range(3))
    vb, vc = second - first, third - first
    area = abx * acy - aby * acx
    # The slope of a sliver is rounding error: use its mean value everywhere.
    sliver = ~(np.abs(area) > SLIVER)
    scale = np.where(sliver, 0.0, 1.0 / np.where(sliver, 1.0, area))
    x, y = np.where(sliver, 0.0, (a + b + c).T / 3)
    slope = np.stack([(vb * acy - vc * aby) * scale, (vc * abx - vb * acx) * scale])
    return (first + second + third) / 3 - slope[0] * x - slope[1] * y, slope


def _drawn(points, faces, height, width) -> np.ndarray:
    """Indices of the front-facing faces in front of the camera and at least partly in the picture."""
    corners = points[faces.T]
    low, high = corners.min(axis=0), corners.max(axis=0)
    inside = (high[:, 0] > 0) & (high[:, 1] > 0) & (low[:, 0] < width) & (low[:, 1] < height)
    return np.flatnonzero(inside & front_facing(*corners))  # comparisons with NaN are false


def _runs(corners, height, width):
    """Rows of each face: its index, the row, the first pixel and the number of pixels, all (R,)."""
    top, middle, bottom = _from_above(corners)
    begin = np.clip(np.ceil(top[:, 1] - 0.5), 0, height).astype(np.int64)
    rows = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, height).astype(np.int64) - begin
    owner = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(rows) - rows - begin, rows)
    y = row + 0.5
    # Edges run from the upper to the lower end, so that both adjacent faces compute exactly the same
    # crossing.
    upper = y < middle[owner, 1]
    long = _crossing(y, top[owner], bottom[owner])
    short = _crossing(
        y,
        np.where(upper[:, None], top[owner], middle[owner]),
        np.where(upper[:, None], middle[owner], bottom[owner]),
    )
    first = np.clip(np.ceil(np.minimum(long, short) - 0.5), 0, width).astype(np.int64)
    length = np.clip(np.ceil(np.maximum(long, short) - 0.5), 0, width).astype(np.int64) - first
    kept = np.flatnonzero(length > 0)
    return owner[kept], row[kept], first[kept], length[kept]


def _from_above(corners):
    """The corners of each face from top to bottom of the picture: (3, F, 2) -> three arrays (F, 2)."""
    a, b, c = corners

    def sort(one, other):
        swap = (other[:, 1] < one[:, 1])[:, None]
        return np.where(swap, other, one), np.where(swap, one, other)

    a, b = sort(a, b)
    b, c = sort(b, c)
    return *sort(a, b), c


def _crossing(y, upper, lower):
    return upper[:, 0] + (y - upper[:, 1]) * ((lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1]))
