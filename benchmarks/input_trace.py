"""Traces a few training steps, and measures in the trace how long no step ran because a batch was not there.

    python -m benchmarks.input_trace --json input_trace.json
    python -m benchmarks.input_trace --config configs/tiny.py --processes 2 --trace trace/

The steps have every loss of the config, and take their batches from the stream as a training does. `--trace` keeps the
trace: TensorBoard's profile plugin and ui.perfetto.dev show it. A wait begins when the step before has ended. On CPUs
the batches are made by the same cores that compute the steps.
"""

import argparse
import contextlib
import pathlib
import re
import tempfile
from collections.abc import Iterable

import jax
import numpy as np
from jax.profiler import ProfileData

from benchmarks.program import print_row, program
from benchmarks.train_step import full_weights, prepare
from data_pipelines import stream, workers
from data_pipelines.feed import as_dataset
from hpof_jax.body import load_body
from hpof_jax.cli import positive_int
from hpof_jax.config_files import load_config
from hpof_jax.training import parallel
from hpof_jax.training.input_wait import WAIT, Fetched
from hpof_jax.training.terms import OUTLINE_LOSSES

Spans = np.ndarray  # (N, 2) nanoseconds: where each begins and ends


def union(spans: Iterable[tuple[float, float]]) -> Spans:
    """The same time in spans that do not overlap, in order."""
    found: list[list[float]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([start, end])
    return np.array(found).reshape(-1, 2)


def gaps(spans: Spans) -> Spans:
    """The time between spans of `union`."""
    return np.stack([spans[:-1, 1], spans[1:, 0]], axis=1)


def overlap(a: Spans, b: Spans) -> Spans:
    """The time that is in both; a and b are spans of `union`."""
    starts = np.maximum(a[:, None, 0], b[None, :, 0])
    ends = np.minimum(a[:, None, 1], b[None, :, 1])
    return np.stack([starts[starts < ends], ends[starts < ends]], axis=1)


def length(spans: Spans) -> float:
    return float((spans[:, 1] - spans[:, 0]).sum())


def analyse(profile: ProfileData, module: str) -> dict[str, float]:
    """How long the devices had nothing of the step `module` to do; of several devices, the worst counts.

    Returns:
      seconds: from the first operation to the last. running: share in which an operation ran. waiting: share in which
      none ran and the host waited for a batch. longest_wait: seconds of the longest such span.
    """
    operations: dict[str, list[tuple[float, float]]] = {}
    waits = []
    for plane in profile.planes:
        for line in plane.lines:
            for event in line.events:
                span = event.start_ns, event.start_ns + event.duration_ns
                if event.name == WAIT:
                    waits.append(span)
                elif dict(event.stats).get("hlo_module") == module:
                    operations.setdefault(plane.name, []).append(span)
    found = []
    for spans in operations.values():
        running = union(spans)
        idle = overlap(gaps(running), union(waits))
        whole = float(running[-1, 1] - running[0, 0])
        found.append(
            {
                "seconds": whole / 1e9,
                "running": length(running) / whole,
                "waiting": length(idle) / whole,
                "longest_wait": float((idle[:, 1] - idle[:, 0]).max(initial=0.0)) / 1e9,
            }
        )
    return max(found, key=lambda one: one["waiting"])


def measure(options: argparse.Namespace) -> dict:
    config = load_config(options.config)
    config.batch_size = options.batch_size or config.batch_size
    config.clip_length = options.clip_length or config.clip_length
    settings = stream.StreamOptions(
        config.batch_size,
        config.clip_length,
        flow=config.data.flow if OUTLINE_LOSSES & full_weights(config).keys() else "none",
        flow_frames=config.data.flow_frames,
        real_motion="adversarial" in full_weights(config),
    )
    with contextlib.ExitStack() as stack:
        recipe = {"synthetic": 1.0}, settings
        make = stream.batch_maker(*recipe)
        step, state, placed = prepare(config, make(0), load_body())
        module = re.search(r"module @(\w+)", step.lower(state, placed).as_text())[1]
        if options.processes:
            make = workers.Ahead(stream.batch_maker, recipe, options.processes)
            stack.callback(make.close)
        batches = Fetched(as_dataset(make, 1).as_numpy_iterator())
        stack.callback(batches.close)
        folder = options.trace or stack.enter_context(tempfile.TemporaryDirectory())
        logs = None
        for number in range(-2, options.steps):
            if number == 0:
                jax.block_until_ready(logs)
                how = jax.profiler.ProfileOptions()
                how.python_tracer_level = 0
                jax.profiler.start_trace(folder, profiler_options=how)
            with jax.profiler.StepTraceAnnotation("train", step_num=number):
                batch = batches.take(logs)
                state, logs = step(state, parallel.place(parallel.cut(batch)))
        jax.block_until_ready(logs)
        jax.profiler.stop_trace()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        return {"steps": options.steps, **analyse(ProfileData.from_file(str(path)), module)}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="configs/hpof.py", help="default: %(default)s")
    parser.add_argument("--batch-size", type=positive_int, help="clips (default: the config's)")
    parser.add_argument("--clip-length", type=positive_int, help="frames (default: the config's)")
    parser.add_argument("--steps", type=positive_int, default=10, help="that are traced (10)")
    parser.add_argument("--processes", type=int, default=0, help="that make batches; 0: a thread (0)")
    parser.add_argument("--trace", type=pathlib.Path, help="a new folder that keeps the trace")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    result = measure(options)
    print_row("traced seconds", [result["seconds"]], decimals=2)
    print_row("% in which a step runs", [100 * result["running"]], decimals=1)
    print_row("% in which none runs for lack of a batch", [100 * result["waiting"]], decimals=2)
    print_row("longest wait, ms", [1e3 * result["longest_wait"]], decimals=1)
    return result


if __name__ == "__main__":
    main()
