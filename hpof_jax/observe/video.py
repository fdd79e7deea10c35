"""Frames from a video file, a folder of images or a webcam, one at a time."""

import dataclasses
import itertools
import math
import pathlib
import re
from collections.abc import Iterator

import cv2
import numpy as np
from absl import logging

from hpof_jax.errors import UserError

DEFAULT_FPS = 30.0
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """fps: frames/s; image_size: (H, W) px, upright; frame_count: as announced, None if unknown; name: for
    messages.
    """

    fps: float
    image_size: tuple[int, int]
    frame_count: int | None
    name: str


def read_video(
    source: str | pathlib.Path | int, max_frames: int | None = None, fps: float | None = None, start: int = 0
) -> tuple[Iterator[np.ndarray], VideoInfo]:
    """An iterator over the frames, (H, W, 3) uint8 RGB each, and what is known of them beforehand.

    `source` is a file that OpenCV reads (turned upright as its metadata says), a folder of images (in the
    natural order of their names) or one image, or the number of a webcam. At most `max_frames` are read.
    `fps` overrides the frame rate; it is 30 where the source has none. `start`: the first frame's number, in a file that
    can be searched. One frame is in memory at a time.

    Raises `UserError` if there is nothing to read; a file that breaks off later gives the frames it has, and
    a warning.
    """
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames is {max_frames}: give at least 1, or leave it out to read every frame")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise UserError(f"the frame rate {fps} of {source} makes no sense: give frames a second, such as 30")
    if is_webcam(source):
        return _read_capture(
            cv2.VideoCapture(int(source)), f"webcam {int(source)}", max_frames, fps, live=True
        )
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        images = sorted((p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=_natural_key)
        if not images:
            raise UserError(
                f"the folder {path} holds no images: give a folder of .png or .jpg frames, or a video file"
            )
        return _read_images(images[start:][:max_frames], str(path), fps)
    if not path.is_file():
        raise UserError(
            f"there is no video {path}: give a video file, a folder of images, or a webcam's number"
        )
    if path.stat().st_size == 0:
        raise UserError(f"the video {path} is an empty file: copy or record it again")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _read_images([path], str(path), fps)
    capture = _open_file(path)
    if start:
        capture.set(cv2.CAP_PROP_POS_FRAMES, start)
    return _read_capture(capture, str(path), max_frames, fps, start)


def thin(frames: Iterator[np.ndarray], info: VideoInfo, fps: float) -> tuple[Iterator[np.ndarray], VideoInfo]:
    """Every n-th of the frames alone, n such that about `fps` of them are left a second, and what is then known."""
    step = max(1, round(info.fps / fps))
    count = None if info.frame_count is None else -(-info.frame_count // step)
    thinned = dataclasses.replace(info, fps=info.fps / step, frame_count=count)
    return itertools.islice(frames, 0, None, step), thinned


def is_webcam(source: str | pathlib.Path | int) -> bool:
    """Whether `source` is a webcam's number, whose frames come only once; a file of that name goes before."""
    text = str(source)
    return isinstance(source, int) or (text.isascii() and text.isdigit() and not pathlib.Path(text).exists())


def _open_file(path: pathlib.Path) -> cv2.VideoCapture:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_SILENT
    )  # OpenCV's own complaint about a broken file is several lines of its source code
    try:
        return cv2.VideoCapture(str(path.resolve()))
    finally:
        cv2.utils.logging.setLogLevel(level)


def _read_capture(
    capture: cv2.VideoCapture,
    name: str,
    max_frames: int | None,
    fps: float | None,
    start: int = 0,
    live: bool = False,
) -> tuple[Iterator[np.ndarray], VideoInfo]:
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    ok, first = capture.read()
    if not ok:
        capture.release()
        if live:
            raise UserError(
                f"{name} cannot be opened: is it plugged in, allowed, and not in use by another program?"
            )
        raise UserError(
            f"{name} is not a video that can be read: it is damaged, cut off, or of an unknown format"
        )
    announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    count = max(int(announced) - start, 1) if not live and 0 < announced < 1e9 else None
    if count is not None and max_frames is not None:
        count = min(count, max_frames)
    info = VideoInfo(fps or _checked_fps(capture.get(cv2.CAP_PROP_FPS), name), first.shape[:2], count, name)

    def frames() -> Iterator[np.ndarray]:
        frame, number = first, 0
        try:
            while True:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                number += 1
                if number == max_frames:
                    return
                ok, frame = capture.read()
                if not ok:
                    break
        finally:
            capture.release()
        # Containers announce a frame or two that is not there; much more means that the file was cut off.
        if count is not None and number < 0.98 * count - 2:
            logging.warning(
                "%s breaks off after %d of its %d frames: going on with those", name, number, count
            )

    return frames(), info


def _read_images(
    images: list[pathlib.Path], name: str, fps: float | None
) -> tuple[Iterator[np.ndarray], VideoInfo]:
    def read(path: pathlib.Path) -> np.ndarray:
        # Not cv2.imread, which cannot open every file name on every system.
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise UserError(
                f"the image {path} cannot be read: it is damaged or not an image; replace or remove it"
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    size = read(images[0]).shape[:2]

    def frames() -> Iterator[np.ndarray]:
        for path in images:
            image = read(path)
            if image.shape[:2] != size:
                raise UserError(
                    f"the image {path} has {image.shape[1]} x {image.shape[0]} pixels and the first of {name} "
                    f"{size[1]} x {size[0]}: the frames of one video must be of one size"
                )
            yield image

    return frames(), VideoInfo(fps or DEFAULT_FPS, size, len(images), name)


def _checked_fps(fps: float, name: str) -> float:
    if math.isfinite(fps) and 1 <= fps <= 1000:
        return float(fps)
    logging.warning("%s gives no usable frame rate (%s): taking %g frames/s", name, fps, DEFAULT_FPS)
    return DEFAULT_FPS


def _natural_key(path: pathlib.Path) -> list[tuple[int, str]]:
    """Orders frame2 before frame10."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
