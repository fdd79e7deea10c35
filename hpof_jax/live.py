"""The body frame by frame, as the frames arrive: from a webcam, a file or standard input.

    python -m hpof_jax.live --webcam 0              # a window with the body over the picture; q ends it
    python -m hpof_jax.live clip.mp4 --json -       # one JSON line for each frame
    ffmpeg -i rtsp://... -f mpegts - | python -m hpof_jax.live - --json bodies.jsonl

See docs/live.md.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TextIO

import numpy as np
from absl import logging

from hpof_jax import cli, interrupt
from hpof_jax.body import BodyModel, load_body
from hpof_jax.causal import Body, Observation, Stepper
from hpof_jax.errors import UserError
from hpof_jax.geometry import camera
from hpof_jax.models.build import model_for
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import CONFIDENT
from hpof_jax.observe.ahead import ahead
from hpof_jax.observe.blazepose import NUM_LANDMARKS
from hpof_jax.observe.lens import check_fov, check_one_given
from hpof_jax.observe.person import PersonTracker
from hpof_jax.observe.video import Frames, VideoInfo, read_stdin, read_video

DECIMALS = 5
STYLES = ("skeleton", "mesh")


class Arrival(NamedTuple):
    """A frame (H, W, 3) uint8 RGB, its time in the video, and the clock when it was there; seconds."""

    image: np.ndarray
    time: float
    clock: float


class Result(NamedTuple):
    """What is known of a frame; `body` is None while nobody was seen. `detected` and `done` are clocks, seconds."""

    arrival: Arrival
    body: Body | None
    detected: float
    done: float


def stream(
    arrivals: Iterable[Arrival],
    tracker: Callable,
    stepper: Stepper,
    *,
    newest: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Result]:
    """The body in each frame. One thread reads, one detects the person, and the caller's finds the body.

    Args:
      arrivals: ascending in time.
      tracker: as `hpof_jax.observe.person.PersonTracker`.
      newest: leave out frames that come faster than they are detected; otherwise every frame counts.
      stop: looked at several times a second; true ends the stream.
    """

    def detected() -> Iterator[tuple[Arrival, Observation, float]]:
        nothing = np.zeros((NUM_LANDMARKS, 3), np.float32)
        for arrival in ahead(arrivals, newest, stop):
            pose = tracker(arrival.image)
            landmarks = (pose.landmarks_2d, pose.landmarks_3d) if pose else (nothing, nothing)
            yield arrival, Observation(arrival.time, *landmarks, pose is not None), time.perf_counter()

    state = stepper.start()
    for arrival, observation, clock in ahead(detected(), False, stop):
        state, body = stepper.step(state, observation)
        yield Result(arrival, body, clock, time.perf_counter())


def line(number: int, result: Result) -> str:
    """The JSON of a frame, without a line break; docs/live.md lists the keys."""
    body, arrival = result.body, result.arrival
    values: dict[str, object] = {"frame": number, "time": round(arrival.time, DECIMALS)}
    values["seen"] = bool(body is not None and body.seen)
    for name in ("pose", "betas", "trans", "joints"):
        values[name] = (
            None if body is None else np.round(getattr(body, name).astype(float), DECIMALS).tolist()
        )
    values["confidence"] = 0.0 if body is None else round(body.confidence, 3)
    return json.dumps(values | {"latency": round(result.done - arrival.clock, 4)})


def arrivals(frames: Frames, fps: float, live: bool) -> Iterator[Arrival]:
    """The frames with times that ascend: those of the clock from a webcam, those of the file otherwise."""
    before, start = -np.inf, time.perf_counter()
    for image in frames:
        clock = time.perf_counter()
        now = clock - start if live else frames.time
        before = now if now > before else before + 1 / fps
        yield Arrival(image, float(before), clock)


def make_stepper(
    info: VideoInfo,
    body: BodyModel,
    weights: str | os.PathLike | None = None,
    focal_length: float | None = None,
) -> Stepper:
    """The causal model of a video. It is compiled when this returns, so that the first frame does not wait."""
    params, config = load_weights(weights)
    size = np.array(info.image_size, np.float32)
    focal_length = focal_length or info.focal_length or float(camera.default_focal_length(size))
    model = model_for(params, config, body)
    if not model.takes_landmarks:
        raise UserError("These weights take image features alone, which are not computed live: give others.")
    stepper = Stepper(model, params, body, size, focal_length)
    blank = np.tile(np.float32([[size[1] / 2, size[0] / 2, 1.0]]), (NUM_LANDMARKS, 1))
    for _ in stepper.run([Observation(0.0, blank, np.zeros_like(blank), True)]):
        return stepper
    raise AssertionError("a step gives a body or None")


def summary(results: int, latencies: list[float], span: float, shown: int) -> str:
    """The last line of a run."""
    if not latencies:
        return "no frame"
    middle, high = 1000 * np.percentile(latencies, (50, 95))
    return (
        f"{results} frames at {results / max(span, 1e-9):.1f} frames/s, the person seen in {100 * shown / results:.0f} %; "
        f"latency {middle:.0f} ms (median), {high:.0f} ms (95th percentile)"
    )


def _painter(body: BodyModel, style: str, focal_length: float) -> Callable[[Result], np.ndarray]:
    """Draws a frame's body over its picture."""
    import jax

    from hpof_jax.body import forward
    from hpof_jax.palette import SEEN, UNSEEN
    from hpof_jax.visualize import draw

    skin, faces = jax.jit(forward), np.asarray(body.faces)

    def paint(result: Result) -> np.ndarray:
        image, found = result.arrival.image, result.body
        if found is None:
            return image
        sure = found.confidence > CONFIDENT
        if style == "skeleton":
            return draw.render_skeleton(image, found.joints, focal_length, sure)
        vertices, _ = skin(body, found.betas, found.pose[:3], found.pose[3:].reshape(23, 3), found.trans)
        return draw.render_mesh(image, np.asarray(vertices), faces, focal_length, SEEN if sure else UNSEEN)

    return paint


def _window(name: str) -> Callable[[np.ndarray], bool]:
    """Opens a window and returns what shows a picture in it; that returns whether the user ended it."""
    import cv2

    try:
        cv2.namedWindow(name, cv2.WINDOW_NORMAL)
    except cv2.error:
        raise UserError(
            "No window can be opened: OpenCV was built without windows, or there is no display; give --json -, or "
            "install opencv-python in place of opencv-python-headless."
        ) from None

    def show(image: np.ndarray) -> bool:
        cv2.imshow(name, image[..., ::-1])
        key = cv2.waitKey(1) & 0xFF
        return key in (ord("q"), 27) or cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) < 1

    return show


def _lines_to(target: str) -> contextlib.AbstractContextManager[TextIO]:
    """Where JSON lines go: standard output for "-", or a new file."""
    if target == "-":
        return contextlib.nullcontext(sys.stdout)
    try:
        return open(target, "w", encoding="utf-8")  # noqa: SIM115 the caller closes it
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror}): give another --json.") from error


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.live",
        description="The body frame by frame, as the frames arrive: in a window, or as JSON lines. docs/live.md "
        "describes both.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("video", nargs="?", help="a video file, or - for a video in standard input")
    source.add_argument("--webcam", type=int, metavar="NUMBER", help="the number of a webcam, from 0")
    add = parser.add_argument
    add(
        "--json",
        metavar="FILE",
        help="write a JSON line for each frame, - for standard output; no window opens",
    )
    add("--style", choices=STYLES, default="skeleton", help="what the window shows (default: skeleton)")
    add("--person", default="largest", help="largest, leftmost, or a number from the left (default: largest)")
    add("--landmark-model", choices=("full", "heavy"), default="full", help="of the detector (default: full)")
    add("--fov", type=float, help="the camera's horizontal field of view in degrees")
    add("--focal-length", type=float, help="the camera's focal length in pixels")
    add("--fps", type=float, help="the frame rate of a video whose file states a wrong one, frames/s")
    add("--max-frames", type=cli.positive_int, help="end after so many frames")
    add("--weights", help="a weights file or the folder of a training run (default: those of the package)")
    add("--body", type=pathlib.Path, help="a file in SMPL's format (default: the free body)")
    return parser.parse_args()


def _focal_length(options: argparse.Namespace, width: int) -> float | None:
    check_one_given(options.focal_length, options.fov)
    fov = options.fov
    if options.focal_length is not None:
        fov = (
            np.degrees(2 * np.arctan(width / (2 * options.focal_length))) if options.focal_length > 0 else 0.0
        )
    if fov is None:
        return None
    check_fov(fov)
    return float(camera.focal_length_of_fov(fov, width))


@cli.entry_point
def main() -> None:
    options = _options()
    webcam = options.webcam is not None
    show = None if options.json else _window("hpof_jax")
    body = load_body(options.body)
    if options.video == "-":
        frames, info = read_stdin(options.max_frames, options.fps)
    else:
        frames, info = read_video(
            options.webcam if webcam else options.video, options.max_frames, options.fps
        )
    focal_length = _focal_length(options, info.image_size[1])
    tracker = PersonTracker(options.landmark_model, options.person, info.fps)
    stepper = make_stepper(info, body, options.weights, focal_length)
    paint = _painter(body, options.style, stepper.focal_length) if show else None
    latencies, shown, number, start = [], 0, 0, time.perf_counter()
    with (
        interrupt.deferred() as requested,
        _lines_to(options.json) if options.json else contextlib.nullcontext() as lines,
        contextlib.suppress(BrokenPipeError),  # whoever read the lines has ended
    ):
        timed = arrivals(frames, info.fps, webcam)
        for number, result in enumerate(stream(timed, tracker, stepper, newest=webcam, stop=requested), 1):
            latencies.append(result.done - result.arrival.clock)
            shown += result.body is not None and result.body.seen
            if lines:
                print(line(number - 1, result), file=lines, flush=True)
            if show and show(paint(result)):
                break
    logging.info("%s: %s.", info.name, summary(number, latencies, time.perf_counter() - start, shown))


if __name__ == "__main__":
    main()
