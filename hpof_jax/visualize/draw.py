"""Draws one body over one picture: shaded mesh, silhouette, skeleton or flow; and labels.

Pictures are (H, W, 3) uint8 RGB, and the middle of the picture is the principal point. Every function returns
a changed copy. OpenCV is imported at the first drawing, because importing this package should be fast.
"""

import functools
import threading

import numpy as np

from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.geometry import zbuffer
from hpof_jax.geometry.visibility import vertex_normals
from hpof_jax.palette import SEEN, UNSEEN

LEFT, RIGHT, MIDDLE = (64, 150, 255), (255, 150, 40), (240, 240, 240)  # RGB, safe for the colour-blind
OUTLINE = (20, 20, 20)
SAMPLES = 2  # samples per pixel and axis, averaged: smooth edges
FAR = 1000.0  # metres; faces farther away are not drawn

AMBIENT = 0.3
# Camera frame: towards a light a little above the camera and to its left.
TO_LIGHT = np.array([-0.3, -0.5, -0.8]) / np.linalg.norm([-0.3, -0.5, -0.8])

_memory = threading.local()
_SUBPIXEL = 4  # bits after the point in coordinates of OpenCV's lines


def render_mesh(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    focal_length: float,
    color: tuple[int, int, int] = SEEN,
    alpha: float = 0.9,
) -> np.ndarray:
    """A copy of the picture with a shaded, antialiased mesh over it.

    Args:
      image: (H, W, 3) uint8 RGB.
      vertices: (V, 3) metres, camera frame. Faces with a vertex behind the camera are left out.
      faces: (F, 3) int, counter-clockwise when seen from outside; back faces are not drawn.
      focal_length: pixels of `image`.
      color: RGB, 0 to 255.
      alpha: opacity, 0 to 1.
    """
    colors = shade(vertices, faces) * np.array(color, np.float32)
    return render_colors(image, vertices, faces, focal_length, colors, alpha)


def render_colors(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    focal_length: float,
    colors: np.ndarray,
    alpha: float = 1.0,
) -> np.ndarray:
    """`render_mesh` with a colour for each vertex, (V, 3) RGB from 0 to 255, and without a light."""
    import cv2

    image = image.copy()
    box, color, coverage = _rasterize(image.shape[:2], vertices, faces, focal_length, colors)
    if box is not None:
        # The colour is zero outside the body, so both averages are premultiplied and the edge gets no dark rim.
        kept = cv2.bitwise_not(cv2.merge([cv2.convertScaleAbs(coverage, alpha=alpha)] * 3))
        background = cv2.multiply(image[box], kept, scale=1 / 255, dtype=cv2.CV_32F)
        image[box] = cv2.convertScaleAbs(cv2.scaleAdd(color, alpha, background))
    return image


def shade(vertices: np.ndarray, faces: np.ndarray, ambient: float = AMBIENT) -> np.ndarray:
    """(V, 1) float32 brightness, 0 to 1, of a matt surface under a light near the camera and ambient light."""
    normals = vertex_normals(np.asarray(vertices), np.asarray(faces))
    return np.float32(ambient + (1.0 - ambient) * np.maximum(normals @ TO_LIGHT, 0.0))[:, None]


def render_silhouette(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    focal_length: float,
    color: tuple[int, int, int] = SEEN,
    alpha: float = 0.35,
) -> np.ndarray:
    """A copy of the picture with the body's area tinted and its outline drawn; arguments as `render_mesh`."""
    import cv2

    colors = np.tile(np.float32(color), (len(vertices), 1))
    box, filled, coverage = _rasterize(image.shape[:2], vertices, faces, focal_length, colors)
    image = image.copy()
    if box is None:
        return image
    mask = cv2.compare(coverage, 127, cv2.CMP_GT)
    opacity = (alpha / 255) * coverage[..., None].astype(np.float32)
    image[box] = np.minimum(image[box] * (1 - opacity) + alpha * filled + 0.5, 255.0)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=_corner(box))
    width = _line_width(image)
    cv2.drawContours(image, contours, -1, OUTLINE, width + 2, cv2.LINE_AA)
    cv2.drawContours(image, contours, -1, color, width, cv2.LINE_AA)
    return image


def render_skeleton(
    image: np.ndarray, joints: np.ndarray, focal_length: float, seen: bool = True
) -> np.ndarray:
    """A copy of the picture with the bones over it: the left side blue, the right side orange.

    Args:
      image: (H, W, 3) uint8 RGB.
      joints: (24, 3) metres, camera frame. Bones with an end behind the camera are left out.
      focal_length: pixels of `image`.
      seen: False draws all bones grey.
    """
    import cv2

    image = image.copy()
    points = zbuffer.project(joints, focal_length, image.shape[:2])
    width = 2 * _line_width(image)
    bones = [(joint, parent) for joint, parent in enumerate(SMPL_PARENTS) if parent >= 0]
    bones = [bone for bone in bones if np.isfinite(points[list(bone)]).all()]
    # Far bones first, so that near ones cover them.
    bones.sort(key=lambda bone: -joints[list(bone), 2].sum())
    fixed = np.nan_to_num(np.clip((points - 0.5) * 2**_SUBPIXEL, -(2**24), 2**24)).round().astype(int)
    for outline in (True, False):
        for joint, parent in bones:
            ends = fixed[joint].tolist(), fixed[parent].tolist()
            color = OUTLINE if outline else _side_color(joint) if seen else UNSEEN
            thickness = width + 2 * outline
            cv2.line(image, *ends, color, thickness, cv2.LINE_AA, _SUBPIXEL)
            cv2.circle(image, ends[0], thickness << _SUBPIXEL, color, -1, cv2.LINE_AA, _SUBPIXEL)
    return image


def flow_colors(flow: np.ndarray, fastest: float) -> np.ndarray:
    """Optical flow (..., 2) in pixels -> colours (..., 3) from 0 to 255, float32.

    The hue is the direction and the saturation the speed: white stands still, and full colour is `fastest`.
    """
    import cv2

    flow = np.asarray(flow, np.float32)
    speed = np.linalg.norm(flow, axis=-1) / fastest
    hue = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    hsv = np.stack([hue, np.minimum(speed, 1.0), np.ones_like(speed)], axis=-1).reshape(-1, 1, 3)
    return 255 * cv2.cvtColor(np.float32(hsv), cv2.COLOR_HSV2RGB).reshape(*flow.shape[:-1], 3)


def flow_wheel(size: int) -> np.ndarray:
    """The legend of `flow_colors`: (size, size, 4) uint8 RGBA, a disc whose rim is the fastest flow."""
    reach = np.linspace(-1, 1, size)
    flow = np.stack(np.meshgrid(reach, reach), axis=-1)
    inside = np.clip((1 - np.linalg.norm(flow, axis=-1)) * size / 2, 0, 1)
    return np.dstack([flow_colors(flow, 1.0), 255 * inside]).round().astype(np.uint8)


def paste(image: np.ndarray, patch: np.ndarray, left: int, top: int) -> None:
    """Draws a patch (h, w, 4) uint8 RGBA into `image`; what does not fit is cut off."""
    patch = patch[: max(image.shape[0] - top, 0), : max(image.shape[1] - left, 0)]
    window = image[top : top + patch.shape[0], left : left + patch.shape[1]]
    opacity = patch[..., 3:].astype(np.float32) / 255
    window[...] = window * (1 - opacity) + patch[..., :3] * opacity + 0.5


@functools.lru_cache(maxsize=32)
def label(text: str, size: int) -> np.ndarray:
    """White text on a dark, half transparent rounded box, (h, w, 4) uint8 RGBA.

    Args:
      size: height of the letters, pixels.
    """
    from PIL import Image, ImageDraw, ImageFont

    font, margin = ImageFont.load_default(size), size // 2
    left, right = font.getbbox(text)[::2]
    top, bottom = font.getbbox("Ag")[1::2]
    shape = (right - left + 2 * margin, bottom - top + margin)
    picture = Image.new("RGBA", shape, (0, 0, 0, 0))
    drawing = ImageDraw.Draw(picture)
    drawing.rounded_rectangle((0, 0, shape[0] - 1, shape[1] - 1), margin // 2, (20, 20, 20, 170))
    drawing.text((margin - left, margin // 2 - top), text, (255, 255, 255, 255), font)
    return np.asarray(picture)


def _rasterize(
    image_size: tuple[int, int],
    vertices: np.ndarray,
    faces: np.ndarray,
    focal_length: float,
    colors: np.ndarray,
) -> tuple[tuple[slice, slice] | None, np.ndarray, np.ndarray]:
    """The mesh in the part of the picture that it can cover.

    Returns:
      That part as (rows, columns), or None if the mesh is not in the picture; the colour (h, w, 3) float32,
      times the coverage; and the coverage (h, w) uint8, 255 where the mesh covers the whole pixel.
    """
    import cv2

    vertices = np.asarray(vertices, np.float64)
    points = zbuffer.project(vertices, focal_length, image_size)
    box = _box(points, *image_size)
    if box is None:
        return None, np.zeros((0, 0, 3), np.float32), np.zeros((0, 0), np.uint8)
    near = np.isnan(points[:, 0])
    faces = np.asarray(faces, np.int32)
    if near.any():
        faces = faces[~near[faces].any(axis=1)]
    height, width = (part.stop - part.start for part in box)
    # A shear makes the middle of the box the principal point. OpenCV's camera looks along -z with y up.
    size = np.array([width, height])
    shift = (np.array(image_size[::-1]) / 2 - _corner(box) - size / 2) / focal_length
    x, y, z = vertices.T
    corners = np.stack([x + shift[0] * z, -y - shift[1] * z, -z], axis=-1).astype(np.float32)
    view = 2 * np.arctan2(height / 2, focal_length)
    fine = (SAMPLES * height, SAMPLES * width)
    drawn, depth = _buffers(*fine)
    settings = cv2.TriangleRasterizeSettings()
    settings.setCullingMode(cv2.RASTERIZE_CULLING_CW)
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    # OpenCV draws colours from 0 to 1. Its empty depths differ from FAR by rounding.
    colors, camera = np.float32(colors) / 255, np.eye(4, dtype=np.float32)
    cv2.triangleRasterize(corners, faces, colors, drawn, depth, camera, view, zbuffer.NEAR, FAR, settings)
    inside = cv2.compare(depth, FAR / 2, cv2.CMP_LT)
    color, coverage = (
        cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA) for layer in (drawn, inside)
    )
    return box, 255 * color, coverage


def _buffers(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A black picture (H, W, 3) and an empty depth (H, W), float32; each thread uses its own memory again."""
    size = height * width
    if getattr(_memory, "size", 0) < size:
        # New memory costs as much time as drawing: the system clears it page by page.
        _memory.size, _memory.flat = size, np.empty(4 * size, np.float32)
    drawn, depth = _memory.flat[: 3 * size], _memory.flat[3 * size : 4 * size]
    drawn.fill(0.0)
    depth.fill(FAR)
    return drawn.reshape(height, width, 3), depth.reshape(height, width)


def _box(points: np.ndarray, height: int, width: int) -> tuple[slice, slice] | None:
    """The rows and columns that points (V, 2) span, NaN left out; None if that is not in the picture."""
    points = points[np.isfinite(points[:, 0])]
    if not len(points):
        return None
    bounds = np.stack([np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))])
    (left, top), (right, bottom) = np.clip(bounds, 0, [width, height]).astype(int).tolist()
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None


def _corner(box: tuple[slice, slice]) -> tuple[int, int]:
    return box[1].start, box[0].start


def _line_width(image: np.ndarray) -> int:
    return max(1, round(image.shape[0] / 360))


def _side_color(joint: int) -> tuple[int, int, int]:
    name = SMPL_JOINTS[joint]
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else MIDDLE
