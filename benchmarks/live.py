"""What the causal answer of `hpof_jax.live` costs: in accuracy on rendered people, and in CPU time.

    python -m benchmarks.live rendered/ [more/ ...] [--every 1] [--video FILE] [--json FILE]

Clips of folders that `python -m hpof_jax.data render` made. `offline` is `lift`, without the undoing of left-right
swaps, which the causal model has not; `causal` is `hpof_jax.causal` over the same observations. In mm, of the 12
limb joints, over the frames in which the person was seen: `pa_mpjpe`, and `mpjpe` with the middle of the hips as the
origin. `acceleration`: the acceleration error, m/s^2.

`--video` also measures the stages of a stream on this video, scaled to 1280 x 720: CPU time for each frame in ms, one
stage after the other, summed over all threads. Two cores keep up with 25 frames/s if the sum is below 80 ms.
"""

import argparse
import itertools
import pathlib
import time
from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.program import print_row, program
from benchmarks.rendered import add_folders, read_clips, true_limbs
from data_pipelines.observed.rendered import clip_path
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import LIMB_JOINTS, SMPL_LIMBS
from hpof_jax.causal import Observation, Stepper
from hpof_jax.lifting import lift
from hpof_jax.live import make_stepper
from hpof_jax.models.build import model_for
from hpof_jax.models.weights import load_weights
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.person import PersonTracker
from hpof_jax.observe.video import VideoInfo, read_video
from hpof_jax.training import metrics

FIGURES = ("pa_mpjpe", "mpjpe", "acceleration")
SIZE = (720, 1280)
FRAMES, WARM_UP = 100, 10
HIPS = tuple(number for number, name in enumerate(LIMB_JOINTS) if name.endswith("hip"))


def observed(observations: Observations) -> list[Observation]:
    """A clip as a stream."""
    rows = observations.times, observations.landmarks_2d, observations.landmarks_3d, observations.seen
    return [Observation(float(at), *row, bool(seen)) for at, *row, seen in zip(*rows)]


def errors(joints: np.ndarray, true: np.ndarray, there: np.ndarray, fps: float) -> np.ndarray:
    """Sums and counts, (3, 2), of `FIGURES`: joints and ground truth (T, 12, 3), in the frames `there` (T,)."""
    acceleration = metrics.acceleration_error(joints, true, fps)
    return np.stack(
        [
            metrics.total(metrics.pa_mpjpe(joints, true), there),
            metrics.total(metrics.mpjpe(joints, true, HIPS), there),
            metrics.total(acceleration, metrics.acceleration_mask(there)),
        ]
    )


def accuracy(folder: pathlib.Path, every: int) -> dict[str, dict[str, float]]:
    """`FIGURES` of every n-th clip of a folder, offline and causal."""
    weights, body = load_weights(), load_body()
    model = model_for(*weights, body)
    sums = {"offline": np.zeros((3, 2)), "causal": np.zeros((3, 2))}
    for number, clip in read_clips(folder):
        if number % every or not clip["seen"].any():
            continue
        observations = Observations.load(clip_path(folder, number))
        stepper = Stepper(model, weights[0], body, observations.image_size, float(observations.focal_length))
        bodies = list(stepper.run(observed(observations)))
        there = observations.seen & np.array([found is not None for found in bodies])
        nobody = np.zeros((24, 3), np.float32)
        found = {
            "offline": lift(observations, weights, body, undo_swaps=False).joints,
            "causal": np.stack([nobody if one is None else one.joints for one in bodies]),
        }
        true = true_limbs(clip)[0].astype(np.float32)
        for name, joints in found.items():
            sums[name] += errors(
                joints[:, SMPL_LIMBS].astype(np.float32), true, there, float(observations.fps)
            )
    return {
        name: dict(zip(FIGURES, (total[:, 0] / np.maximum(total[:, 1], 1)).tolist()))
        for name, total in sums.items()
    }


def cost(video: pathlib.Path) -> dict[str, float]:
    """CPU time of each stage for a frame of 1280 x 720, ms: median over the frames after a warm-up."""
    frames, info = read_video(video, FRAMES)
    tracker, spent = PersonTracker(fps=info.fps), []
    stepper = make_stepper(VideoInfo(info.fps, SIZE, None, info.name), load_body())
    state, nothing = stepper.start(), np.zeros((33, 3), np.float32)
    for number in itertools.count():
        image, read = timed(lambda: next(frames, None))
        if image is None:
            break
        image = cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA)
        pose, detected = timed(lambda image=image: tracker(image))
        landmarks = (pose.landmarks_2d, pose.landmarks_3d) if pose else (nothing, nothing)
        new = Observation(number / info.fps, *landmarks, pose is not None)
        (state, _), lifted = timed(lambda state=state, new=new: stepper.step(state, new))
        spent.append((read, detected, lifted))
    stages = np.median(np.array(spent)[WARM_UP:], axis=0)
    return dict(zip(("read", "detect", "lift", "sum"), [*stages.tolist(), float(stages.sum())]))


def timed(work: Callable) -> tuple:
    """The result, and the CPU time of all threads, ms."""
    start = time.process_time()
    result = work()
    return result, 1000 * (time.process_time() - start)


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip (1)")
    parser.add_argument("--video", type=pathlib.Path, help="also measure the CPU time on this video")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    report = {}
    if options.video:
        report["cpu_ms"] = cost(options.video)
        print_row("CPU ms a frame", report["cpu_ms"])
        print_row("", report["cpu_ms"].values())
    print_row("", FIGURES)
    for folder in options.folders:
        report[folder.name] = accuracy(folder, options.every)
        for name, row in report[folder.name].items():
            print_row(f"{folder.name}, {name}", row.values())
    return report


if __name__ == "__main__":
    main()
