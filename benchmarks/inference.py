"""Speed of the temporal model alone: from landmarks to shape, pose and camera, in a batch and for one video.

    python -m benchmarks.inference --json inference.json
    python -m benchmarks.inference --weights runs/hpof

All ways take turns in one process. Beside the wall clock stands process time (all threads), which other programs on
the machine do not touch.
"""

import argparse
import statistics

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import timing
from benchmarks.program import positive, program
from hpof_jax.body import load_body
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.weights import load_weights

SIZES = {"batch": (32, 81), "one video": (1, 512)}
MODELS = {
    "hpof": {"name": "hpof"},
    "per-frame MLP": {"name": "hpof", "kernel_size": 1},
    "mean pose": {"name": "mean_pose"},
}


def observations(clips: int, frames: int) -> tuple[np.ndarray, ...]:
    """What `make_inputs` takes, made up."""
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
    times = timing.interleaved(ways, rounds)
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
    print(f"{result['device']:32}{'frames/s':>12}{'frames/CPU s':>14}{'x 30 fps':>10}{'x hpof, CPU':>13}")
    for size in SIZES:
        own = result[size]["hpof"]["frames_per_cpu_second"]
        for name, rates in result[size].items():
            if name != "shape":
                label = f"{size} {tuple(result[size]['shape'])}, {name}"
                every, cpu, real = rates.values()
                print(f"{label:32}{every:12,.0f}{cpu:14,.0f}{real:10.0f}{cpu / own:13.2f}")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", help="a run's folder or a weights .npz; fresh default models without")
    parser.add_argument("--rounds", type=positive, default=9)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    result = measure(options.weights, options.rounds)
    show(result)
    return result


if __name__ == "__main__":
    main()
