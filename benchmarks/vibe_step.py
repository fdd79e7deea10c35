"""Speed of our training step against one of VIBE's kind and sizes (Kocabas et al., CVPR 2020).

    pip install torch==2.13.0
    python -m benchmarks.vibe_step --json vibe_step.json

A batch has 32 clips of 16 frames. Our step is the full recipe, with the losses on flow and silhouettes and
the adversary, at the default width and at 1,280 channels, where the encoder has as many parameters as VIBE's
widest. `benchmarks.vibe` describes VIBE's. Both bodies are of SMPL's sizes, with pose blend shapes, and both
runtimes use all cores. The steps take turns; ratios are medians over the rounds.
"""

import argparse
import os
import statistics
from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from benchmarks import timing
from benchmarks.bodies import body_with_pose_blend_shapes
from benchmarks.program import print_row, program
from benchmarks.train_step import training, training_batch
from hpof_jax.body.model import BodyModel
from hpof_jax.cli import positive_int
from hpof_jax.config_files import load_config
from hpof_jax.errors import UserError
from hpof_jax.timing import interleaved

OURS = {"ours, 256 channels": "configs/hpof.py", "ours, 1,280 channels": "configs/hpof.py:vibe_size"}
VIBES = {"VIBE": "published", "VIBE, one GRU of 2,048": "gru_2048"}
CLIPS, FRAMES = 32, 16


def training_steps(clips: int, frames: int) -> dict[str, Callable[[], object]]:
    """Functions that make one training step each.

    Raises:
      UserError: torch is not installed.
    """
    # Idle threads of torch would take the cores from JAX's. torch reads this when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from benchmarks import vibe
    except ImportError as error:
        raise UserError(f"VIBE's step needs torch ({error}): pip install torch==2.13.0") from error
    body = body_with_pose_blend_shapes()
    ways = {name: our_step(load_config(path), clips, frames, body) for name, path in OURS.items()}
    return ways | {name: vibe.training(body, clips, frames, encoder) for name, encoder in VIBES.items()}


def our_step(config: ConfigDict, clips: int, frames: int, body: BodyModel) -> Callable[[], object]:
    config.update({"batch_size": clips, "clip_length": frames})
    return training(config, training_batch(config), body)


def measure(clips: int, frames: int, rounds: int) -> dict:
    times = interleaved(training_steps(clips, frames), rounds)
    result = {"device": jax.devices()[0].device_kind, "cores": os.cpu_count(), "batch": [clips, frames]}
    for clock in ("wall", "cpu"):
        result[f"milliseconds_per_frame_{clock}"] = {
            way: 1e3 * statistics.median(time[clock]) / (clips * frames) for way, time in times.items()
        }
        result[f"faster_than_{clock}"] = {
            ours: {theirs: timing.ratio(times, theirs, ours, clock) for theirs in VIBES} for ours in OURS
        }
    rounds_ = {
        way: [1e3 * second / (clips * frames) for second in time["wall"]] for way, time in times.items()
    }
    return result | {"rounds": rounds_}


def show(result: dict) -> None:
    print("{} clips of {} frames, {} cores".format(*result["batch"], result["cores"]))
    print_row("ms/frame", ("wall clock", "CPU", "fastest", "slowest round"), width=15)
    for way, wall in result["milliseconds_per_frame_wall"].items():
        cpu, rounds = result["milliseconds_per_frame_cpu"][way], result["rounds"][way]
        print_row(way, (wall, cpu, min(rounds), max(rounds)), decimals=2, width=15)
    for ours, ratios in result["faster_than_wall"].items():
        for theirs, ratio in ratios.items():
            cpu = result["faster_than_cpu"][ours][theirs]
            print(f"{ours}: {ratio:.2f} x as fast as {theirs} ({cpu:.2f} x by CPU time)")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch-size", type=positive_int, default=CLIPS, help="clips")
    parser.add_argument("--clip-length", type=positive_int, default=FRAMES, help="frames of a clip")
    parser.add_argument("--rounds", type=positive_int, default=9)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    result = measure(options.batch_size, options.clip_length, options.rounds)
    show(result)
    return result


if __name__ == "__main__":
    main()
