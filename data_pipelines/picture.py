"""The frames of a rendered clip: the dressed body over its surroundings, as a cheap camera would record it."""

from collections.abc import Iterator

import cv2
import numpy as np

from data_pipelines.backdrop import Backdrop
from data_pipelines.looks import Doll, Look
from data_pipelines.scene import Shot

NEAR, FAR = 0.1, 100.0  # metres; nothing nearer is drawn
BLUR_FROM = 5.0  # pixels that something moves while the shutter is open, to be drawn more than once
IMAGES = 3  # odd, so that one of them is where the truth is
SHADOW_STEP = 4  # the shadow is drawn from every so many points and at this part of the resolution


def take_pictures(
    rng: np.random.Generator,
    shot: Shot,
    doll: Doll,
    look: Look,
    backdrop: Backdrop,
    points: np.ndarray,
    cosine: np.ndarray,
    to_light: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the window of every frame, (h, w, 3) uint8 RGB, and the person's visible mask in it, (h, w) uint8 0 or 255.

    Args:
      points: (T, 3, P) camera frame, and cosine: (T, P), from `scene.pose_points`. to_light: (3,) in the world.
    """
    camera = _Camera(rng, shot.window.size)
    ambient = rng.uniform(0.3, 0.75)
    shade = np.clip(ambient + (1 - ambient) * 1.2 * np.clip(cosine, 0, 1), 0, 1)
    tint = rng.uniform(0.75, 1.15) * (1 + rng.normal(0, 0.04, 3))
    atlas = np.clip(look.atlas * tint, 0, 255).astype(np.uint8)
    exposure = rng.choice([0.0, rng.uniform(0.1, 0.9)], p=[0.55, 0.45])  # of the time between two frames
    dark = rng.uniform(0.0, 0.55)
    for number in range(len(points)):
        image, cover = backdrop.frame(number)
        _cast_shadow(image, shot, points[number], shot.to_camera[number], to_light, dark)
        before, after = max(number - 1, 0), min(number + 1, len(points) - 1)
        blur = exposure / max(after - before, 1) * (points[after] - points[before])
        mask = _draw_body(image, shot, doll, atlas, points[number], blur, shade[number], cover)
        yield camera(image), mask


class _Camera:
    """Softness, noise and compression, the same for a whole clip.

    All of it is mild: compressed frame by frame, a small picture makes the detector tremble as no real video does.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]):
        self._rng = rng
        self._blur = rng.choice([0.0, rng.uniform(0.4, 1.3)], p=[0.3, 0.7])
        self._quality = int(rng.choice([0, rng.uniform(75, 97)]))
        noise = rng.standard_normal((size[0] + 64, size[1] + 64, 3), np.float32) * rng.gamma(2.0, 1.5)
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.3, 0.8))
        # What brightens and what darkens apart, because bytes are added four times as fast as anything else.
        self._noise = cv2.convertScaleAbs(np.maximum(noise, 0)), cv2.convertScaleAbs(np.minimum(noise, 0))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if self._blur:
            image = cv2.GaussianBlur(image, (0, 0), self._blur)
        row, column = self._rng.integers(0, 65, 2)
        part = slice(row, row + image.shape[0]), slice(column, column + image.shape[1])
        brighter, darker = self._noise
        image = cv2.subtract(cv2.add(image, brighter[part]), darker[part])
        if not self._quality:
            return image
        # OpenCV takes the channels for BGR: red and blue change places on the way in and on the way out.
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _draw_body(image, shot, doll, atlas, points, blur, shade, cover):
    """Draws into `image` and returns the mask; several times along `blur` (3, P), metres, where a limb is fast."""
    window = shot.window
    depth = np.maximum(points[2], NEAR)
    moved = float(np.abs(blur[:2] / depth).max()) * window.focal_length
    images = IMAGES if moved > BLUR_FROM else 1
    pixels = points[:2] * (window.focal_length / depth) + window.centre[:, None]
    reach = int(moved / 2) + 2
    low = np.clip(np.floor(pixels.min(1)).astype(int) - reach, 0, window.size[::-1])
    high = np.clip(np.ceil(pixels.max(1)).astype(int) + reach, 0, window.size[::-1])
    mask = np.zeros(window.size, np.uint8)
    if (high - low < 2).any():
        return mask
    box = slice(low[1], high[1]), slice(low[0], high[0])
    values = np.column_stack([doll.texel / np.float32(atlas.shape[1::-1]), shade])
    exposed = []
    for offset in (np.arange(images) + 0.5) / images - 0.5:
        there = points + offset * blur if offset else points
        drawn, inside = _rasterize(there, values, doll.faces, atlas, window, low, high)
        exposed.append(image[box].copy())
        cv2.copyTo(drawn, inside, exposed[-1])
        if len(exposed) == images // 2 + 1:
            mask[box] = inside
    drawn = exposed[0] if images == 1 else _mean(exposed)
    if cover is None:
        image[box] = drawn
    else:
        cv2.copyTo(drawn, cv2.bitwise_not(cover[box]), image[box])
        mask[cover > 0] = 0
    return mask


def _rasterize(points, values, faces, atlas, window, low, high):
    """The body (3, P) in the window's columns and rows from `low` to `high`: its colours, and 255 where it is."""
    columns, rows = (int(size) for size in high - low)
    # The box's middle becomes the principal point by a shear, and OpenCV's camera looks along -z with y up.
    shift = (window.centre - low - (columns / 2, rows / 2)) / window.focal_length
    x, y, z = points
    corners = np.stack([x + shift[0] * z, -y - shift[1] * z, -z], axis=-1).astype(np.float32)
    height, width = atlas.shape[:2]
    drawn, depth = np.zeros((rows, columns, 3), np.float32), np.full((rows, columns), FAR, np.float32)
    view = 2 * np.arctan2(rows / 2, window.focal_length)
    cv2.triangleRasterize(corners, faces, values, drawn, depth, _VIEW, view, NEAR, FAR, _SETTINGS)
    across, down, light = cv2.split(drawn)
    colours = cv2.remap(atlas, across * width, down * height, cv2.INTER_LINEAR)
    colours = cv2.multiply(colours, cv2.merge([light] * 3), dtype=cv2.CV_8U)
    return colours, cv2.compare(depth, FAR, cv2.CMP_LT)


def _mean(pictures):
    total = pictures[0].astype(np.uint16)
    for picture in pictures[1:]:
        cv2.add(total, picture, dst=total, dtype=cv2.CV_16U)
    return cv2.convertScaleAbs(total, alpha=1 / len(pictures))


def _cast_shadow(image, shot, points, turn, to_light, dark):
    """Darkens `image` where the body keeps the light from the floor; soft, and only as good as a cheap game's."""
    window = shot.window
    points = points[:, ::SHADOW_STEP]
    up, to_light = turn[:, 1], turn @ (to_light / max(to_light[1], 0.3))  # in the camera's frame, too
    below = min(-shot.camera[1], -0.2)  # the camera, at which the floor is
    points = points + to_light[:, None] * (below - up @ points)
    pixels = points[:2] * (window.focal_length / np.maximum(points[2], NEAR)) + window.centre[:, None]
    size = tuple(-(-side // SHADOW_STEP) for side in window.size)
    column, row = (pixels / SHADOW_STEP).astype(int)
    inside = (points[2] > NEAR) & (column >= 0) & (column < size[1]) & (row >= 0) & (row < size[0])
    shadow = np.zeros(size, np.uint8)
    shadow[row[inside], column[inside]] = 255
    shadow = cv2.GaussianBlur(cv2.dilate(shadow, _DISC), (0, 0), 2.0)
    light = 255 - cv2.resize(cv2.convertScaleAbs(shadow, alpha=dark), window.size[::-1])
    cv2.multiply(image, cv2.merge([light] * 3), dst=image, scale=1 / 255)


_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
_VIEW = np.eye(4, dtype=np.float32)
_SETTINGS = cv2.TriangleRasterizeSettings()
_SETTINGS.setCullingMode(cv2.RASTERIZE_CULLING_CW)
_SETTINGS.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
