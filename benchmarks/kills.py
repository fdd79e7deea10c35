"""Kills a training at random moments, resumes it, and compares it with one that was never killed.

    python -m benchmarks.kills --json kills.json
    python -m benchmarks.kills --kills 5

A checkpoint is saved in every step, so many kills hit one that is being written. The training is tiny; most of
the time goes into starting it.
"""

import argparse
import contextlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from benchmarks.program import print_row, program
from hpof_jax.cli import positive_int
from hpof_jax.errors import UserError
from hpof_jax.models.weights import load_weights

STEPS_PER_KILL = 12  # of the whole training
MOST_SAVES = 10  # between a start and a kill
CONFIG = {
    "batch_size": 8,
    "clip_length": 8,
    "model.channels": 8,
    "model.dilations": (1,),
    "model.hidden": 4,
    "losses.adversarial": 0.0,
    "log_every": 1,
    "eval_every": 0,
    "checkpoint_every": 1,
}


def start(workdir: pathlib.Path, steps: int) -> subprocess.Popen:
    """Starts the training, or resumes it; what it prints is added to `workdir`.log."""
    command = [sys.executable, "-m", "hpof_jax.train", "--config", "configs/tiny.py:no_flow"]
    command += ["--workdir", str(workdir), f"--config.num_steps={steps}"]
    command += [f"--config.{key}={value}" for key, value in CONFIG.items()]
    root = pathlib.Path(__file__).parents[1]
    with _log(workdir).open("a") as log:
        return subprocess.Popen(command, cwd=root, stderr=log)


def finish(process: subprocess.Popen, workdir: pathlib.Path) -> None:
    """Waits for the end. Raises UserError if the training failed."""
    if process.wait():
        text = _log(workdir).read_text().strip()
        raise UserError(f"The training ended with status {process.returncode}: {text[-300:]}")


def kill_at_random(
    process: subprocess.Popen, workdir: pathlib.Path, longest: float, rng: random.Random
) -> bool:
    """Kills a training up to `longest` seconds after a random one of its next saves.

    False if it was finished by then. Raises UserError if it ended by itself, but not well.
    """
    goal = newest(workdir) + rng.randint(1, MOST_SAVES)
    while process.poll() is None and newest(workdir) < goal:
        time.sleep(0.01)
    try:
        process.wait(rng.uniform(0.0, longest))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    finish(process, workdir)
    return False


def _log(workdir: pathlib.Path) -> pathlib.Path:
    return workdir.with_suffix(".log")


def newest(workdir: pathlib.Path) -> int:
    """The newest finished checkpoint, 0 if there is none."""
    names = [path.name for path in (workdir / "checkpoints").glob("*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def unfinished(workdir: pathlib.Path) -> bool:
    """Whether a checkpoint was being written when the training was killed."""
    return any(not path.name.isdecimal() for path in (workdir / "checkpoints").glob("*"))


def losses(workdir: pathlib.Path) -> dict[int, float]:
    """Step -> the total loss that was logged last for it."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    found = {}
    for line in lines:
        with contextlib.suppress(ValueError):  # a kill may cut a line
            row = json.loads(line)
            found |= {row["step"]: row["train/total"]} if "train/total" in row else {}
    return found


def measure(kills: int, longest: float, seed: int) -> dict:
    rng, steps = random.Random(seed), STEPS_PER_KILL * kills
    with tempfile.TemporaryDirectory() as folder:
        never, often = pathlib.Path(folder, "never"), pathlib.Path(folder, "often")
        finish(start(never, steps), never)
        resumed_at, during_a_save = [], 0
        while len(resumed_at) < kills and kill_at_random(start(often, steps), often, longest, rng):
            resumed_at.append(newest(often))
            during_a_save += unfinished(often)
            print_row(f"kill {len(resumed_at)}: resumes after step", [resumed_at[-1]])
        finish(start(often, steps), often)
        expected, found = (load_weights(run)[0] for run in (never, often))
        same_weights = all(jax.tree.leaves(jax.tree.map(lambda a, b: np.array_equal(a, b), expected, found)))
        same_losses = losses(never) == losses(often)
    return {
        "kills": len(resumed_at),
        "during_a_save": during_a_save,
        "steps": steps,
        "resumed_after_step": resumed_at,
        "same_weights": same_weights,
        "same_losses": same_losses,
    }


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=positive_int, default=50, help="how many (50)")
    parser.add_argument("--longest", type=float, default=0.5, help="seconds from a save to a kill (0.5)")
    parser.add_argument("--seed", type=int, default=0)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    result = measure(options.kills, options.longest, options.seed)
    print_row("kills", [result["kills"]])
    print_row("of them during a save", [result["during_a_save"]])
    print_row("weights equal to the bit", [str(result["same_weights"])])
    print_row("losses of all steps equal", [str(result["same_losses"])])
    return result


if __name__ == "__main__":
    main()
