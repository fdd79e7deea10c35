"""The video beside the bodies: the motion's part of it, small, in a form that every browser plays."""

import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from hpof_jax import interrupt
from hpof_jax.errors import UserError

HEIGHT = 480  # pixels, at most
KEY_FRAMES = 12  # every so many frames a whole one, so that a browser jumps to any time at once


def encode(video: str | os.PathLike, start: float, end: float, image_size: np.ndarray) -> bytes:
    """An MP4 file (H.264, no sound) of a video from `start` to `end`, in seconds; both frames are in it.

    Args:
      video: a video file.
      image_size: [height, width] of the frames that the motion was made from.

    Raises:
      UserError: there is no such file, it cannot be read, or its pictures are of another shape.
    """
    path = check(video)
    folder = tempfile.mkdtemp()
    remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
    with interrupt.cleanup(remove):
        try:
            encoded = pathlib.Path(folder) / "video.mp4"
            _convert(path, start, end, encoded)
            _check_shape(path, encoded, image_size)
            return encoded.read_bytes()
        finally:
            remove()


def check(video: str | os.PathLike) -> pathlib.Path:
    """The path of a video file.

    Raises:
      UserError: there is no such file.
    """
    path = pathlib.Path(video).expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder, and a page shows only videos: give a video file.")
    if not path.is_file():
        raise UserError(f"There is no video {path}: give the video that the motion was made from.")
    return path


def _convert(path: pathlib.Path, start: float, end: float, encoded: pathlib.Path) -> None:
    import imageio_ffmpeg  # here, because only pages with a video need it

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y"]
    # A millisecond earlier and later: the times of frames are rounded.
    command += ["-ss", f"{max(start - 0.001, 0):.6f}", "-i", str(path.resolve())]
    command += ["-t", f"{end - start + 0.002:.6f}", "-map", "0:v:0", "-an", "-sn", "-dn"]
    command += [
        "-vf",
        f"scale=-2:'min({HEIGHT},trunc(ih/2)*2)'",
        "-pix_fmt",
        "yuv420p",
        "-fps_mode",
        "passthrough",
    ]
    command += ["-c:v", "libx264", "-preset", "fast", "-crf", "26", "-g", str(KEY_FRAMES)]
    command += ["-movflags", "+faststart", str(encoded)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not encoded.is_file():
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise UserError(
            f"The video {path} cannot be read ({lines[-1]}): give the one that the motion was made from."
        )


def _check_shape(path: pathlib.Path, encoded: pathlib.Path, image_size: np.ndarray) -> None:
    import cv2

    capture = cv2.VideoCapture(str(encoded))
    width, height = (capture.get(which) for which in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    found, _ = capture.read()
    capture.release()
    if not found:
        raise UserError(
            f"The video {path} has no picture at the times of the motion: give the one that the motion was made from."
        )
    # Rounding to even sides moves an edge by a pixel.
    if abs(width - height * image_size[1] / image_size[0]) > 4:
        raise UserError(
            f"The pictures of {path} are not of the shape {image_size[1]} x {image_size[0]}: "
            "give the video that the motion was made from."
        )
