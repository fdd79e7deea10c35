"""Speed of the temporal model alone, from landmarks to shape, pose and camera: on a batch and on one video.

    python -m benchmarks.inference --json inference.json
    python -m benchmarks.inference --weights runs/hpof

The models take turns in one process. Frames per second are by the wall clock; frames per CPU second are by
the CPU time of this process, all threads together, which other programs on the machine hardly change.
"""

import argparse
import statistics

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.program import print_row, program
from hpof_jax.body import load_body
from hpof_jax.cli import positive_int
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.weights import load_weights
from hpof_jax.timing import interleaved

SIZES = {"batch": (32, 81), "one video": (1, 512)}
MODELS = {
    "hpof": {"name": "hpof"},
    "per-frame MLP": {"name": "hpof", "kernel_size": 1},
    "mean pose": {"name": "mean_pose"},
}


def observations(clips: int, frames: int) -> tuple[np.ndarray, ...]:
    """Random arguments of `make_inputs`."""
    rng = np.random.default_rng(0)
    landmarks_2d = rng.uniform(0.3, 1, (clips, frames, 33, 3)) * [1280, 720, 1]
    landmarks_3d = rng.normal(0, 0.3, (clips, frames, 33, 3))
    there = np.ones((clips, frames), bool)
    size = np.tile(np.float32([720, 1280]), (clips, 1))
    floats = (landmarks_2d.astype(np.float32), landmarks_3d.astype(np.float32))
    return *floats, there, there, size, np.linalg.norm(size, axis=1)


def measure(weights: str | None, rounds: int) -> dict:
    body = load_body()
    if weights is None:
        models = {name: make_model(ConfigDict(fields)) for name, fields in MODELS.items()}
        params = {name: init_params(model, body, 0) for name, model in models.items()}
    else:
        trained, config = load_weights(weights)
        models, params = {"hpof": make_model(config)}, {"hpof": trained}
    ways = {}
    for name, model in models.items():
        predict = jax.jit(
            lambda p, b, *arrays, model=model: model.apply({"params": p}, make_inputs(*arrays), b)
        )
        for size, shape in SIZES.items():
            arguments = (params[name], body, *observations(*shape))
            ways[size, name] = lambda predict=predict, arguments=arguments: predict(*arguments)
    times = interleaved(ways, rounds)
    result = {"device": jax.devices()[0].device_kind}
    for size, (clips, frames) in SIZES.items():
        result[size] = {"shape": [clips, frames]}
        for name in models:
            wall, cpu = (statistics.median(times[size, name][clock]) for clock in ("wall", "cpu"))
            rates = {
                "frames_per_second": clips * frames / wall,
                "frames_per_cpu_second": clips * frames / cpu,
            }
            result[size][name] = rates | {"times_real_time": clips * frames / wall / 30.0}
    return result


def show(result: dict) -> None:
    print_row(result["device"], ("frames/s", "frames/CPU s", "x real time", "CPU, x hpof"), width=14)
    for size in SIZES:
        clips, frames = result[size]["shape"]
        own = result[size]["hpof"]["frames_per_cpu_second"]
        for name in (name for name in result[size] if name != "shape"):
            wall, cpu, real_time = result[size][name].values()
            cells = (round(wall), round(cpu), round(real_time), cpu / own)
            print_row(f"{size}, {clips} x {frames}, {name}", cells, decimals=2, width=14)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", help="a run's folder or a weights .npz (new models of the default sizes)"
    )
    parser.add_argument("--rounds", type=positive_int, default=9)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    result = measure(options.weights, options.rounds)
    show(result)
    return result


if __name__ == "__main__":
    main()
