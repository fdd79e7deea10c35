"""Writes videos by mediapy; an unfinished video is never left behind."""

import contextlib
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import imageio_ffmpeg
import numpy as np

from hpof_jax import interrupt
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError

CONTAINERS = (".mp4", ".mov", ".mkv")


def record(frames: Iterable[np.ndarray], fps: float, path: str | os.PathLike) -> None:
    """Writes frames (H, W, 3) uint8 RGB as they come, until they end or Ctrl-C stops the recording.

    Raises:
      UserError: there is no frame, or the video cannot be written.
    """
    frames = iter(frames)
    with interrupt.deferred() as requested:
        first = next(frames, None)
        if first is None:
            raise UserError("The camera gives no frame to record: check the camera.")
        height, width = map(even, first.shape[:2])
        with writing(pathlib.Path(path), (height, width), fps) as add:
            for frame in itertools.chain([first], frames):
                if requested():
                    break
                add(resize(frame, height, width))


@contextlib.contextmanager
def writing(path: pathlib.Path, shape: tuple[int, int], fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields a function that adds a frame to a video; the video appears at `path` when the block ends."""
    if not path.parent.is_dir():
        raise UserError(f"The video {path} cannot be written: make the folder {path.parent} first.")
    if path.suffix.lower() not in CONTAINERS:
        raise UserError(
            f"The video {path} cannot be written: give a name that ends in {' or '.join(CONTAINERS)}."
        )
    import mediapy  # here, because it takes 1.5 seconds: it imports IPython and matplotlib

    mediapy.set_ffmpeg(imageio_ffmpeg.get_ffmpeg_exe())
    arguments = ["-preset", "veryfast", "-movflags", "+faststart"]

    def checked(act, *arguments):
        try:
            return act(*arguments)
        except (OSError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(
                f"The video {path} cannot be written ({reason}): check the folder and its free space."
            ) from error

    with replacing(path, "The video") as partial:
        video = mediapy.VideoWriter(partial, shape, fps=fps, codec="h264", crf=20, ffmpeg_args=arguments)
        with interrupt.kept_from_children():
            checked(video.__enter__)
        try:
            yield functools.partial(checked, video.add_image)
        except BaseException:
            with contextlib.suppress(OSError, RuntimeError):
                video.close()
            raise
        checked(video.close)


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """The frame (H, W, 3) at another size."""
    if frame.shape[:2] == (height, width):
        return frame
    import cv2  # here, because importing this package should be fast

    # Averaging takes three times as long, and only matters where pixels would be skipped.
    skips = frame.shape[0] > 2 * height
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if skips else cv2.INTER_LINEAR)


def even(side: float) -> int:
    """The nearest even number: H.264 in yuv420p, which every player shows, has even sides."""
    return max(2, 2 * round(side / 2))
