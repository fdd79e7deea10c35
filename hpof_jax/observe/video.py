"""Frames from a video file, a folder of images or a webcam, one at a time."""

import dataclasses
import itertools
import math
import os
import pathlib
import re
import sys
from collections.abc import Iterator

import cv2
import numpy as np

from hpof_jax.errors import UserError
from hpof_jax.observe.capture import DEFAULT_FPS, HIGHEST_FPS, LOWEST_FPS, TOLERANCE, Capture
from hpof_jax.observe.metadata import photo_metadata, video_metadata

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What is known about a video before its frames are read.

    fps: frames/s; the mean if the rate varies.
    image_size: (H, W) px, upright.
    frame_count: number of frames that will be read, approximate; None if unknown.
    name: for messages.
    focal_length: px, from the file's metadata; None if unknown.
    """

    fps: float
    image_size: tuple[int, int]
    frame_count: int | None
    name: str
    focal_length: float | None = None


class Frames(Iterator[np.ndarray]):
    """Yields frames, (H, W, 3) uint8 RGB; `time` is the last one's time in the file, in seconds."""

    def __init__(self, timed: Iterator[tuple[np.ndarray, float]]):
        self.timed, self.time = timed, 0.0

    def __next__(self) -> np.ndarray:
        frame, self.time = next(self.timed)
        return frame


def read_video(
    source: str | os.PathLike | int,
    max_frames: int | None = None,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
) -> tuple[Frames, VideoInfo]:
    """An iterator over a video's frames, with one frame in memory at a time, and the video's `VideoInfo`.

    A file that is cut off gives the frames that it has, and a warning.

    Args:
      source: a file that OpenCV reads, a folder of images in the natural order of their names, one image, or
        the number of a webcam. Files are turned upright, as their metadata says.
      max_frames: read at most this many frames.
      fps: frames/s, instead of the source's own rate and times. None: the source's own, or 30 if it has none.
      start, end: seconds; read the frames at start <= time < end. None: from the first, to the last frame.

    Raises:
      UserError: the source cannot be read, it has no frame from start to end, or an argument is out of range.
    """
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames is {max_frames}: give at least 1, or leave it out to read every frame")
    if fps is not None and not LOWEST_FPS <= fps <= HIGHEST_FPS:
        raise UserError(
            f"the frame rate {fps} of {source} is out of range: give {LOWEST_FPS:g} to {HIGHEST_FPS:g} frames/s"
        )
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UserError(f"the {name} {value} of {source} is out of range: give seconds, 0 or more")
    start, end = start or 0.0, math.inf if end is None else end
    if end <= start:
        raise UserError(_empty(source, start, end))
    if is_webcam(source):
        capture = Capture(int(source), f"webcam {int(source)}", fps)
        return _read_capture(capture, max_frames, start, end)
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        images = sorted((p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=_natural_key)
        if not images:
            raise UserError(
                f"the folder {path} holds no images: give a folder of .png or .jpg frames, or a video file"
            )
        return _read_images(images, str(path), max_frames, fps or DEFAULT_FPS, start, end)
    if not path.is_file():
        raise UserError(
            f"there is no video {path}: give a video file, a folder of images, or a webcam's number"
        )
    if path.stat().st_size == 0:
        raise UserError(f"the video {path} is an empty file: copy or record it again")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _read_images([path], str(path), max_frames, fps or DEFAULT_FPS, start, end)
    metadata = video_metadata(path)
    if metadata.duration is not None and start > metadata.duration + 1:
        raise UserError(_beyond(str(path), start, metadata.duration))
    capture = Capture(str(path.resolve()), str(path), fps, metadata)
    frames, info = _read_capture(capture, max_frames, start, end)
    return frames, dataclasses.replace(info, focal_length=metadata.focal_length(info.image_size))


def read_stdin(max_frames: int | None = None, fps: float | None = None) -> tuple[Frames, VideoInfo]:
    """`read_video` of a video that is piped into standard input, in any container that can be read without seeking.

    Raises:
      UserError: standard input is a terminal, or holds no video.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("standard input is a terminal: pipe a video into it, or give a file")
    return _read_capture(Capture("pipe:0", "standard input", fps), max_frames, 0.0, math.inf)


def thin(frames: Frames, info: VideoInfo, fps: float) -> tuple[Frames, VideoInfo]:
    """Only every n-th frame, so that the rate comes closest to `fps` frames/s, and their `VideoInfo`."""
    step = max(1, round(info.fps / fps))
    count = None if info.frame_count is None else -(-info.frame_count // step)
    thinned = dataclasses.replace(info, fps=info.fps / step, frame_count=count)
    return Frames(itertools.islice(frames.timed, 0, None, step)), thinned


def frame_times(times: np.ndarray, fps: float) -> np.ndarray:
    """The times of a clip's frames, (T,) seconds, from the times in its file and its frame rate.

    The result is exactly 1 / fps apart if the times in the file are so to a millisecond, or if they are
    broken: they do not increase everywhere, or are more than a second apart on average. Otherwise it is the
    times in the file.
    """
    times = np.asarray(times, np.float64)
    even = times[:1] + np.arange(len(times)) / fps
    uneven = np.any(np.abs(times - even) > TOLERANCE)
    broken = np.any(np.diff(times) <= 0) or LOWEST_FPS * np.ptp(times) > len(times)
    return times if uneven and not broken else even


def is_webcam(source: str | os.PathLike | int) -> bool:
    """Whether `source` is a webcam's number and not a file of that name. A webcam can be read only once."""
    text = str(source)
    return isinstance(source, int) or (text.isascii() and text.isdigit() and not pathlib.Path(text).exists())


def _read_capture(
    capture: Capture, max_frames: int | None, start: float, end: float
) -> tuple[Frames, VideoInfo]:
    name = capture.name
    found = capture.grab_at(start)
    first = capture.frame() if found else None
    if first is None:
        capture.close()
        if capture.live:
            raise UserError(
                f"{name} cannot be opened: is it connected, permitted, and not in use by another program?"
            )
        if start and capture.time is not None:
            raise UserError(_beyond(name, start, capture.time + 1 / capture.fps))
        raise UserError(
            f"{name} is not a video that can be read: it is damaged, cut off, or of an unknown format"
        )
    if capture.time >= end - TOLERANCE:
        capture.close()
        raise UserError(_empty(name, start, end))
    count = capture.frame_count
    if count is not None:
        count = min(count, math.ceil(min(end, 1e9) * capture.fps - 0.01)) - round(capture.time * capture.fps)
        count = min(max(count, 1), max_frames or count)

    def frames() -> Iterator[tuple[np.ndarray, float]]:
        frame, number = first, 0
        try:
            while frame is not None:
                yield frame, capture.file_time
                number += 1
                if number == max_frames:
                    return
                if not capture.grab():
                    break
                if capture.time >= end - TOLERANCE:
                    return
                frame = capture.frame()
            capture.warn_if_cut_off()
        finally:
            capture.close()

    return Frames(frames()), VideoInfo(capture.fps, first.shape[:2], count, name)


def _read_images(
    images: list[pathlib.Path], name: str, max_frames: int | None, fps: float, start: float, end: float
) -> tuple[Frames, VideoInfo]:
    numbers = [
        number for number in range(len(images)) if start - TOLERANCE <= number / fps < end - TOLERANCE
    ][:max_frames]
    if not numbers:
        length = len(images) / fps
        raise UserError(_empty(name, start, end) if start < length else _beyond(name, start, length))
    size = _read_image(images[numbers[0]]).shape[:2]

    def frames() -> Iterator[tuple[np.ndarray, float]]:
        for number in numbers:
            image = _read_image(images[number])
            if image.shape[:2] != size:
                raise UserError(
                    f"the image {images[number]} has {image.shape[1]} x {image.shape[0]} pixels and the "
                    f"first of {name} {size[1]} x {size[0]}: the frames of one video must be of one size"
                )
            yield image, number / fps

    focal_length = photo_metadata(images[numbers[0]]).focal_length(size)
    return Frames(frames()), VideoInfo(fps, size, len(numbers), name, focal_length)


def _read_image(path: pathlib.Path) -> np.ndarray:
    # cv2.imread cannot open every file name on every system.
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise UserError(
            f"the image {path} cannot be read: it is damaged or not an image; replace or remove it"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _empty(name: object, start: float, end: float) -> str:
    return f"{name} has no frames from {start:g} to {end:g} seconds: give a later end"


def _beyond(name: str, start: float, length: float) -> str:
    return f"the start, {start:g} seconds, lies beyond the end of {name}: give one under {length:.2f}"


def _natural_key(path: pathlib.Path) -> list[tuple[int, str]]:
    """A sort key that puts frame2 before frame10."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
