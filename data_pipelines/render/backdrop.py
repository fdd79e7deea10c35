"""Backdrop and occluder of a rendered person: a random room, meadow or blur, or a user's picture or video.

The camera turns but does not move. So one picture, the plate, serves the whole clip, and a homography takes
it to each frame. A video gives one plate for each frame.
"""

import colorsys
import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from data_pipelines.motion.clip import FPS
from data_pipelines.observed.videos import SUFFIXES as VIDEO_SUFFIXES
from data_pipelines.render.scene import Shot
from hpof_jax.errors import UserError
from hpof_jax.observe.video import read_video, thin

PLATE_LIMIT = 2.0  # largest width and height of a plate, as multiples of the window's
VIDEO_PIXELS = 150_000  # of each plate from a video: all plates of a clip are in memory at once
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclasses.dataclass(frozen=True)
class Backdrop:
    """What the camera sees behind and in front of the person."""

    plate: np.ndarray | list[np.ndarray]  # (H, W, 3) uint8 RGB, or a list with one for each of T frames
    occluder: np.ndarray | None  # (H, W) uint8, 255 where the plate is in front of the person
    to_window: np.ndarray | None  # (T, 3, 3) homographies of pixel indices; None: the plate is the window
    size: tuple[int, int]  # (h, w) of the window

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Frame `number` without the person: a new picture (h, w, 3) and the occluder (h, w) or None."""
        plate = self.plate[number] if isinstance(self.plate, list) else self.plate
        if self.to_window is None:
            return plate.copy(), self.occluder
        turned = [
            layer
            if layer is None
            else cv2.warpPerspective(
                layer, self.to_window[number], self.size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101
            )
            for layer, flags in ((plate, cv2.INTER_LINEAR), (self.occluder, cv2.INTER_NEAREST))
        ]
        return turned[0], turned[1]


def list_pictures(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """The pictures and videos of a folder and its subfolders, sorted.

    Raises:
      UserError: there is none.
    """
    found = sorted(
        p
        for p in pathlib.Path(folder).expanduser().rglob("*")
        if p.suffix.lower() in {*PICTURE_SUFFIXES, *VIDEO_SUFFIXES}
    )
    if not found:
        raise UserError(
            f"There is no picture or video in {folder}: give a folder of .jpg, .png or .mp4 files."
        )
    return found


def make_backdrop(rng: np.random.Generator, shot: Shot, pictures: Sequence[pathlib.Path] = ()) -> Backdrop:
    """A random backdrop of the shot.

    Args:
      pictures: pictures and videos, used in two clips of three.

    Raises:
      UserError: a picture or video cannot be read.
    """
    window = shot.window
    middle = shot.to_camera[len(shot.to_camera) // 2]
    still = np.abs(shot.to_camera - middle).max() < 1e-4
    low, high = _bounds(shot, middle)
    if still:
        low, high = np.zeros(2), np.array(window.size[::-1], float)
    size = np.ceil(high - low).astype(int)
    centre = window.centre - low
    chosen = pictures[rng.integers(len(pictures))] if pictures and rng.random() < 0.67 else None
    if chosen is not None and chosen.suffix.lower() in VIDEO_SUFFIXES:
        scale = min(1.0, np.sqrt(VIDEO_PIXELS / np.prod(size)))
        plates = _play(rng, chosen, np.ceil(scale * size).astype(int), len(shot.to_camera))
        # Homographies even for a still camera, because the plate may be smaller than the window.
        return Backdrop(plates, None, _homographies(shot, middle, low, scale), window.size)
    columns, rows = ((np.arange(side) + 0.5 - at) / window.focal_length for side, at in zip(size, centre))
    x, y, z = middle.astype(np.float32)  # the camera's axes in the world
    rays = x * np.float32(columns)[:, None] + (y * np.float32(rows)[:, None] + z)[:, None]
    camera = shot.camera.astype(np.float32)
    photo = None if chosen is None else _read(chosen)
    if photo is not None and rng.random() < 0.5:
        plate = _fill(rng, photo, size)
    else:
        kind = rng.choice(["room", "meadow", "blur"], p=[0.6, 0.25, 0.15])
        if kind == "room":
            plate = _room(rng, camera, rays, photo)
        else:
            plate = _meadow(rng, camera, rays) if kind == "meadow" else _blur(rng, rays)
    plate = np.clip(plate, 0, 255).astype(np.uint8)
    _clutter(rng, plate)
    if rng.random() < 0.6:
        plate = cv2.GaussianBlur(plate, (0, 0), rng.gamma(1.5, 1.2) + 0.3)
    plate = cv2.addWeighted(plate, rng.uniform(0.6, 1.15), plate, 0, rng.uniform(-15, 25))
    occluder = _draw_occluder(rng, plate, low, window) if rng.random() < 0.15 else None
    return Backdrop(plate, occluder, None if still else _homographies(shot, middle, low), window.size)


def _bounds(shot: Shot, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners [x, y] of a plate that covers all frames, in window pixels of the middle frame."""
    window, (height, width) = shot.window, shot.window.size
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)]) - window.centre
    rays = np.column_stack([corners, np.full(4, window.focal_length)]) @ shot.to_camera @ middle.T
    seen = window.centre + window.focal_length * rays[..., :2] / np.maximum(
        rays[..., 2:], 0.3 * window.focal_length
    )
    size = np.array([width, height])
    extra = (PLATE_LIMIT - 1) / 2 * size
    return np.maximum(seen.min((0, 1)), -extra), np.minimum(seen.max((0, 1)), size + extra)


def _homographies(shot: Shot, middle: np.ndarray, low: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """`Backdrop.to_window` for a plate with its corner at `low` in the middle frame, scaled by `scale`."""
    focal_length, shift = shot.window.focal_length, (1 / scale - 1) / 2

    def intrinsics(centre):
        x, y = centre - 0.5
        return np.array([[focal_length, 0, x], [0, focal_length, y], [0, 0, 1]])

    unscale = [[1 / scale, 0, shift], [0, 1 / scale, shift], [0, 0, 1]]
    to_ray = np.linalg.inv(intrinsics(shot.window.centre - low)) @ unscale
    return intrinsics(shot.window.centre) @ shot.to_camera @ middle.T @ to_ray


def _room(rng, camera, rays, photo):
    """A floor and a wall with rectangles on it, in perspective."""
    ahead = rays.reshape(-1, 3).mean(0) * (1, 0, 1)
    turn = rng.normal(0, 0.4)
    normal = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]) @ ahead
    normal /= max(np.linalg.norm(normal), 1e-6)
    behind = -camera @ normal + rng.uniform(0.5, 4.0)  # the person is near the origin
    to_wall = max(float(behind), 1.0) / np.maximum(rays @ normal.astype(np.float32), 0.05)
    along = np.stack(
        [
            (rays @ np.cross(normal, [0, 1, 0]).astype(np.float32)) * to_wall,
            camera[1] + rays[..., 1] * to_wall,
        ],
        axis=-1,
    )
    wall = draw_surface(rng, 512) if photo is None else cv2.resize(photo, (512, 512))
    if photo is None:
        for _ in range(rng.integers(0, 40)):  # doors, windows, pictures, shelves
            corner, extent = rng.uniform(0, 512, 2), rng.gamma(1.5, 30, 2)
            cv2.rectangle(
                wall,
                corner.astype(int).tolist(),
                (corner + extent).astype(int).tolist(),
                draw_colour(rng),
                int(rng.choice([-1, -1, 2])),
            )
    drawn = _look_up(wall, along * (-1, -1) * 512 / rng.uniform(4, 9), cv2.BORDER_REFLECT)
    floor = _floor(rng, camera, rays)
    return np.where((along[..., 1:] < 0), floor, drawn * rng.uniform(0.7, 1.1))


def _meadow(rng, camera, rays):
    """Ground to the horizon, bushes and sky."""
    up = np.clip(rays[..., 1:2] * 2, 0, 1)
    sky = _colour32(rng, 0.55, 0.3, 0.9) * (1 - up) + _colour32(rng, 0.6, 0.6, 0.8) * up
    bushes = _noise(rng, rays.shape[:2], 40) * 0.5 + _noise(rng, rays.shape[:2], 12) * 0.25
    texture = _noise(rng, rays.shape[:2], 3)[..., None] * 20
    near = np.where(
        (rays[..., 1] + 0.1 * bushes < rng.uniform(-0.05, 0.25))[..., None],
        _colour32(rng, 0.3, 0.5, 0.4) + texture,
        sky,
    )
    return np.where(rays[..., 1:2] < -0.01, _floor(rng, camera, rays), near)


def _blur(rng, rays):
    """Smooth colours, like a background out of focus."""
    rows, columns = rng.integers(2, 7, 2)
    coarse = np.array([[draw_colour(rng) for _ in range(columns)] for _ in range(rows)], np.float32)
    return cv2.resize(coarse, rays.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def _floor(rng, camera, rays):
    level = min(0.0, camera[1] - 0.2)
    reach = (level - camera[1]) / np.minimum(rays[..., 1], -1e-3)
    place = camera[[0, 2]] + rays[..., [0, 2]] * reach[..., None]
    texture = draw_surface(rng, 256)
    drawn = _look_up(texture, place * 256 / rng.uniform(0.6, 3), cv2.BORDER_WRAP)
    far = np.clip(reach / 25, 0, 1)[..., None]
    return drawn * (1 - far) + texture.mean((0, 1)) * far


def draw_surface(rng: np.random.Generator, side: int) -> np.ndarray:
    """A texture tile of a wall or floor, (side, side, 3) float32."""
    ground, other = _colour32(rng), _colour32(rng)
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    kind, lines = (
        rng.choice(["plain", "tiles", "planks", "checks"], p=[0.4, 0.25, 0.2, 0.15]),
        side // rng.integers(2, 9),
    )
    share = rng.uniform(0.1, 0.6)
    if kind == "tiles":
        weight = ((x % lines < 3) | (y % lines < 3)) * share
    elif kind == "planks":
        weight = (x % lines < 2) * share + 0.4 * rng.uniform(-1, 1, side // lines + 1)[x // lines]
    elif kind == "checks":
        weight = ((x // lines + y // lines) % 2) * share
    else:
        weight = np.zeros((side, side))
    grain = (
        1
        + rng.uniform(0, 0.12) * _noise(rng, (side, side), 2)
        + rng.uniform(0, 0.1) * _noise(rng, (side, side), 20)
    )
    weight = np.float32(np.clip(weight, 0, 1))[..., None]
    return (ground * (1 - weight) + other * weight) * grain[..., None]


def _clutter(rng, plate):
    """Draws up to nine translucent rectangles and lines into the plate, without perspective."""
    height, width = plate.shape[:2]
    for _ in range(rng.integers(0, 10)):
        a = rng.uniform(-0.1, 1.1, 2) * (width, height)
        b = a + rng.normal(0, 0.15, 2) * height
        layer = plate.copy()
        if rng.random() < 0.6:
            cv2.rectangle(layer, a.astype(int).tolist(), b.astype(int).tolist(), draw_colour(rng), -1)
        else:
            cv2.line(
                layer,
                a.astype(int).tolist(),
                b.astype(int).tolist(),
                draw_colour(rng),
                int(rng.integers(1, 9)),
            )
        opacity = rng.uniform(0.3, 1)
        cv2.addWeighted(layer, opacity, plate, 1 - opacity, 0, dst=plate)


def _draw_occluder(rng, plate, low, window):
    """Draws furniture, a pole or a box into the plate and returns its mask, 255 where it is."""
    height, width = window.size
    occluder = np.zeros(plate.shape[:2], np.uint8)
    kind = rng.choice(["furniture", "pole", "box"])
    if kind == "furniture":
        across, top = rng.uniform(0.2, 0.6) * width, rng.uniform(0.55, 0.85) * height
        left = rng.uniform(0.1, 0.9) * width - across / 2
        corners = (left, top), (left + across, height + 2 * plate.shape[0])
    elif kind == "pole":
        left = rng.uniform(0.2, 0.8) * width
        corners = (
            (left, -2.0 * plate.shape[0]),
            (left + rng.uniform(0.01, 0.06) * width, 2.0 * plate.shape[0]),
        )
    else:
        middle, extent = rng.uniform(0.2, 0.8, 2) * (width, height), rng.uniform(0.05, 0.15, 2) * height
        corners = middle - extent, middle + extent
    first, second = ((np.array(corner) - low).astype(int).tolist() for corner in corners)
    cv2.rectangle(occluder, first, second, 255, -1)
    if occluder.any():
        surface = cv2.resize(draw_surface(rng, 256), plate.shape[1::-1])
        plate[occluder > 0] = np.clip(surface[occluder > 0], 0, 255)
    return occluder


def _fill(rng, photo, size):
    """A random part of a photograph, scaled to `size` [x, y]."""
    part = _part(rng, photo.shape, size)
    return cv2.resize(photo[part], size.tolist(), interpolation=cv2.INTER_AREA)


def _part(rng, shape, size):
    """Rows and columns of a random part with the aspect ratio of `size` [x, y]."""
    height, width = shape[:2]
    part = rng.uniform(0.5, 1.0) * min(width / size[0], height / size[1])
    across, down = max(int(part * size[0]), 1), max(int(part * size[1]), 1)
    left, top = rng.integers(width - across + 1), rng.integers(height - down + 1)
    return slice(top, top + down), slice(left, left + across)


def _play(rng, video, size, count):
    """`count` frames of a random part of a video from a random start; at its end it plays in reverse."""
    info = _about(video)
    step = max(1, round(info.fps / FPS))
    start = rng.integers(max((info.frame_count or 1) - count * step, 0) + 1)
    part, light, offset = _part(rng, info.image_size, size), rng.uniform(0.6, 1.15), rng.uniform(-15, 25)
    try:
        frames, _ = thin(*read_video(video, count * step, start=start / info.fps), FPS)
    except UserError:  # the video is shorter than its header says
        frames, _ = thin(*read_video(video, count * step), FPS)
    shown = [cv2.resize(frame[part], size.tolist(), interpolation=cv2.INTER_AREA) for frame in frames]
    shown = [cv2.addWeighted(frame, light, frame, 0, offset) for frame in shown]
    there_and_back = shown + shown[-2:0:-1]
    return [there_and_back[number % len(there_and_back)] for number in range(count)]


@functools.lru_cache(maxsize=4096)
def _about(video):
    return read_video(video)[1]  # this reads one frame


def _read(path: pathlib.Path) -> np.ndarray:
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"The picture {path} cannot be read: replace or remove it.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32)


def _look_up(texture, place, border):
    x, y = (np.ascontiguousarray(np.clip(place[..., axis], -3e4, 3e4), np.float32) for axis in (0, 1))
    side = texture.shape[0]
    if border == cv2.BORDER_WRAP:  # cv2.remap wraps only once
        x, y = x % side, y % side
    return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=border)


def _noise(rng, shape, size):
    coarse = rng.normal(size=(shape[0] // size + 2, shape[1] // size + 2)).astype(np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _colour32(rng, *near) -> np.ndarray:
    return np.float32(draw_colour(rng, *near))


def draw_colour(
    rng: np.random.Generator,
    hue: float | None = None,
    saturation: float | None = None,
    value: float | None = None,
) -> tuple[float, float, float]:
    """A random RGB colour, 0..255, mostly unsaturated. A given hue, saturation or value is the mean."""
    usual = (rng.random(), rng.beta(1, 3), rng.beta(2, 1.6))
    hsv = [
        u if x is None else np.clip(rng.normal(x, 0.08), 0, 1)
        for u, x in zip(usual, (hue, saturation, value))
    ]
    return tuple(255 * channel for channel in colorsys.hsv_to_rgb(*hsv))
