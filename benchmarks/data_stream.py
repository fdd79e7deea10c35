"""Speed of the training stream on one core, and how wrong its detector is.

    python -m benchmarks.data_stream --json data_stream.json
    python -m benchmarks.data_stream --source synthetic --source bvh:recordings/

Times are process time (all threads), so that other programs on the machine do not count: frames / CPU second.
"""

import argparse
import itertools
import statistics

import jax
import numpy as np

from benchmarks import timing
from benchmarks.detector_errors import PERCENTILES, detector_errors, table
from benchmarks.program import positive, program
from data_pipelines import stream
from data_pipelines.motion.augment import Augmentation, augment
from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.sources import open_source
from hpof_jax.body.files import load_body


def measure(sources: dict[str, float], batch_size: int, clip_length: int, rounds: int) -> dict:
    body = load_body()
    options = stream.StreamOptions(batch_size, clip_length, body=body)
    make = stream.batch_maker(sources, options)
    opened = {spec: open_source(spec, "train") for spec in sources}
    rng = np.random.default_rng(0)
    simulator = stream.Simulator(body, DetectorNoise())
    one = next(iter(opened.values())).draw_windows(rng, batch_size, clip_length, Augmentation())
    steps, betas = itertools.count(), np.zeros((batch_size, 10))
    stages = {
        f"read {spec}": lambda source=source: source.draw_windows(
            rng, batch_size, clip_length, Augmentation()
        )
        for spec, source in opened.items()
    }
    stages["augment"] = lambda: augment(rng, one.pose, one.transl)
    stages["camera and detector"] = lambda: simulator(next(steps), one.pose, one.transl, betas)
    times = timing.interleaved(stages | {"batch": lambda: make(next(steps))}, rounds)
    # By itself: it makes batches ahead, in other ways' turns too.
    batches = stream.make_stream(sources, options).as_numpy_iterator()
    times |= timing.interleaved({"tf.data": lambda: next(batches)}, rounds)
    seconds = {way: statistics.median(spent["cpu"]) for way, spent in times.items()}
    frames = batch_size * clip_length
    result = {
        "frames_per_cpu_second": frames / seconds["batch"],
        "frames_per_cpu_second_tf_data": frames / seconds["tf.data"],
        "batch_ms": 1e3 * seconds["batch"],
        "stages_ms": {stage: 1e3 * seconds[stage] for stage in stages},
    }

    errors = [detector_errors(make(step), body) for step in range(4)]
    errors = {key: np.concatenate([e[key] for e in errors]) for key in errors[0]}
    result["detector"] = {
        key: dict(zip(map(str, PERCENTILES), np.nanpercentile(value, PERCENTILES).tolist()))
        for key, value in errors.items()
    }
    return result | {"table": table(errors)}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", action="append", help="default: synthetic; may be repeated, in equal shares"
    )
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--clip-length", type=int, default=81)
    parser.add_argument("--rounds", type=positive, default=7)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    sources = dict.fromkeys(options.source or ["synthetic"], 1.0)
    result = measure(sources, options.batch_size, options.clip_length, options.rounds)
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
    return result


if __name__ == "__main__":
    main()
