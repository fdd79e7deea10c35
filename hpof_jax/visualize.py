"""Draws a motion: the body over the video, and from the side.

Drawing is NumPy on the CPU and needs no display and no OpenGL. mediapy writes the videos.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import imageio_ffmpeg
import numpy as np
import tqdm

from hpof_jax import interrupt
from hpof_jax.atomic import replacing
from hpof_jax.body import BodyModel
from hpof_jax.errors import UserError
from hpof_jax.geometry import zbuffer
from hpof_jax.geometry.visibility import vertex_normals
from hpof_jax.motion import Motion

SEEN = dict(color=(165, 200, 245), alpha=0.9)
FILLED = dict(color=(215, 215, 215), alpha=0.5)
BACKGROUND = (244, 244, 246)
SAMPLES = 2  # samples per pixel and axis, averaged: smooth edges
CONTAINERS = (".mp4", ".mov", ".mkv")
CHUNK = 64  # frames posed at once
MAX_RATE = 60.0  # frames/s of the overlay of a video whose frame rate varies
SIDE_EXTENT = 2.3  # metres from the top to the bottom of the side view, at the pelvis
SIDE_DISTANCE = 6.0  # metres from the side view's camera to the pelvis

AMBIENT = 0.3
# Camera frame: towards a light a little above the camera and to its left.
TO_LIGHT = np.array([-0.3, -0.5, -0.8]) / np.linalg.norm([-0.3, -0.5, -0.8])


def render_mesh(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    focal_length: float,
    color: tuple[int, int, int] = SEEN["color"],
    alpha: float = SEEN["alpha"],
) -> np.ndarray:
    """A copy of the frame with a shaded, antialiased mesh over it.

    Args:
      image: (H, W, 3) uint8 RGB; its middle is the principal point.
      vertices: (V, 3) metres, camera frame. Faces with a vertex behind the camera are left out.
      faces: (F, 3) int, counter-clockwise when seen from outside; back faces are not drawn.
      focal_length: pixels of `image`.
      color: RGB, 0 to 255.
      alpha: opacity, 0 to 1.
    """
    height, width = image.shape[:2]
    points = zbuffer.project(vertices, focal_length, (height, width))
    crop = _crop(points, height, width)
    image = image.copy()
    if crop is None:
        return image
    (left, top), (right, bottom) = crop
    size = (right - left, bottom - top)
    points = (points - crop[0]) * SAMPLES
    buffer = zbuffer.rasterize(
        points, np.asarray(vertices)[:, 2], faces, (SAMPLES * size[1], SAMPLES * size[0])
    )
    light = zbuffer.interpolate(buffer, points, faces, _light(vertices, faces))
    # The light is zero outside the body, so both averages are premultiplied and the edge gets no dark rim.
    light, coverage = (
        sum(layer[i::SAMPLES, j::SAMPLES] for i in range(SAMPLES) for j in range(SAMPLES)) / SAMPLES**2
        for layer in (light, buffer.mask.astype(np.float32))
    )
    window, touched = image[top:bottom, left:right], coverage > 0
    mixed = window[touched] * (1.0 - alpha * coverage[touched, None])
    mixed += light[touched, None] * (alpha * np.array(color, np.float32))
    window[touched] = np.minimum(mixed + 0.5, 255.0)
    return image


def write_overlay(
    video_frames: Iterable[np.ndarray],
    motion: Motion,
    body: BodyModel,
    path: str | os.PathLike,
    side_by_side: bool = True,
    side_view: bool = False,
    max_height: int = 720,
    progress: bool = True,
) -> None:
    """Writes an H.264 video of the body over the frames, at the motion's frame rate and without sound.

    One frame is in memory at a time. A body with a confidence below 0.5, as where the person was not seen, is
    drawn paler and grey. A frame that the motion does not cover is shown unchanged. If the frame rate varies,
    frames are repeated and left out, so that each is shown at its time.

    Args:
      video_frames: (H, W, 3) uint8 RGB, the frames that the motion was made from; frame i is `frame_index` i.
      motion: the result; its `image_size` is that of the frames.
      body: the body that the motion was made with.
      path: the video to write, `.mp4`; an existing file is replaced only by a complete one.
      side_by_side: show the unchanged frame to the left of the overlay.
      side_view: add a panel to the right that shows the body from its side: the camera is moved by 90 degrees
        about the vertical through the pelvis, so that depth runs from left to right.
      max_height: larger frames are scaled down to this many pixels.
      progress: show a progress bar, on a terminal.

    Raises:
      UserError: there is no frame, the frames have another size than the motion's, or the video cannot be
        written.
    """
    height, width = (_even(side) for side in motion.image_size * min(1.0, max_height / motion.image_size[0]))
    focal_length = motion.focal_length * height / motion.image_size[0]
    side_width = _even(0.7 * height) if side_view else 0
    faces = np.asarray(body.faces)
    posed = _posed(motion, body)
    total = len(video_frames) if hasattr(video_frames, "__len__") else None
    bar = tqdm.tqdm(video_frames, "overlay", total, unit="frame", disable=None if progress else True)
    rate, copies = _at_constant_rate(motion)
    with _video(pathlib.Path(path), (height, width * (1 + side_by_side) + side_width), rate) as add:
        index = -1
        for index, frame in enumerate(bar):
            if frame.shape != (*motion.image_size, 3):
                raise UserError(
                    f"Frame {index} of the video has shape {frame.shape}, but the motion was made from frames of"
                    f" {motion.image_size[0]} x {motion.image_size[1]} pixels: give the video it was made from."
                )
            if not copies.get(index, 1):
                continue
            frame = _resize(frame, height, width)
            panels = [frame] * side_by_side
            panels.append(_overlay(frame, posed(index), faces, focal_length))
            if side_view:
                panels.append(_from_the_side(posed(index), faces, height, side_width))
            picture = np.concatenate(panels, axis=1)
            for _ in range(copies.get(index, 1)):
                add(picture)
        if index < 0:
            raise UserError("The video has no frame to draw the body over: check the video.")


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
        height, width = map(_even, first.shape[:2])
        with _video(pathlib.Path(path), (height, width), fps) as add:
            for frame in itertools.chain([first], frames):
                if requested():
                    break
                add(_resize(frame, height, width))


@dataclasses.dataclass(frozen=True)
class _Posed:
    vertices: np.ndarray  # (V, 3) metres, camera frame
    pelvis: np.ndarray  # (3,)
    style: dict  # colour and opacity


def _at_constant_rate(motion: Motion) -> tuple[float, dict[int, int]]:
    """A frame rate, and how often frames are shown at that rate, where that is not once."""
    frames, times, rate = motion.frame_index, motion.times, motion.mocap_framerate
    even = times[:1] + (frames - frames[:1]) / rate
    if np.all(np.abs(times - even) <= 1 / rate):
        return rate, {}
    rate = min(1 / float(np.median(np.diff(times) / np.diff(frames))), MAX_RATE)
    numbers = np.round((times - times[0]) * rate)
    uncovered = np.diff(frames) - 1  # frames between those of the motion are shown once
    copies = np.maximum(np.diff(numbers) - uncovered, 0).astype(int)
    return rate, dict(zip(frames[:-1].tolist(), copies.tolist()))


def _posed(motion: Motion, body: BodyModel) -> Callable[[int], _Posed | None]:
    """A function from a frame's number to the body in it; call it with ascending numbers."""
    rows = {int(frame): row for row, frame in enumerate(motion.frame_index)}

    @functools.lru_cache(maxsize=1)
    def chunk(number: int) -> np.ndarray:
        return motion.vertices(body, slice(number * CHUNK, (number + 1) * CHUNK))

    def at(frame: int) -> _Posed | None:
        if frame not in rows:
            return None
        row = rows[frame]
        style = SEEN if motion.confidence[row] >= 0.5 else FILLED
        return _Posed(chunk(row // CHUNK)[row % CHUNK], motion.joints[row, 0], style)

    return at


def _overlay(frame: np.ndarray, posed: _Posed | None, faces: np.ndarray, focal_length: float) -> np.ndarray:
    return frame if posed is None else render_mesh(frame, posed.vertices, faces, focal_length, **posed.style)


def _from_the_side(posed: _Posed | None, faces: np.ndarray, height: int, width: int) -> np.ndarray:
    canvas = np.full((height, width, 3), BACKGROUND, np.uint8)
    if posed is None:
        return canvas
    x, y, z = (posed.vertices - posed.pelvis).T
    turned = np.stack([z, y, SIDE_DISTANCE - x], axis=-1)
    return render_mesh(canvas, turned, faces, height * SIDE_DISTANCE / SIDE_EXTENT, **posed.style)


def _crop(points: np.ndarray, height: int, width: int) -> list[list[int]] | None:
    """The part of the picture that the mesh can cover, [[left, top], [right, bottom]] in whole pixels."""
    points = points[np.isfinite(points[:, 0])]
    if not len(points):
        return None
    bounds = np.stack([np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))])
    bounds = np.clip(bounds, 0, [width, height]).astype(int)
    return bounds.tolist() if (bounds[1] > bounds[0]).all() else None


def _light(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V,) brightness of a matt surface under a light near the camera and ambient light."""
    return AMBIENT + (1.0 - AMBIENT) * np.maximum(vertex_normals(vertices, faces) @ TO_LIGHT, 0.0)


def _resize(frame, height, width):
    if frame.shape[:2] == (height, width):
        return frame
    import cv2  # here, because `render_mesh` needs no OpenCV

    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def _even(side: float) -> int:
    """The nearest even number: H.264 in yuv420p, which every player shows, has even sides."""
    return max(2, 2 * round(side / 2))


@contextlib.contextmanager
def _video(path: pathlib.Path, shape: tuple[int, int], fps: float) -> Iterator[Callable[[np.ndarray], None]]:
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
        writer = mediapy.VideoWriter(partial, shape, fps=fps, codec="h264", crf=20, ffmpeg_args=arguments)
        with interrupt.kept_from_children():
            checked(writer.__enter__)
        try:
            yield functools.partial(checked, writer.add_image)
        except BaseException:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()
            raise
        checked(writer.close)
