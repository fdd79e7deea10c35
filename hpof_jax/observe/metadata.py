"""Metadata of video files and photographs: duration and focal length."""

import dataclasses
import functools
import os
import pathlib
import re
import subprocess

import imageio_ffmpeg
import numpy as np
from PIL import ExifTags, Image

FILM_DIAGONAL = 43.27  # mm, of 35 mm film
TIME_LIMIT = 10  # seconds for ffmpeg


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The metadata of a file; None: unknown.

    duration: seconds, without the parts that an edit list hides; only of MP4 and MOV files.
    focal_length_35mm: mm, 35 mm equivalent.
    """

    duration: float | None = None
    focal_length_35mm: float | None = None

    def focal_length(self, image_size: tuple[int, int]) -> float | None:
        """The focal length in pixels of an image (H, W), or None if it is unknown."""
        if self.focal_length_35mm is None:
            return None
        return float(self.focal_length_35mm / FILM_DIAGONAL * np.hypot(*image_size))


def video_metadata(path: str | os.PathLike) -> Metadata:
    """The metadata of a video file, from ffmpeg; unknown if ffmpeg fails. ffmpeg runs once for each file."""
    path = pathlib.Path(path).resolve()
    try:
        status = path.stat()
    except OSError:
        return Metadata()
    return _video_metadata(path, status.st_mtime_ns, status.st_size)


def photo_metadata(path: str | os.PathLike) -> Metadata:
    """The metadata of a photograph, from its EXIF tags; unknown if it has none."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            tags = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return Metadata()
    return Metadata(focal_length_35mm=_positive(tags.get(ExifTags.Base.FocalLengthIn35mmFilm)))


@functools.lru_cache(maxsize=4096)
def _video_metadata(path: pathlib.Path, _modified: int, _size: int) -> Metadata:
    try:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(path)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIME_LIMIT, check=False
        )
    except (OSError, RuntimeError, subprocess.TimeoutExpired):
        return Metadata()
    # QuickTime has com.apple.quicktime.camera.focal_length.35mm_equivalent, others FocalLengthIn35mmFormat.
    lens = re.search(r"focal_?length\W?(?:in)?_?35mm\w*\s*:\s*([0-9.]+)", done.stderr, re.IGNORECASE)
    # If a file of another format is cut off, ffmpeg estimates its duration from its size.
    length = re.search(r"Input #0, mov,.*Duration: (\d+):(\d\d):(\d\d\.\d+)", done.stderr, re.DOTALL)
    hours, minutes, seconds = map(float, length.groups()) if length else (0, 0, 0)
    return Metadata(
        duration=_positive(3600 * hours + 60 * minutes + seconds),
        focal_length_35mm=_positive(lens.group(1) if lens else None),
    )


def _positive(value: object) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) and number > 0 else None
