"""Two real processes on this machine train together; one is killed, one raises, and one or both get SIGTERM."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.models.weights import load_weights
from hpof_jax.training import processes
from hpof_jax.training.checkpoint import Checkpointer

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 6
CONFIG = {
    "batch_size": 4,
    "clip_length": 8,
    "num_steps": STEPS,
    "model.channels": 8,
    "model.dilations": (1,),
    "model.hidden": 4,
    "optimizer.warmup_steps": 2,
    "adversary.channels": 8,
    "losses.adversarial": 0.0,
    "data.shards": 2,
    "log_every": 1,
    "eval_every": STEPS,
    "eval_frames": 16,
    "eval_synthetic_clips": 3,  # processes have unequal shares
    "checkpoint_every": 2,
}
# Trains, and does something to this process when it has the batch of a step.
PROGRAM = """
import os, signal, sys
from hpof_jax import train
from hpof_jax.training import parallel
stop, what = int(sys.argv.pop(1)), sys.argv.pop(1)
plain, calls = parallel.cut, []
def cut(batch):
    calls.append(1)
    if len(calls) == stop and what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if len(calls) == stop and what == "raise":
        raise AssertionError("a defect")
    if len(calls) == stop and what == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    return plain(batch)
parallel.cut = cut
train.main()
"""


def begin(workdir, devices, *flags, stop=0, what="none"):
    """Starts a training process, which stops in the step `stop` after its start."""
    command = [sys.executable, "-c", PROGRAM, str(stop), what, "--config", "configs/tiny.py:no_flow"]
    command += ["--workdir", str(workdir), *(f"--config.{key}={value}" for key, value in CONFIG.items())]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    return subprocess.Popen([*command, *flags], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def end(process):
    """Exit status and standard error."""
    _, text = process.communicate()
    return process.returncode, text


def together(workdir, *more, **stops):
    """Two processes with one device each; what both return. more: flags of both. stops: of the process 0 or 1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--distributed", f"--coordinator=127.0.0.1:{port}", "--num-processes=2", *more]
    started = [
        begin(workdir, 1, *flags, f"--process-id={n}", **stops.get(f"process_{n}", {})) for n in (0, 1)
    ]
    return [end(process) for process in started]


def logged(workdir):
    """Step -> its last log of losses and metrics."""
    found = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        row.pop("train/frames_per_second", None)
        row.pop("train/input_wait", None)
        found.setdefault(row["step"], {}).update(row)
    return found


def errors(text):
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder with the runs of two processes, of one with two devices, and of one with one."""
    folder = tmp_path_factory.mktemp("processes")
    for devices in (2, 1):
        status, text = end(begin(folder / f"devices_{devices}", devices))
        assert status == 0, text
    return folder


@pytest.mark.slow
def test_two_processes_are_killed_and_resumed_and_train_like_two_devices(runs):
    workdir = runs / "processes"
    (status, text), (killed, _) = together(workdir, process_1={"stop": 4, "what": "kill"})
    assert killed == -9
    assert status == processes.LOST, text
    assert len(errors(text)) == 1 and "has ended: start the same command on all machines again" in text
    assert "Traceback" not in text and "stack trace" not in text
    (failed, defect), (status, text) = together(workdir, process_0={"stop": 2, "what": "raise"})
    assert failed == 1 and "AssertionError: a defect" in defect
    assert status == processes.LOST, text
    assert len(errors(text)) == 1 and "Traceback" not in text and "stack trace" not in text
    for status, text in together(workdir):
        assert status == 0, text

    expected, found = logged(runs / "devices_2"), logged(workdir)
    assert [*found] == [*range(1, STEPS + 1)]
    for step in found:
        for name, value in expected[step].items():
            same = name if name.startswith("train/") else None
            if same:
                assert found[step][name] == value, (step, name)
            else:
                assert found[step][name] == pytest.approx(value, rel=1e-5, abs=1e-6), (step, name)
    for a, b in zip(
        *(jax.tree.leaves(load_weights(run)[0]) for run in (runs / "devices_2", workdir)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_one_device_trains_nearly_like_two(runs):
    """Sums over the batch are added in another order; Adam magnifies that where a gradient is nearly 0."""
    one, two = logged(runs / "devices_1"), logged(runs / "devices_2")
    for step in one:
        assert one[step]["train/total"] == pytest.approx(two[step]["train/total"], rel=1e-4)
        if "validation/pa_mpjpe" in one[step]:
            assert one[step]["validation/clips"] == 3
            assert one[step]["validation/pa_mpjpe"] == pytest.approx(
                two[step]["validation/pa_mpjpe"], rel=1e-4
            )


@pytest.mark.slow
def test_after_a_sigterm_all_processes_save_the_same_step_and_a_second_run_goes_on(tmp_path):
    """JAX looks for the signal once a second: the training must take longer than that."""
    signalled = {"stop": 3, "what": "terminate"}
    flags = ["--config.num_steps=1000000", "--config.log_every=1000000", "--config.checkpoint_every=1000000"]
    saved = [0]
    for stops in ({"process_1": signalled}, {"process_0": signalled, "process_1": signalled}):
        steps = set()
        for status, text in together(tmp_path, *flags, "--config.eval_every=0", **stops):
            assert status == 128 + signal.SIGTERM and not errors(text), text
            steps.add(int(re.search(r"stopped at step (\d+), saved in", text)[1]))
        assert steps == {Checkpointer(tmp_path).latest_step()} and min(steps) > saved[-1]
        saved += steps


def test_with_one_process_nothing_is_waited_for():
    processes.wait_for_all("alone")
    assert processes.gather({"a": 1}) == [{"a": 1}]
    processes.check_equal({"a": (1, 2)})
    with pytest.raises(KeyError), processes.watched():
        raise KeyError


def test_processes_that_differ(monkeypatch):
    monkeypatch.setattr(processes, "gather", lambda value: [value, value | {"batch_size": 16}])
    with pytest.raises(UserError, match="Process 1 has batch_size 16 and process 0 has 8: start all with"):
        processes.check_equal({"seed": 0, "batch_size": 8})
