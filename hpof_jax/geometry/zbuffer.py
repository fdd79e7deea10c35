"""Hard visibility in NumPy: which face each pixel sees, and how far away it is.

Scan conversion, vectorised over all faces at once: faces -> rows -> runs of pixels -> nearest run wins. No compiler,
no GPU and no gradients (`rasterizer.py` has those); masks, depth maps, part maps and overlays all come from here.
"""

import dataclasses

import numpy as np

NEAR = 0.05  # metres; a face with a corner nearer than this, or behind the camera, is not drawn

SLIVER = 1e-2  # twice the pixels that a face must cover to have a slope


@dataclasses.dataclass(frozen=True)
class ZBuffer:
    """What each pixel of a (H, W) picture sees."""

    face: np.ndarray  # (H, W) int32 the nearest face, -1 where there is none
    depth: np.ndarray  # (H, W) float32 its z in metres at the pixel's centre, inf where there is none

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: the pixel's centre sees a face."""
        return self.face >= 0


def project(vertices: np.ndarray, focal_length: float, image_size: tuple[int, int]) -> np.ndarray:
    """Camera-frame vertices (V, 3) in metres -> (V, 2) pixels; those nearer than `NEAR` become NaN."""
    vertices = np.asarray(vertices, np.float64)
    depth = np.where(vertices[:, 2:] >= NEAR, vertices[:, 2:], np.nan)
    return vertices[:, :2] * (float(focal_length) / depth) + np.array([image_size[1], image_size[0]]) / 2


def rasterize(
    points: np.ndarray, depth: np.ndarray, faces: np.ndarray, image_size: tuple[int, int]
) -> ZBuffer:
    """Draws the faces that look at the camera; the nearest one wins each pixel.

    A pixel belongs to a face that covers its centre. Neighbouring faces share an edge without gap or overlap.

    Args:
      points: (V, 2) pixels, x right, y down, the centre of pixel (row i, column j) at (j + 0.5, i + 0.5); a face
        with a NaN corner is not drawn.
      depth: (V,) metres, z of each vertex.
      faces: (F, 3) int, counter-clockwise when seen from outside.
      image_size: (H, W).
    """
    height, width = (int(side) for side in image_size)
    faces = np.asarray(faces)
    points = np.asarray(points, np.float64)
    drawn = _facing(points, faces, height, width)
    corners = points[faces[drawn]]
    base, slope = _planes(corners, 1.0 / np.asarray(depth, np.float64)[faces[drawn]])

    owner, row, first, length = _runs(corners, height, width)
    start = base[owner] + slope[owner, 0] * (first + 0.5) + slope[owner, 1] * (row + 0.5)

    # Every run of pixels, laid out one after another. One integer per pixel holds 1/z in the high half, where larger
    # is nearer (positive floats sort like their bits), and the face in the low half: one maximum settles both.
    before = np.cumsum(length) - length
    along = np.arange(length.sum(), dtype=np.int32) - np.repeat(before.astype(np.int32), length)
    pixel = np.repeat((row * width + first).astype(np.int32), length) + along
    nearness = np.repeat(slope[owner, 0].astype(np.float32), length)
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
    """Spreads values (V,) of the vertices over the picture, linearly in each face: (H, W) float32, 0 where no face is.

    Linear in the picture, not in space: the difference is nothing for faces that are small against their distance.
    """
    values = np.asarray(values, np.float64)
    corners, corner_values = points[faces], values[faces]
    base, slope = _planes(corners, corner_values)
    planes = np.stack([base + 0.5 * slope.sum(axis=1), *slope.T], axis=1).astype(np.float32)

    pixel = np.flatnonzero(buffer.mask).astype(np.int32)
    row, column = np.divmod(pixel, np.int32(buffer.face.shape[1]))
    base, along_x, along_y = planes[buffer.face.ravel()[pixel]].T
    picture = np.zeros(buffer.face.size, np.float32)
    spread = base + along_x * column.astype(np.float32) + along_y * row.astype(np.float32)
    picture[pixel] = np.clip(spread, values.min(), values.max())
    return picture.reshape(buffer.face.shape)


def _area(corners: np.ndarray) -> np.ndarray:
    """Twice the signed area in the picture, (F,); negative where a face looks at the camera (y points down)."""
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]


def _planes(corners: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The linear function with `values` (F, 3) at `corners` (F, 3, 2): at pixel (0, 0), (F,), and d / d(x, y), (F, 2)."""
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    vb, vc = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    slope = np.stack([vb * ac[:, 1] - vc * ab[:, 1], vc * ab[:, 0] - vb * ac[:, 0]], axis=-1)
    area = _area(corners)[:, None]
    # A sliver's slope is all rounding error: it gets its mean value everywhere.
    sliver = ~(np.abs(area) > SLIVER)
    slope = np.where(sliver, 0.0, slope / np.where(sliver, 1.0, area))
    return values.mean(axis=1) - (slope * np.where(sliver, 0.0, corners.mean(axis=1))).sum(axis=1), slope


def _facing(points, faces, height, width) -> np.ndarray:
    """Indices of the faces in front of the camera, turned to it and not wholly outside the picture."""
    corners = points[faces]
    low, high = corners.min(axis=1), corners.max(axis=1)
    inside = (high > 0).all(axis=1) & (low[:, 0] < width) & (low[:, 1] < height)
    return np.flatnonzero(inside & (_area(corners) < 0))  # comparisons with NaN are false


def _runs(corners, height, width):
    """Rows of each face: its index, the row, the first pixel and the number of pixels, all (R,)."""
    order = np.argsort(corners[:, :, 1], axis=1, kind="stable")
    top, middle, bottom = np.take_along_axis(corners, order[..., None], axis=1).swapaxes(0, 1)
    begin = np.clip(np.ceil(top[:, 1] - 0.5), 0, height).astype(np.int64)
    rows = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, height).astype(np.int64) - begin
    owner = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(rows) - rows - begin, rows)
    y = row + 0.5
    # An edge always runs from its upper to its lower end, so both faces at it compute the very same crossing.
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


def _crossing(y, upper, lower):
    return upper[:, 0] + (y - upper[:, 1]) * ((lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1]))
