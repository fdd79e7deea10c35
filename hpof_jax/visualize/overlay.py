"""Writes the video of a motion: the body over the frames that it was made from.

Reading frames, drawing and encoding run in threads of their own: OpenCV and the pipe to ffmpeg release
Python's lock.

OpenCV draws on the CPU, also where JAX has a GPU. On a CPU a plain z-buffer in JAX takes some sixty times as long
(`python -m benchmarks.overlay`: 3.7 s a frame of 1080p, `render_mesh` 0.06 s). On a GPU, where it was not measured, each
picture would have to come back to the host, 3 to 6 MB, to be encoded there; and reading, scaling and encoding take half of
the overlay's CPU time already.
"""

import collections
import concurrent.futures
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from hpof_jax.body import BodyModel, load_body
from hpof_jax.errors import UserError
from hpof_jax.motion import CONFIDENT, Motion
from hpof_jax.progress import progress as shown_progress
from hpof_jax.visualize.painter import Painter, Posed, fastest, side_camera
from hpof_jax.visualize.video import even, writing

STYLES = ("mesh", "skeleton", "silhouette", "flow")
LAYOUTS = ("beside", "over")
CHUNK = 64  # frames posed at once
MAX_RATE = 60.0  # frames/s of the overlay of a video whose frame rate varies
FAINT = (
    0.2  # confidence below which one of several people is not drawn while unseen: the person may have left
)
LABEL_FROM = 200  # pixels: lower pictures have no room for labels
DRAWERS = 2  # threads that draw
AHEAD = 4  # frames that are read and drawn ahead


def render(
    motion: Motion,
    video: str | os.PathLike,
    path: str | os.PathLike,
    body: BodyModel | None = None,
    *,
    start: float | None = None,
    fps: float | None = None,
    **options,
) -> None:
    """Writes the overlay of a motion over the video that it was made from, from the video's file.

    Args:
      motion: the result of a reconstruction.
      video: the video file or folder of pictures that `reconstruct` was given.
      path: the video to write, `.mp4`.
      body: the body that the motion was made with. None: the free body.
      start: seconds; where the reconstruction began. None: at the first of `motion.times`.
      fps: frames/s, if `reconstruct` was given one.
      options: `style`, `layout`, `side_view` and others of `write_overlay`.

    Raises:
      UserError: the video cannot be read, is not the motion's, or the overlay cannot be written.
    """
    from hpof_jax.observe.video import read_video  # here, because it imports OpenCV

    if not len(motion):
        raise UserError("The motion has no frame to draw: reconstruct a video in which somebody is seen.")
    if start is None:
        start = max(motion.times[0] - (motion.frame_index[0] + 0.5) / motion.mocap_framerate, 0.0)
    frames, _ = read_video(video, int(motion.frame_index[-1]) + 1, fps, start or None)
    write_overlay(frames, motion, load_body() if body is None else body, path, **options)


def write_overlay(
    video_frames: Iterable[np.ndarray],
    motion: Motion | Sequence[Motion],
    body: BodyModel,
    path: str | os.PathLike,
    style: str = "mesh",
    layout: str = "beside",
    side_view: bool = False,
    max_height: int = 720,
    labels: bool = True,
    progress: bool = True,
) -> None:
    """Writes an H.264 video of the body over the frames, at the motion's frame rate and without sound.

    A few frames are in memory at a time. A body with a confidence of at most 0.5, as where the person was not
    seen, is drawn grey. A frame that the motion does not cover is shown unchanged. If the frame rate varies, frames
    are repeated and left out, so that each is shown at its time.

    Args:
      video_frames: (H, W, 3) uint8 RGB, the frames that the motion was made from; frame i is `frame_index` i.
        They are read in another thread.
      motion: the result, or those of several people, who get a colour and a number each; its `image_size` is
        that of the frames.
      body: the body that the motions were made with.
      path: the video to write, `.mp4`; an existing file is replaced only by a complete one.
      style: "mesh", a shaded body; "skeleton", its bones, the left ones blue and the right ones orange;
        "silhouette", its outline; or "flow", the motion of its surface to the next frame as a colour.
      layout: "beside" shows the unchanged frame to the left of the overlay; "over" shows the overlay alone.
      side_view: add a panel to the right that shows the body from its side: the camera is moved by 90 degrees
        about the vertical through the pelvis, so that depth runs from left to right. Of several people it shows
        everybody, from a place that stays the same.
      max_height: larger frames are scaled down to this many pixels.
      labels: name the panels, and give the frame's number and time. Pictures lower than 200 pixels have none.
      progress: show how far the work is; see `hpof_jax.progress`.

    Raises:
      UserError: there is no such style or layout, there is no frame, the frames have another size than the
        motion's, or the video cannot be written.
    """
    check_look(style, layout)
    motions = [motion] if isinstance(motion, Motion) else [*motion]
    motion = motions[0]
    height, width = (even(side) for side in motion.image_size * min(1.0, max_height / motion.image_size[0]))
    painter = Painter(
        style=style,
        beside=layout == "beside",
        side_view=side_view,
        labels=labels and height >= LABEL_FROM,
        faces=np.asarray(body.faces),
        height=height,
        width=width,
        focal_length=motion.focal_length * height / motion.image_size[0],
        fastest=max(map(fastest, motions)) * height / motion.image_size[0] if style == "flow" else 1.0,
        to_frame=motion.image_size[0] / height,
        several=len(motions) > 1,
        side_camera=side_camera(motions) if len(motions) > 1 else None,
    )
    rate, copies = _at_constant_rate(motions)
    bodies = [_posed(motion, body, number, len(motions) > 1) for number, motion in enumerate(motions)]

    def shown() -> Iterator[tuple[int, np.ndarray, list[Posed]]]:
        for index, frame in enumerate(_read_ahead(video_frames)):
            if frame.shape != (*motion.image_size, 3):
                raise UserError(
                    f"Frame {index} of the video has shape {frame.shape}, but the motion was made from frames of"
                    f" {motion.image_size[0]} x {motion.image_size[1]} pixels: give the video it was made from."
                )
            if copies.get(index, 1):
                found = [posed for posed in (at(index) for at in bodies) if posed]
                # The farthest is drawn first.
                yield index, frame, sorted(found, key=lambda posed: -posed.joints[0, 2])

    last = max((int(one.frame_index[-1]) for one in motions if len(one)), default=-1)
    total = len(video_frames) if hasattr(video_frames, "__len__") else last + 1
    with writing(pathlib.Path(path), (height, painter.total_width), rate) as add:
        index, drawn = -1, _drawn_ahead(painter, shown())
        for index, picture in shown_progress(drawn, "overlay", total, show=progress):
            for _ in range(copies.get(index, 1)):
                add(picture)
        if index < 0:
            raise UserError("The video has no frame to draw the body over: check the video.")


def check_look(style: str, layout: str) -> None:
    """Raises `UserError` unless both are known."""
    for name, value, known in (("style", style, STYLES), ("layout", layout, LAYOUTS)):
        if value not in known:
            raise UserError(f"There is no {name} '{value}': choose one of {', '.join(known)}.")


def _read_ahead(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same frames; a thread reads the next ones while the caller works."""
    frames, end = iter(frames), object()
    reader = concurrent.futures.ThreadPoolExecutor(1, "read")
    try:
        pending = collections.deque(reader.submit(next, frames, end) for _ in range(AHEAD))
        while (frame := pending.popleft().result()) is not end:
            pending.append(reader.submit(next, frames, end))
            yield frame
    finally:
        reader.shutdown(cancel_futures=True)


def _drawn_ahead(painter: Painter, shown: Iterator[tuple]) -> Iterator[tuple[int, np.ndarray]]:
    """The pictures of frames, in order; threads draw the next ones while the caller works."""
    pool, pending = concurrent.futures.ThreadPoolExecutor(DRAWERS, "draw"), collections.deque()
    try:
        for frame in shown:
            pending.append(pool.submit(painter, *frame))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        shown.close()


def _at_constant_rate(motions: Sequence[Motion]) -> tuple[float, dict[int, int]]:
    """A frame rate, and how often frames are shown at that rate, where that is not once."""
    frames, first = np.unique(np.concatenate([motion.frame_index for motion in motions]), return_index=True)
    times, rate = np.concatenate([motion.times for motion in motions])[first], motions[0].mocap_framerate
    constant = times[:1] + (frames - frames[:1]) / rate
    if np.all(np.abs(times - constant) <= 1 / rate):
        return rate, {}
    rate = min(1 / float(np.median(np.diff(times) / np.diff(frames))), MAX_RATE)
    numbers = np.round((times - times[0]) * rate)
    uncovered = np.diff(frames) - 1  # frames between those of the motion are shown once
    copies = np.maximum(np.diff(numbers) - uncovered, 0).astype(int)
    return rate, dict(zip(frames[:-1].tolist(), copies.tolist()))


def _posed(motion: Motion, body: BodyModel, number: int, several: bool) -> Callable[[int], Posed | None]:
    """A function from a frame's number to the body in it; call it with ascending numbers."""
    rows, seen = {int(frame): row for row, frame in enumerate(motion.frame_index)}, motion.seen

    @functools.lru_cache(maxsize=2)
    def chunk(index: int) -> np.ndarray:
        return motion.vertices(body, slice(index * CHUNK, (index + 1) * CHUNK))

    def at(frame: int) -> Posed | None:
        if frame not in rows:
            return None
        row = rows[frame]
        confidence = motion.confidence[row]
        if several and confidence < FAINT and not seen[row]:
            return None
        vertices, moved = (chunk(index // CHUNK)[index % CHUNK] for index in (row, rows.get(frame + 1, row)))
        return Posed(vertices, moved, motion.joints[row], confidence > CONFIDENT, motion.times[row], number)

    return at
