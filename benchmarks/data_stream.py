"""Speed of the training stream on one core, and how wrong its detector is.

    python -m benchmarks.data_stream --json data_stream.json
    python -m benchmarks.data_stream --source synthetic --source bvh:recordings/

Times are process time (all threads), so that other programs on the machine do not count: frames / CPU second.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import jax
import numpy as np

from benchmarks.detector_errors import PERCENTILES, detector_errors, table
from data_pipelines import stream
from data_pipelines.motion.augment import Augmentation, augment
from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.sources import open_sources
from hpof_jax.body.files import load_body
from hpof_jax.errors import UserError


def cpu_seconds(function, rounds: int) -> float:
    """Median process time of a call, after one for warming up."""
    function(0)
    times = []
    for round_ in range(1, rounds + 1):
        start = time.process_time()
        function(round_)
        times.append(time.process_time() - start)
    return statistics.median(times)


def measure(sources: dict[str, float], batch_size: int, clip_length: int, rounds: int) -> dict:
    body = load_body()
    frames = batch_size * clip_length
    make = stream.batch_maker(sources, batch_size, clip_length, seed=0, body=body)
    whole = cpu_seconds(make, rounds)
    result = {"frames_per_cpu_second": frames / whole, "batch_ms": 1e3 * whole, "stages_ms": {}}

    drawers, _ = open_sources(sources, "train")
    rng = np.random.default_rng(0)
    windows = {}
    for spec, drawer in zip(sources, drawers):

        def draw(_, drawer=drawer, spec=spec):
            windows[spec] = drawer.draw(rng, batch_size, clip_length, Augmentation())

        result["stages_ms"][f"read {spec}"] = 1e3 * cpu_seconds(draw, rounds)
    one = windows[next(iter(windows))]
    result["stages_ms"]["augment"] = 1e3 * cpu_seconds(lambda _: augment(rng, one.pose, one.transl), rounds)
    film = stream._Filming(body, DetectorNoise())
    betas = np.zeros((batch_size, 10))
    simulating = cpu_seconds(lambda seed: film(seed, one.pose, one.transl, betas), rounds)
    result["stages_ms"]["camera and detector"] = 1e3 * simulating

    batches = stream.make_stream(sources, batch_size, clip_length, seed=0, body=body).as_numpy_iterator()
    result["frames_per_cpu_second_tf_data"] = frames / cpu_seconds(lambda _: next(batches), rounds)

    errors = [detector_errors(make(step), body) for step in range(4)]
    errors = {key: np.concatenate([e[key] for e in errors]) for key in errors[0]}
    result["detector"] = {
        key: dict(zip(map(str, PERCENTILES), np.nanpercentile(value, PERCENTILES).tolist()))
        for key, value in errors.items()
    }
    return result | {"table": table(errors)}


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", action="append", help="default: synthetic; may be repeated, in equal shares"
    )
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--clip-length", type=int, default=81)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there")
    options = parser.parse_args(arguments)
    sources = dict.fromkeys(options.source or ["synthetic"], 1.0)
    try:
        result = measure(sources, options.batch_size, options.clip_length, options.rounds)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    result |= {"sources": list(sources), "jax": jax.__version__}
    print(
        f"{result['frames_per_cpu_second']:,.0f} frames a CPU second, {result['batch_ms']:.0f} ms a batch",
        end="; ",
    )
    print(f"through tf.data {result['frames_per_cpu_second_tf_data']:,.0f}")
    for name, milliseconds in result["stages_ms"].items():
        print(
            f"  {name:32} {milliseconds:7.1f} ms  {100 * milliseconds / result['batch_ms']:4.0f} % of a batch"
        )
    print(result.pop("table"))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
