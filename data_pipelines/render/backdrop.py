"""What is behind and before a rendered person: a room, a meadow or a blur, drawn at random or a user's picture.

The camera turns but does not move, so one picture, the plate, serves the whole clip: each frame shows it turned. A user's
video gives one for each frame.
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

PLATE_LIMIT = 2.0  # plates are at most this many times as wide and high as the window
VIDEO_PIXELS = 150_000  # of each frame of a moving plate: 120 of them are kept at once
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclasses.dataclass(frozen=True)
class Backdrop:
    """plate: (H, W, 3) uint8 RGB, or T of them; cover: (H, W) uint8, 255 where the plate is before the person, or None.

    to_window: (T, 3, 3) homographies from the plate's pixel indices to the window's, or None where the plate is the
    window in every frame.
    """

    plate: np.ndarray | list[np.ndarray]
    cover: np.ndarray | None
    to_window: np.ndarray | None
    size: tuple[int, int]

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """What frame `number` shows without the person: a picture to draw into, and the cover."""
        plate = self.plate[number] if isinstance(self.plate, list) else self.plate
        if self.to_window is None:
            return plate.copy(), self.cover
        turned = [
            layer
            if layer is None
            else cv2.warpPerspective(
                layer, self.to_window[number], self.size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101
            )
            for layer, flags in ((plate, cv2.INTER_LINEAR), (self.cover, cv2.INTER_NEAREST))
        ]
        return turned[0], turned[1]


def list_pictures(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """The pictures and videos of a folder and its subfolders, sorted. Raises `UserError` if there is none."""
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
    """A random surrounding of the shot; `pictures`, which may be videos, are used in two clips of three where there are any."""
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
        # Still, too, because the plate is smaller than the window.
        return Backdrop(plates, None, _homographies(shot, middle, low, scale), window.size)
    columns, rows = ((np.arange(side) + 0.5 - at) / window.focal_length for side, at in zip(size, centre))
    x, y, z = middle.astype(np.float32)  # the camera's axes in the world, where the rays are
    rays = x * np.float32(columns)[:, None] + (y * np.float32(rows)[:, None] + z)[:, None]
    camera = shot.camera.astype(np.float32)
    photo = None if chosen is None else _read(chosen)
    if photo is not None and rng.random() < 0.5:
        plate = _fill(rng, photo, size)
    else:
        kind = rng.choice(["room", "meadow", "blur"], p=[0.6, 0.25, 0.15])
        plate = {"room": _room, "meadow": _meadow, "blur": _blur}[kind](rng, camera, rays, photo)
    plate = np.clip(plate, 0, 255).astype(np.uint8)
    _clutter(rng, plate)
    if rng.random() < 0.6:
        plate = cv2.GaussianBlur(plate, (0, 0), rng.gamma(1.5, 1.2) + 0.3)
    plate = cv2.addWeighted(plate, rng.uniform(0.6, 1.15), plate, 0, rng.uniform(-15, 25))
    cover = _cover(rng, plate, low, window) if rng.random() < 0.15 else None
    return Backdrop(plate, cover, None if still else _homographies(shot, middle, low), window.size)


def _bounds(shot: Shot, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners [x, y] of the plate in the window pixels of the middle frame: all that the other frames show."""
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
    """From a plate whose corner is at `low` in the middle frame's window, made `scale` times as large: see `Backdrop`."""

    def intrinsics(centre):
        return np.array([[shot.window.focal_length, 0, centre[0] - 0.5], [0, shot.window.focal_length, centre[1] - 0.5], [0, 0, 1]])  # fmt: skip

    to_ray = np.linalg.inv(intrinsics(shot.window.centre - low)) @ [[1 / scale, 0, (1 / scale - 1) / 2], [0, 1 / scale, (1 / scale - 1) / 2], [0, 0, 1]]  # fmt: skip
    return intrinsics(shot.window.centre) @ shot.to_camera @ middle.T @ to_ray


def _room(rng, camera, rays, photo):
    """A floor and a wall with things on it, in perspective."""
    ahead = rays.reshape(-1, 3).mean(0) * (1, 0, 1)
    turn = rng.normal(0, 0.4)
    normal = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]) @ ahead
    normal /= max(np.linalg.norm(normal), 1e-6)
    behind = -camera @ normal + rng.uniform(0.5, 4.0)  # the person is about the origin
    to_wall = max(float(behind), 1.0) / np.maximum(rays @ normal.astype(np.float32), 0.05)
    along = np.stack(
        [
            (rays @ np.cross(normal, [0, 1, 0]).astype(np.float32)) * to_wall,
            camera[1] + rays[..., 1] * to_wall,
        ],
        axis=-1,
    )
    wall = _surface(rng, 512) if photo is None else cv2.resize(photo, (512, 512))
    if photo is None:
        for _ in range(rng.integers(0, 40)):  # doors, windows, pictures, shelves
            corner, extent = rng.uniform(0, 512, 2), rng.gamma(1.5, 30, 2)
            cv2.rectangle(
                wall,
                corner.astype(int).tolist(),
                (corner + extent).astype(int).tolist(),
                _colour(rng),
                int(rng.choice([-1, -1, 2])),
            )
    drawn = _look_up(wall, along * (-1, -1) * 512 / rng.uniform(4, 9), cv2.BORDER_REFLECT)
    floor = _floor(rng, camera, rays)
    return np.where((along[..., 1:] < 0), floor, drawn * rng.uniform(0.7, 1.1))


def _meadow(rng, camera, rays, photo):
    """Ground to the horizon, sky and, before it, bushes."""
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


def _blur(rng, camera, rays, photo):
    """Something out of focus."""
    rows, columns = rng.integers(2, 7, 2)
    coarse = np.array([[_colour(rng) for _ in range(columns)] for _ in range(rows)], np.float32)
    return cv2.resize(coarse, rays.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def _floor(rng, camera, rays):
    level = min(0.0, camera[1] - 0.2)
    reach = (level - camera[1]) / np.minimum(rays[..., 1], -1e-3)
    place = camera[[0, 2]] + rays[..., [0, 2]] * reach[..., None]
    texture = _surface(rng, 256)
    drawn = _look_up(texture, place * 256 / rng.uniform(0.6, 3), cv2.BORDER_WRAP)
    far = np.clip(reach / 25, 0, 1)[..., None]
    return drawn * (1 - far) + texture.mean((0, 1)) * far


def _surface(rng, side):
    """A tile of a wall or floor, (side, side, 3) float32."""
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
    """Things whose place in space nobody asks for."""
    height, width = plate.shape[:2]
    for _ in range(rng.integers(0, 10)):
        a = rng.uniform(-0.1, 1.1, 2) * (width, height)
        b = a + rng.normal(0, 0.15, 2) * height
        layer = plate.copy()
        if rng.random() < 0.6:
            cv2.rectangle(layer, a.astype(int).tolist(), b.astype(int).tolist(), _colour(rng), -1)
        else:
            cv2.line(
                layer, a.astype(int).tolist(), b.astype(int).tolist(), _colour(rng), int(rng.integers(1, 9))
            )
        opacity = rng.uniform(0.3, 1)
        cv2.addWeighted(layer, opacity, plate, 1 - opacity, 0, dst=plate)


def _cover(rng, plate, low, window):
    """Draws something before the person into the plate: furniture from below, a pole, a box."""
    height, width = window.size
    cover = np.zeros(plate.shape[:2], np.uint8)
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
    cv2.rectangle(cover, first, second, 255, -1)
    if cover.any():
        surface = cv2.resize(_surface(rng, 256), plate.shape[1::-1])
        plate[cover > 0] = np.clip(surface[cover > 0], 0, 255)
    return cover


def _fill(rng, photo, size):
    """A random part of a photograph, (H, W, 3)."""
    part = _part(rng, photo.shape, size)
    return cv2.resize(photo[part], size.tolist(), interpolation=cv2.INTER_AREA)


def _part(rng, shape, size):
    """The rows and columns of a random part that has the sides' ratio of `size` [x, y]."""
    height, width = shape[:2]
    part = rng.uniform(0.5, 1.0) * min(width / size[0], height / size[1])
    across, down = max(int(part * size[0]), 1), max(int(part * size[1]), 1)
    left, top = rng.integers(width - across + 1), rng.integers(height - down + 1)
    return slice(top, top + down), slice(left, left + across)


def _play(rng, video, size, count):
    """A random part of a random stretch of a video, `count` frames of (H, W, 3); one that ends is played back and on again."""
    info = _about(video)
    step = max(1, round(info.fps / FPS))
    start = rng.integers(max((info.frame_count or 1) - count * step, 0) + 1)
    part, light, offset = _part(rng, info.image_size, size), rng.uniform(0.6, 1.15), rng.uniform(-15, 25)
    try:
        frames, _ = thin(*read_video(video, count * step, start=int(start)), FPS)
    except UserError:  # it is shorter than it says
        frames, _ = thin(*read_video(video, count * step), FPS)
    shown = [cv2.resize(frame[part], size.tolist(), interpolation=cv2.INTER_AREA) for frame in frames]
    shown = [cv2.addWeighted(frame, light, frame, 0, offset) for frame in shown]
    there_and_back = shown + shown[-2:0:-1]
    return [there_and_back[number % len(there_and_back)] for number in range(count)]


@functools.lru_cache(maxsize=4096)
def _about(video):
    return read_video(video)[1]  # which reads one frame


def _read(path: pathlib.Path) -> np.ndarray:
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"The picture {path} cannot be read: replace or remove it.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32)


def _look_up(texture, place, border):
    x, y = (np.ascontiguousarray(np.clip(place[..., axis], -3e4, 3e4), np.float32) for axis in (0, 1))
    side = texture.shape[0]
    if border == cv2.BORDER_WRAP:  # remap wraps only near the edge
        x, y = x % side, y % side
    return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=border)


def _noise(rng, shape, size):
    coarse = rng.normal(size=(shape[0] // size + 2, shape[1] // size + 2)).astype(np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _colour32(rng, *near) -> np.ndarray:
    return np.float32(_colour(rng, *near))


def _colour(rng, hue=None, saturation=None, value=None) -> tuple[float, float, float]:
    """RGB, 0..255, mostly dull as rooms and streets are; what is given is varied a little."""
    usual = (rng.random(), rng.beta(1, 3), rng.beta(2, 1.6))
    hsv = [
        u if x is None else np.clip(rng.normal(x, 0.08), 0, 1)
        for u, x in zip(usual, (hue, saturation, value))
    ]
    return tuple(255 * channel for channel in colorsys.hsv_to_rgb(*hsv))
