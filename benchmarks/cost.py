"""How the work grows: with a clip's length, the batch, devices, the picture's size, a video's length and its people.

Of the curves of a video, `video` and `people` are of lifting alone; `file` and `crowd` go from the file to the motion, as
`reconstruct` does by default, but for the overlay.

    python -m benchmarks.cost --json cost.json --plot cost.png
    python -m benchmarks.cost --only length batch --rounds 5

Each point is the median of a few calls, in CPU seconds of the whole process, which other programs on the machine hardly
change. The slope is that of a straight line through the logarithms: 1 is work that grows in proportion, 0 is constant work.
The training step has every loss but those on outlines and the adversary.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from unittest import mock

import imageio_ffmpeg
import jax
import numpy as np

from benchmarks.inference import observations
from benchmarks.program import print_row, program
from benchmarks.train_step import full_weights, training, training_batch
from hpof_jax import downloads, reconstruct
from hpof_jax.atomic import replacing
from hpof_jax.body import forward, load_body
from hpof_jax.cli import positive_int
from hpof_jax.config_files import load_config
from hpof_jax.errors import UserError
from hpof_jax.geometry.rasterizer import soft_silhouette
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.observe import cache
from hpof_jax.observe.clip import Observations, observe
from hpof_jax.observe.everybody import observe_everybody
from hpof_jax.timing import interleaved
from hpof_jax.training.terms import OUTLINE_LOSSES

# Of each curve: what grows, its points, and the unit of the work.
POINTS = {
    "length": ("frames of a clip, 8 clips", (16, 32, 64, 128)),
    "batch": ("clips of 32 frames", (4, 8, 16, 32)),
    "devices": ("fake devices, 16 clips of 32 frames", (1, 2, 4)),
    "picture": ("pixels of a side, 8 silhouettes with gradient", (32, 64, 128, 256)),
    "video": ("frames of a video, lifted", (256, 512, 1024, 2048)),
    "people": ("people in a video of 512 frames, lifted", (1, 2, 4, 8)),
    "file": ("frames of a video, from file to motion", (16, 32, 64, 128)),
    "crowd": ("people in a video of 64 frames, from file to motion", (1, 2, 4)),
}
TILE = (884, 496)  # pixels
COLUMNS = 4  # of the plot


def train_step(config_path: str, clips: int, frames: int) -> Callable[[], object]:
    """A training step of these sizes, without the losses on outlines and the adversary."""
    config = load_config(config_path)
    config.batch_size, config.clip_length = clips, frames
    others = OUTLINE_LOSSES | {"adversarial"}
    losses = {name: weight for name, weight in full_weights(config).items() if name not in others}
    for name in others & set(config.losses):
        config.losses[name] = 0.0
    config.data.flow = "none"
    return training(config, training_batch(config), load_body(), losses)


def silhouettes(side: int) -> Callable[[], object]:
    """Eight silhouettes of `side` x `side` pixels and their gradient."""
    body = load_body()
    poses = np.random.default_rng(0).normal(0, 0.2, (8, 23, 3)).astype(np.float32)
    vertices = np.asarray(
        forward(body, np.zeros((8, 10), np.float32), np.zeros((8, 3), np.float32), poses)[0]
    )
    points = (vertices[..., :2] * [1, -1] / 2.2 + 0.5).astype(np.float32) * side
    gradient = jax.jit(jax.grad(lambda x: soft_silhouette(x, body.faces, (side, side)).sum()))
    return lambda: gradient(points)


def lifting(frames: int, people: int = 1) -> Callable[[], object]:
    """From the observations of a video of `frames` frames to the motions of its people."""
    landmarks_2d, landmarks_3d, seen, *_ = (x[0] for x in observations(1, frames))
    size = np.float32([720, 1280])
    clip = Observations(landmarks_2d, landmarks_3d, seen, size, np.float32(1100), np.float32(30))
    weights, body = load_weights(), load_body()
    return lambda: [lift(clip, weights, body) for _ in range(people)]


def from_file(frames: int) -> Callable[[], object]:
    """From the sample video, of which so many frames are read, to the motion of one person."""
    return functools.partial(_reconstruct, downloads.fetch("sample_video"), max_frames=frames)


def crowd(people: int) -> Callable[[], object]:
    """From a video of 64 frames to the motions of its 1 to 4 people. Each is the sample's, in a tile of its own."""
    folder = tempfile.TemporaryDirectory(prefix="crowd-")
    (width, height), tiles = TILE, range(people)
    graph = f"[0:v]scale={width}:{height},split={people}{''.join(f'[s{n}]' for n in tiles)};"
    graph += f"color=black:size={2 * width}x{2 * height}:rate=60[c0]"
    for n in tiles:
        graph += f";[c{n}][s{n}]overlay={n % 2 * width}:{n // 2 * height}:shortest=1[c{n + 1}]"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error"]
    command += ["-i", str(downloads.fetch("sample_video")), "-filter_complex", graph, "-map", f"[c{people}]"]
    video = f"{folder.name}/video.mp4"
    subprocess.run([*command, "-frames:v", "64", "-pix_fmt", "yuv420p", video], check=True)

    def reconstruct_all():
        motions = _reconstruct(video, person="all")
        if len(motions) != people:
            raise UserError(f"{len(motions)} of {people} people were found: the tiles are too small.")

    reconstruct_all.folder = folder  # which is deleted with the function
    return reconstruct_all


def _reconstruct(video: str | os.PathLike, **options) -> object:
    """`reconstruct` without the cache of observations, and nothing is written."""
    uncached = dict(observe_cached=observe, observe_everybody_cached=observe_everybody)
    with mock.patch.multiple(cache, **uncached):
        return reconstruct(video, progress=False, **options)


def measure(curve: str, points: Iterable[int], config: str, rounds: int) -> dict:
    """The points of a curve, their CPU seconds and the slope."""
    if curve == "devices":
        seconds = [_on_fake_devices(number, config, rounds) for number in points]
    else:
        make = {
            "length": lambda frames: train_step(config, 8, frames),
            "batch": lambda clips: train_step(config, clips, 32),
            "picture": silhouettes,
            "video": lifting,
            "people": lambda people: lifting(512, people),
            "file": from_file,
            "crowd": crowd,
        }[curve]
        times = interleaved({str(point): make(point) for point in points}, rounds)
        seconds = [statistics.median(times[str(point)]["cpu"]) for point in points]
    slope = float(np.polyfit(np.log(points), np.log(seconds), 1)[0]) if len(seconds) > 1 else None
    return {"of": POINTS[curve][0], "points": list(points), "cpu_seconds": seconds, "slope": slope}


def _on_fake_devices(number: int, config: str, rounds: int) -> float:
    """CPU seconds of the step on 16 clips of 32 frames, in a process with this many CPU devices."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        command = [
            sys.executable,
            "-m",
            "benchmarks.cost",
            "--only",
            "batch",
            "--points",
            "16",
            "--config",
            config,
        ]
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={number}"
        subprocess.run(
            [*command, "--rounds", str(rounds), "--json", str(report)],
            env={**os.environ, "XLA_FLAGS": flags},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return json.loads(report.read_text())["batch"]["cpu_seconds"][0]


def show(result: dict) -> None:
    for curve in result.values():
        print_row(curve["of"], curve["points"])
        print_row("  CPU ms", [1e3 * second for second in curve["cpu_seconds"]])
        if curve["slope"] is not None:
            print_row("  slope", [curve["slope"]], decimals=2)


def plot(result: dict, path: pathlib.Path) -> None:
    """Draws a picture for each curve, both axes logarithmic, with a line of slope 1 through the last point."""
    from matplotlib.figure import Figure  # here, because it is slow to import

    columns = min(len(result), COLUMNS)
    rows = -(-len(result) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.5 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    for axes in places.flat[len(result) :]:
        axes.set_axis_off()
    for axes, curve in zip(places.flat, result.values()):
        x, y = np.array(curve["points"]), 1e3 * np.array(curve["cpu_seconds"])
        axes.loglog(x, y, "o-")
        axes.loglog(x, y[-1] * x / x[-1], ":", color="grey")
        axes.set_title(f"slope {curve['slope']:.2f}" if curve["slope"] is not None else "", fontsize=10)
        axes.set_xlabel(curve["of"].replace(", ", ",\n"), fontsize=8)
        axes.set_xticks(x, [str(point) for point in x])
        ends = [y.min(), y.max()]
        axes.set_yticks(ends, [f"{end:,.0f}" for end in ends])
        axes.minorticks_off()
    for axes in places[:, 0]:
        axes.set_ylabel("CPU ms")
    with replacing(path, "The plot") as partial:
        figure.savefig(partial, dpi=110)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=POINTS, default=[*POINTS], help="curves (default: all)")
    parser.add_argument(
        "--points", type=positive_int, nargs="+", help="of the curves (default: each curve's own)"
    )
    parser.add_argument(
        "--config", default="configs/hpof.py", help="of the training step (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=positive_int, default=5)
    parser.add_argument("--plot", type=pathlib.Path, help="also draw the curves into this PNG")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    result = {
        curve: measure(curve, options.points or POINTS[curve][1], options.config, options.rounds)
        for curve in options.only
    }
    show(result)
    if options.plot:
        plot(result, options.plot)
    return result


if __name__ == "__main__":
    main()
