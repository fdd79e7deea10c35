"""Speed of the training stream, of each of its stages, and the errors of its simulated detector.

    python -m benchmarks.data_stream --json data_stream.json
    python -m benchmarks.data_stream --source synthetic --source bvh:recordings/
    python -m benchmarks.data_stream --processes 0 1 2 --rounds 20

Times are CPU times of this process, all threads together, which other programs on the machine hardly change.
`--processes` measures instead, by the wall clock, how fast batches come from so many processes; 0 is the training's own
thread.
"""

import argparse
import dataclasses
import itertools
import statistics
import time

import jax
import numpy as np

from benchmarks import detector_errors
from benchmarks.program import print_row, program
from data_pipelines import stream, workers
from data_pipelines.feed import AHEAD, as_dataset
from data_pipelines.motion.augment import Augmentation, augment
from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.sources import open_source
from hpof_jax.body import load_body
from hpof_jax.cli import positive_int
from hpof_jax.timing import interleaved


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
    more = {"real_motion": True}, {"real_motion": True, "flow": "noisy"}
    more = [stream.batch_maker(sources, dataclasses.replace(options, **changes)) for changes in more]
    stages["batch with real motion"] = lambda: more[0](next(steps))
    stages["batch with real motion and flow"] = lambda: more[1](next(steps))
    times = interleaved(stages | {"batch": lambda: make(next(steps))}, rounds)
    # By itself, because its threads make batches in advance: during the turns of others, too.
    batches = stream.make_stream(sources, options).as_numpy_iterator()
    times |= interleaved({"tf.data": lambda: next(batches)}, rounds)
    seconds = {way: statistics.median(spent["cpu"]) for way, spent in times.items()}
    frames = batch_size * clip_length
    errors = [detector_errors.detector_errors(make(step), body) for step in range(detector_errors.BATCHES)]
    return {
        "frames_per_cpu_second": frames / seconds["batch"],
        "frames_per_cpu_second_tf_data": frames / seconds["tf.data"],
        "batch_ms": 1e3 * seconds["batch"],
        "stages_ms": {stage: 1e3 * seconds[stage] for stage in stages},
        "detector": detector_errors.percentiles(errors),
        "sources": list(sources),
        "jax": jax.__version__,
    }


def measure_processes(
    sources: dict[str, float], options: stream.StreamOptions, counts: list[int], rounds: int
) -> dict:
    """Frames/s of each number of processes; each makes `rounds` batches twice, in turns, and the faster turn counts."""
    rates = dict.fromkeys(counts, 0.0)
    for count in [*counts, *counts]:
        recipe = sources, options
        make = workers.Ahead(stream.batch_maker, recipe, count) if count else stream.batch_maker(*recipe)
        batches = as_dataset(make, 1).as_numpy_iterator()
        for _ in range(2 + AHEAD + 2 * count):  # those that are made ahead
            next(batches)
        start = time.perf_counter()
        for _ in range(rounds):
            next(batches)
        rate = rounds * options.batch_size * options.clip_length / (time.perf_counter() - start)
        rates[count] = max(rates[count], rate)
        if count:
            make.close()
    return {"frames_per_second": rates, "flow": options.flow}


def show(result: dict) -> None:
    print_row("", ("ms", "frames/CPU s", "% of a batch"), width=14)
    print_row("batch", (result["batch_ms"], result["frames_per_cpu_second"]), width=14)
    print_row("batch, through tf.data", ("", result["frames_per_cpu_second_tf_data"]), width=14)
    for name, milliseconds in result["stages_ms"].items():
        print_row(name, (milliseconds, "", 100 * milliseconds / result["batch_ms"]), width=14)
    print("Errors of the detector")
    detector_errors.show(result["detector"])


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", action="append", help="default: synthetic; may be repeated, in equal shares"
    )
    parser.add_argument("--batch-size", type=positive_int, default=64, help="clips")
    parser.add_argument("--clip-length", type=positive_int, default=81, help="frames of a clip")
    parser.add_argument("--processes", type=int, nargs="+", help="numbers of processes that make batches")
    parser.add_argument("--flow", action="store_true", help="with --processes: batches have optical flow")
    parser.add_argument("--rounds", type=positive_int, default=7)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    sources = dict.fromkeys(options.source or ["synthetic"], 1.0)
    if options.processes is not None:
        flow = dict(flow="noisy", flow_frames=8) if options.flow else {}
        batch = stream.StreamOptions(options.batch_size, options.clip_length, real_motion=True, **flow)
        result = measure_processes(sources, batch, options.processes, options.rounds)
        print_row("processes", ["frames/s"])
        for count, rate in result["frames_per_second"].items():
            print_row(str(count), [rate], decimals=0)
        return result
    result = measure(sources, options.batch_size, options.clip_length, options.rounds)
    show(result)
    return result


if __name__ == "__main__":
    main()
