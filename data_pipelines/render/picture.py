"""The frames of a rendered clip: the dressed body over its backdrop, as a cheap camera records it."""

import pathlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

import cv2
import imageio_ffmpeg
import numpy as np

from data_pipelines.motion.clip import FPS
from data_pipelines.render.backdrop import Backdrop
from data_pipelines.render.hall import Hall
from data_pipelines.render.looks import Look, TexturedBody
from data_pipelines.render.scene import Shot
from hpof_jax.errors import UserError
from hpof_jax.observe.video import read_video

NEAR, FAR = 0.1, 100.0  # metres; nothing nearer or farther is drawn
BLUR_FROM = 5.0  # pixels: a body that moves farther while the shutter is open is drawn several times
EXPOSURES = 3  # how many times it is drawn then; odd, so that the middle one is at the ground truth
COMPRESSION = {"h264": 0.4, "jpeg": 0.2, "none": 0.4}  # shares of the clips
SHADOW_STEP = 4  # the shadow uses every fourth point and a fourth of the resolution


def take_pictures(
    rng: np.random.Generator,
    shot: Shot,
    body: TexturedBody,
    look: Look,
    backdrop: Backdrop | Hall,
    points: np.ndarray,
    cosine: np.ndarray,
    to_light: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draws the window of every frame.

    A frame is drawn when it is asked for. Only a clip with H.264 compression is drawn as a whole, at its
    first frame.

    Args:
      points: (T, 3, P) camera frame, and cosine: (T, P), from `scene.pose_points`.
      to_light: (3,) unit vector in the world.

    Yields:
      picture (h, w, 3) uint8 RGB, and the person's visible mask (h, w) uint8, 0 or 255.

    Raises:
      UserError: a clip cannot be compressed.
    """
    people = [(look, points, cosine)]
    for image, masks in take_pictures_of_people(rng, shot, body, people, backdrop, to_light):
        yield image, masks[0]


def take_pictures_of_people(
    rng: np.random.Generator,
    shot: Shot,
    body: TexturedBody,
    people: Sequence[tuple[Look, np.ndarray, np.ndarray]],
    backdrop: Backdrop | Hall,
    to_light: np.ndarray,
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Like `take_pictures`, of several people. Whoever is nearer to the camera hides the others.

    Args:
      people: look, points and cosine of each person.

    Yields:
      picture (h, w, 3) uint8 RGB, and the visible mask (h, w) uint8 of each person, 0 or 255.
    """
    frames = len(people[0][1])
    camera = _Camera(rng, shot.window.size, frames)
    ambient = rng.uniform(0.3, 0.75)
    shades = [np.clip(ambient + (1 - ambient) * 1.2 * np.clip(cosine, 0, 1), 0, 1) for *_, cosine in people]
    tint = rng.uniform(0.75, 1.15) * (1 + rng.normal(0, 0.04, 3))
    atlases = [np.clip(look.atlas * tint, 0, 255).astype(np.uint8) for look, *_ in people]
    # A share of the time between two frames.
    exposure = rng.choice([0.0, rng.uniform(0.1, 0.9)], p=[0.55, 0.45])
    dark = rng.uniform(0.0, 0.55)

    def draw(number):
        image, occluder = backdrop.frame(number)
        before, after = max(number - 1, 0), min(number + 1, frames - 1)
        masks = [np.zeros(shot.window.size, np.uint8)] * len(people)
        for _, points, _ in people:
            _cast_shadow(image, shot, points[number], number, to_light, dark)
        # From the farthest to the nearest.
        for index in np.argsort([-points[number, 2].mean() for _, points, _ in people]):
            points = people[index][1]
            blur = exposure / max(after - before, 1) * (points[after] - points[before])
            shade = shades[index][number]
            mask = _draw_body(image, shot, body, atlases[index], points[number], blur, shade, occluder)
            masks = [np.where(mask > 0, np.uint8(0), other) for other in masks] if len(people) > 1 else masks
            masks[index] = mask
        return image, masks

    yield from camera(map(draw, range(frames)))


class _Camera:
    """Softness, exposure, noise and compression. All but the exposure, which drifts, are constant in a clip.

    All of it is mild: strong compression of each frame on its own gives the detector more jitter than any
    real video.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], frames: int):
        self._rng = rng
        self._tones = _tones(rng, frames)
        self._blur = rng.choice([0.0, rng.uniform(0.4, 1.3)], p=[0.3, 0.7])
        self._compression = rng.choice([*COMPRESSION], p=[*COMPRESSION.values()])
        self._quality = int(rng.uniform(75, 97))  # of JPEG
        self._rate, self._keyframes = int(rng.integers(20, 35)), int(rng.choice([15, 30, 250]))  # of H.264
        noise = rng.standard_normal((size[0] + 64, size[1] + 64, 3), np.float32) * rng.gamma(2.0, 1.5)
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.3, 0.8))
        # Positive and negative noise apart: bytes are added four times as fast as signed numbers.
        self._noise = cv2.convertScaleAbs(np.maximum(noise, 0)), cv2.convertScaleAbs(np.minimum(noise, 0))

    def __call__(self, drawn: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator:
        """The recorded pictures (h, w, 3) and their masks (h, w)."""
        shown = ((self._expose(number, image), mask) for number, (image, mask) in enumerate(drawn))
        return _as_video(shown, self._rate, self._keyframes) if self._compression == "h264" else shown

    def _expose(self, number: int, image: np.ndarray) -> np.ndarray:
        """One recorded picture. Overwrites `image`."""
        if self._blur:
            cv2.GaussianBlur(image, (0, 0), self._blur, dst=image)
        cv2.LUT(image, self._tones[number], dst=image)
        row, column = self._rng.integers(0, 65, 2)
        part = slice(row, row + image.shape[0]), slice(column, column + image.shape[1])
        brighter, darker = self._noise
        cv2.add(image, brighter[part], dst=image)
        cv2.subtract(image, darker[part], dst=image)
        if self._compression != "jpeg":
            return image
        # OpenCV assumes BGR, but in both encoding and decoding, so the channels keep their order.
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _tones(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Tone curves, (T, 1, 256, 3) uint8: recorded value of each value of red, green and blue in each frame.

    White balance, gamma and exposure, which some cameras change slowly. Too bright values are clipped.
    """
    balance, gamma = np.exp(rng.normal(0, 0.05, 3)), np.exp(rng.normal(0, 0.15))
    stops = np.full(frames, rng.normal(0.15, 0.25))
    if rng.random() < 0.4:
        period, phase = FPS * np.exp(rng.uniform(np.log(1.5), np.log(15))), rng.uniform(0, 2 * np.pi)
        stops += rng.uniform(0.05, 0.35) * np.sin(2 * np.pi * np.arange(frames) / period + phase)
    light = np.linspace(0, 1, 256)[:, None] ** gamma * balance
    return np.clip(255 * light * 2 ** stops[:, None, None, None], 0, 255).astype(np.uint8)


def _as_video(shown: Iterator[tuple[np.ndarray, np.ndarray]], rate: int, keyframes: int) -> Iterator:
    """The pictures after compression with H.264, with their masks.

    Args:
      shown: pictures and masks.
      rate: x264's crf, from 20 (hardly visible) to 34 (strong artefacts).
      keyframes: frames from one keyframe to the next.
    """
    first, mask = next(shown)
    size, masks = f"{first.shape[1]}x{first.shape[0]}", [mask]
    with tempfile.TemporaryDirectory() as folder:
        video = pathlib.Path(folder, "clip.mp4")
        options = (
            f"-loglevel error -f rawvideo -pix_fmt rgb24 -s {size} -r {FPS} -i - -c:v libx264 "
            f"-preset superfast -threads 1 -crf {rate} -g {keyframes} -pix_fmt yuv420p"
        )
        command = [imageio_ffmpeg.get_ffmpeg_exe(), *options.split(), str(video)]
        try:
            with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
                encoder.stdin.write(first)
                for image, mask in shown:
                    encoder.stdin.write(image)
                    masks.append(mask)
                _, complaint = encoder.communicate()
            if encoder.returncode:
                raise OSError(complaint.decode(errors="replace").strip())
        except OSError as error:
            raise UserError(
                f"A clip cannot be compressed as a video ({error}): make room in {folder}."
            ) from error
        yield from zip(read_video(video)[0], masks, strict=True)


def _draw_body(image, shot, body, atlas, points, blur, shade, occluder):
    """Draws the body into `image` and returns its visible mask.

    A fast body is drawn several times along `blur` (3, P), metres, and averaged.
    """
    window = shot.window
    depth = np.maximum(points[2], NEAR)
    moved = float(np.abs(blur[:2] / depth).max()) * window.focal_length
    exposures = EXPOSURES if moved > BLUR_FROM else 1
    pixels = points[:2] * (window.focal_length / depth) + window.centre[:, None]
    reach = int(moved / 2) + 2
    low = np.clip(np.floor(pixels.min(1)).astype(int) - reach, 0, window.size[::-1])
    high = np.clip(np.ceil(pixels.max(1)).astype(int) + reach, 0, window.size[::-1])
    mask = np.zeros(window.size, np.uint8)
    if (high - low < 2).any():
        return mask
    box = slice(low[1], high[1]), slice(low[0], high[0])
    values = np.column_stack([body.texel / np.float32(atlas.shape[1::-1]), shade])
    exposed = []
    for offset in (np.arange(exposures) + 0.5) / exposures - 0.5:
        there = points + offset * blur if offset else points
        drawn, inside = _rasterize(there, values, body.faces, atlas, window, low, high)
        exposed.append(image[box].copy())
        cv2.copyTo(drawn, inside, exposed[-1])
        if len(exposed) == exposures // 2 + 1:
            mask[box] = inside
    drawn = exposed[0] if exposures == 1 else _mean(exposed)
    if occluder is None:
        image[box] = drawn
    else:
        cv2.copyTo(drawn, cv2.bitwise_not(occluder[box]), image[box])
        mask[occluder > 0] = 0
    return mask


def _rasterize(points, values, faces, atlas, window, low, high):
    """The body (3, P) in the box from `low` to `high` [x, y]: colours (h, w, 3) and mask (h, w)."""
    columns, rows = (int(size) for size in high - low)
    # A shear makes the middle of the box the principal point. OpenCV's camera looks along -z with y up.
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


def _cast_shadow(image, shot, points, number, to_light, dark):
    """Darkens `image` by a soft shadow of the body on the floor."""
    window = shot.window
    points = points[:, ::SHADOW_STEP]
    turn = shot.to_camera[number]
    up, to_light = turn[:, 1], turn @ (to_light / max(to_light[1], 0.3))  # camera frame
    below = min(-shot.positions[number, 1], -0.2)  # height of the floor, seen from the camera
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
