"""A video file or a webcam, opened with OpenCV, with the time of every frame.

OpenCV and its ffmpeg print nothing of their own about damaged files, unless `OPENCV_FFMPEG_LOGLEVEL` is set.
"""

import contextlib
import functools
import math
import os
from collections.abc import Iterator

import cv2
import numpy as np
from absl import logging

from hpof_jax.observe.metadata import Metadata

DEFAULT_FPS = 30.0
TOLERANCE = 1e-3  # seconds by which a frame's time may be off: some containers round to milliseconds
SEEK_MARGIN = (
    1.0  # seconds before the wanted frame where OpenCV is sent to: its aim is not exact in every file
)
LONGEST_SHORTFALL = 0.25  # seconds that may lack at the end: of sound, and of frames that were announced

os.environ.setdefault(
    "OPENCV_FFMPEG_LOGLEVEL", "-8"
)  # AV_LOG_QUIET; OpenCV reads it whenever it opens a file


class Capture:
    """A file's or a webcam's frames, one after another.

    fps: frames/s, 30 where the source gives no usable rate; frame_count: of the whole source, nearly, None if unknown;
    name: for messages; live: it is a webcam; time: seconds of the frame that was grabbed last, which increase;
    file_time: the same as the file has it, whose times may be broken.
    """

    def __init__(
        self, source: str | int, name: str, fps: float | None = None, metadata: Metadata | None = None
    ):
        """fps: frames/s in place of the source's own rate and times. metadata: the file's."""
        self.name, self.live = name, not isinstance(source, str)
        self._source, self._metadata = source, metadata or Metadata()
        self._own_times = fps is None and not self.live
        self._open()
        self._own_fps = _checked_fps(self._capture.get(cv2.CAP_PROP_FPS), None if fps else name)
        self.fps = fps or self._own_fps
        self.frame_count = None if self.live else self._count()

    def grab(self) -> bool:
        """Goes on to the next frame; False at the end."""
        with _quiet():
            if not self._capture.grab():
                return False
        if self._own_times:
            self.file_time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            following = self.time is None or self.file_time > self.time
            self.time = self.file_time if following else self.time + 1 / self.fps
        else:
            self.time = self.file_time = 0.0 if self.time is None else self.time + 1 / self.fps
        return True

    def grab_at(self, seconds: float) -> bool:
        """Goes to the first frame at or after a time, from the start; False if there is none."""
        if self._own_times and seconds > SEEK_MARGIN:
            self._capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * (seconds - SEEK_MARGIN))
            if not self.grab() or self.time > seconds:  # missed
                self._open()
        while self.time is None or self.time < seconds - TOLERANCE:
            if not self.grab():
                return False
        return True

    def frame(self) -> np.ndarray | None:
        """The frame that was grabbed last, (H, W, 3) uint8 RGB; None if it cannot be decoded."""
        with _quiet():
            ok, frame = self._capture.retrieve()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if ok else None

    def warn_if_cut_off(self) -> None:
        """Says so if the file was to go on where no further frame can be read.

        Containers announce a frame or two that is not there. Much more means that the file is cut off or damaged.
        """
        number, duration = round(self.time * self.fps) + 1, self._metadata.duration
        if self.frame_count is None or number >= 0.98 * self.frame_count - 2:
            return
        # An MP4 file counts frames that its edit list hides, and they are not in its duration.
        if duration is None or number / self._own_fps < 0.98 * duration - LONGEST_SHORTFALL:
            _warn_once(
                f"{self.name} breaks off after {number} of its {self.frame_count} frames: going on with those"
            )

    def close(self) -> None:
        self._capture.release()

    def _open(self) -> None:
        self.time: float | None = None
        with _quiet():
            self._capture = cv2.VideoCapture(self._source)
            self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)

    def _count(self) -> int | None:
        announced, duration = self._capture.get(cv2.CAP_PROP_FRAME_COUNT), self._metadata.duration
        if not 0 < announced < 1e9:
            return None
        longest = math.inf if duration is None else math.ceil((duration + 0.01) * self._own_fps)
        return int(min(announced, longest))  # the duration is given to 0.01 s


def _checked_fps(fps: float, name: str | None) -> float:
    """`fps`, or else 30, with a warning about the source `name`."""
    if math.isfinite(fps) and 1 <= fps <= 1000:
        return float(fps)
    if name is not None:
        _warn_once(f"{name} gives no usable frame rate ({fps}): taking {DEFAULT_FPS:g} frames/s")
    return DEFAULT_FPS


@functools.cache
def _warn_once(message: str) -> None:
    """A video is read more than once, to observe it and to draw on it."""
    logging.warning("%s", message)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps OpenCV from logging lines of its source code about files that it cannot read."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
