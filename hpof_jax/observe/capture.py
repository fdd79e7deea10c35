"""A video file or a webcam, read with OpenCV: frames and their times.

OpenCV and its ffmpeg print no messages about damaged files, unless `OPENCV_FFMPEG_LOGLEVEL` is set.
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
LOWEST_FPS, HIGHEST_FPS = 1.0, 1000.0
TOLERANCE = 1e-3  # seconds of error in a frame's time: some containers round to milliseconds
SEEK_MARGIN = 1.0  # seconds before the wanted frame: OpenCV does not seek exactly in every file
LONGEST_SHORTFALL = 0.25  # seconds: the frames of a whole file may end before its sound

# OpenCV reads this whenever it opens a file; -8 is AV_LOG_QUIET.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Capture:
    """Reads the frames of a file or a webcam one after another.

    fps: frames/s; 30 if the source gives no usable rate.
    frame_count: of the whole source, approximate; None if unknown.
    live: whether it is a webcam.
    time: seconds of the frame that was grabbed last; None before the first. It increases from frame to frame.
    file_time: the same as stored in the file, which may be wrong.
    """

    def __init__(
        self, source: str | int, name: str, fps: float | None = None, metadata: Metadata | None = None
    ):
        """Opens `source`, a file or the number of a webcam.

        name: for messages. fps: frames/s, instead of the source's own rate and times. metadata: of the file.
        """
        self.name, self.live = name, not isinstance(source, str)
        self._source, self._metadata = source, metadata or Metadata()
        self._own_times = fps is None and not self.live
        self._open()
        # Of a file that is no video, only `grab` tells.
        warned = name if self._capture.isOpened() and not fps else None
        self._own_fps = _checked_fps(self._capture.get(cv2.CAP_PROP_FPS), warned)
        self.fps = fps or self._own_fps
        self.frame_count = None if self.live else self._count()

    def grab(self) -> bool:
        """Goes to the next frame; False if there is none."""
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
        """Goes to the first frame at or after a time; False if there is none. For a new `Capture`."""
        if self._own_times and seconds > SEEK_MARGIN:
            self._capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * (seconds - SEEK_MARGIN))
            if not self.grab() or self.time > seconds:  # the seek went too far
                self._open()
        while self.time is None or self.time < seconds - TOLERANCE:
            if not self.grab():
                return False
        return True

    def frame(self) -> np.ndarray | None:
        """The frame that was grabbed last, (H, W, 3) uint8 RGB, upright; None if it cannot be decoded."""
        with _quiet():
            ok, frame = self._capture.retrieve()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if ok else None

    def warn_if_cut_off(self) -> None:
        """Logs a warning if the frames end well before the end of the file: it is cut off or damaged.

        A frame or two fewer than announced is usual.
        """
        number, duration = round(self.time * self.fps) + 1, self._metadata.duration
        if self.frame_count is None or number >= 0.98 * self.frame_count - 2:
            return
        # The frame count of an MP4 file includes frames that its edit list hides; the duration does not.
        if duration is None or number / self._own_fps < 0.98 * duration - LONGEST_SHORTFALL:
            _warn_once(f"{self.name} breaks off after {number} of its {self.frame_count} frames: using those")

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
        return int(min(announced, longest))  # the duration is rounded to 0.01 s


def _checked_fps(fps: float, name: str | None) -> float:
    """`fps` if it is usable; otherwise 30, with a warning about the source `name`."""
    if LOWEST_FPS <= fps <= HIGHEST_FPS:
        return float(fps)
    if name is not None:
        _warn_once(f"{name} gives no usable frame rate ({fps}): using {DEFAULT_FPS:g} frames/s")
    return DEFAULT_FPS


@functools.cache
def _warn_once(message: str) -> None:
    """Logs a warning unless it was logged before: a video may be read more than once."""
    logging.warning("%s", message)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Switches off OpenCV's own log, which shows lines of its source code for damaged files."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
