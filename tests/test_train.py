import json
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from configs import tiny
from hpof_jax import train
from hpof_jax.errors import UserError
from hpof_jax.models.build import make_model
from hpof_jax.models.weights import load_weights
from hpof_jax.training import checkpoint, parallel, state

ROOT = pathlib.Path(__file__).parents[1]
STEPS, STOP = 12, 5
# The smallest that still has every part, as it is given on the command line.
SMALL = {
    "clip_length": 8,
    "num_steps": STEPS,
    "model.channels": 8,
    "model.dilations": (1,),
    "model.hidden": 4,
    "optimizer.warmup_steps": 2,
    "optimizer.learning_rate": 1e-2,
    "data.hide_3d": 0.5,
    "adversary.channels": 8,
    "adversary.ramp": (2, 6),
    "log_every": 3,
    "eval_every": 6,
    "eval_frames": 16,
    "eval_synthetic_clips": 4,
    "checkpoint_every": 4,
}


def config(**changes):
    made = tiny.get_config("adversarial")
    made.update_from_flattened_dict(SMALL | changes)
    return made


class Run:
    """A whole training, and beside it one that a SIGTERM stops after step 5 and the same command goes on with."""

    def __init__(self, folder, monkeypatch):
        self.whole, self.stopped = folder / "whole", folder / "stopped"
        self.metrics = train.train(config(), self.whole)
        cut, calls = parallel.cut, []

        def cut_and_stop(batch):
            calls.append(1)
            if len(calls) == STOP:
                signal.raise_signal(signal.SIGTERM)
            return cut(batch)

        with monkeypatch.context() as patch:
            patch.setattr(parallel, "cut", cut_and_stop)
            with pytest.raises(SystemExit) as stop:
                train.train(config(), self.stopped)
        self.status = stop.value.code
        self.saved = sorted(int(path.name) for path in (self.stopped / "checkpoints").iterdir())
        train.train(config(), self.stopped)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return Run(tmp_path_factory.mktemp("train"), monkeypatch)


def logged(workdir, key):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line[key] for line in lines if key in line}


def newest(workdir):
    made = config()
    model = make_model(made.model)
    optimizer = state.make_optimizer(made.optimizer, made.num_steps)
    template = state.init_state(model, train.load_body(), optimizer, 0, state.make_adversary(made))
    return jax.device_get(checkpoint.Checkpointer(workdir).restore(template))


def test_the_loss_falls_and_is_logged(run):
    losses = logged(run.whole, "train/total")
    assert list(losses) == [3, 6, 9, 12]
    assert losses[12] < 0.98 * losses[3]  # the adversary's part rises meanwhile
    for name in (*config().losses, "discriminator", "accuracy_motion", "gradient_norm", "frames_per_second"):
        assert np.isfinite([*logged(run.whole, f"train/{name}").values()]).all()
    measured = logged(run.whole, "validation/pa_mpjpe")
    assert list(measured) == [6, 12]
    assert measured[12] == run.metrics["pa_mpjpe"] and 1 < measured[12] < 1000
    assert run.metrics["clips"] == 4 and run.metrics["frames"] == 4 * 16


def test_the_files_of_a_run(run):
    names = {path.name for path in run.whole.iterdir()}
    assert {"checkpoints", "metrics.jsonl", "weights.npz"} <= names
    events = [path for path in run.whole.iterdir() if ".tfevents." in path.name]
    assert len(events) == 1 and events[0].stat().st_size > 1000
    assert {int(path.name) for path in (run.whole / "checkpoints").iterdir()} == {4, 8, 12}
    params, _ = load_weights(run.whole / "weights.npz")
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(newest(run.whole).ema), strict=True):
        np.testing.assert_array_equal(a, b)


def test_stopping_and_going_on_gives_the_same_bits(run):
    assert run.status == 128 + signal.SIGTERM
    assert run.saved == [4, STOP]
    never, stopped = newest(run.whole), newest(run.stopped)
    assert int(never.step) == int(stopped.step) == STEPS
    for a, b in zip(jax.tree.leaves(never), jax.tree.leaves(stopped), strict=True):
        np.testing.assert_array_equal(a, b)
    assert logged(run.whole, "train/total")[12] == logged(run.stopped, "train/total")[12]


def test_a_finished_run_is_left_as_it_is(run):
    before = (run.whole / "metrics.jsonl").read_text()
    train.train(config(), run.whole)
    assert (run.whole / "metrics.jsonl").read_text() == before


def test_starting_from_weights(run, tmp_path):
    started = config(
        initial_weights=str(run.whole / "weights.npz"), num_steps=1, **{"optimizer.learning_rate": 0.0}
    )
    train.train(started, tmp_path)
    for a, b in zip(
        jax.tree.leaves(newest(tmp_path).params), jax.tree.leaves(newest(run.whole).ema), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-7)
    with pytest.raises(UserError, match="of another config"):
        train.train(config(initial_weights="shipped"), tmp_path / "other")


def test_the_workdir_of_another_config(run):
    with pytest.raises(UserError, match="is of another config"):
        train.train(config(**{"model.channels": 16}), run.whole)


def test_a_loss_that_is_not_finite_stops_the_run(run, tmp_path, monkeypatch):
    cut = parallel.cut
    monkeypatch.setattr(parallel, "cut", lambda b: cut(b | {"landmarks_3d": b["landmarks_3d"] * np.nan}))
    with pytest.raises(UserError, match=r"not finite at step 3: lower --config\.optimizer\.learning_rate"):
        train.train(config(), tmp_path)
    assert not any((tmp_path / "checkpoints").iterdir())


def test_sigterm_ends_the_program_with_its_status_and_a_word_how_to_go_on(run, tmp_path):
    """`run` has compiled the programs that this one needs."""
    command = [sys.executable, "-m", "hpof_jax.train", "--config", "configs/tiny.py:adversarial"]
    command += ["--workdir", tmp_path, *(f"--config.{key}={value}" for key, value in SMALL.items())]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            lines.append(line)
            if "parameters, 8 devices" in line:  # it listens, and its first step is still to come
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM, "".join(lines)
    assert "the same command goes on from there" in lines[-1]
    step = int(lines[-1].split("stopped at step ")[1].split(",")[0])
    assert checkpoint.Checkpointer(tmp_path).latest_step() == step >= 1
    logged = [line for line in lines if ".py:" in line]
    assert all("train.py:" in line for line in logged), "other packages' lines are between ours"


def started(capsys, *arguments):
    """Standard error's one line and the exit status of the program with these arguments."""
    with flagsaver.flagsaver(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *map(str, arguments)])
        patch.chdir(ROOT)
        with pytest.raises(SystemExit) as stop:
            train.main()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0], stop.value.code


TINY = ("--config", "configs/tiny.py")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["--config configs/hpof.py"]),
        ((*TINY, "--config.nope=1"), ["nope"]),
        ((*TINY, "--config.batch_size=many"), ["batch_size", "many"]),
        ((*TINY, "--config.batch_size=0"), ["batch_size is 0"]),
        ((*TINY, "--config.batch_size=12"), ["12 clips", "8 devices", "--config.batch_size"]),
        ((*TINY, "--config.data.synthetic=0"), ["names no motion", "--config.data.bvh"]),
        ((*TINY, "--config.model.name=nope"), ["no model 'nope'"]),
        (("--config", "configs/absent.py"), ["configs/absent.py"]),
        (("--config", "configs/hpof.py:nope"), ["nope", "mean_pose"]),
        ((*TINY, "--nope"), ["nope"]),
    ],
    ids=lambda x: " ".join(x)[-28:] if isinstance(x, tuple) else "",
)
def test_a_wrong_start_ends_in_one_sentence(capsys, tmp_path, arguments, words):
    line, status = started(capsys, "--workdir", tmp_path / "run", *arguments)
    assert status == 2
    for word in words:
        assert word in line
    assert len(line) < 400 and "Traceback" not in line
    assert not (tmp_path / "run").exists()


def test_a_config_file_that_is_not_python(capsys, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config(:\n")
    line, status = started(capsys, "--config", broken)
    assert status == 2 and "broken.py" in line
