import functools
import json
import pathlib
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from benchmarks.small_bvh import CHANNELS, bvh_text
from configs import hpof, tiny
from data_pipelines import stream, workers
from data_pipelines.datasets import prepare
from data_pipelines.observed.prepared import PreparedClips
from data_pipelines.observed.rendered import clip_path, write_clip
from hpof_jax import train
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.models.build import make_model
from hpof_jax.models.weights import load_weights
from hpof_jax.train_data import data_sources
from hpof_jax.training import checkpoint, parallel, state, steps
from tests.data_pipelines.datasets import miniatures
from tests.data_pipelines.datasets.conftest import FakeNet

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

ROOT = pathlib.Path(__file__).parents[1]
STEPS, STOPS = 12, (2, 5)  # the adversary comes in with step 4
# The smallest config that still has every part, as flags give it.
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
    "ramps.adversarial": (0.25, 0.5),
    "log_every": 3,
    "eval_every": 6,
    "eval_frames": 16,
    "eval_synthetic_clips": 4,
    "checkpoint_every": 4,
}


def config(**changes):
    made = tiny.get_config("no_flow")
    made.update_from_flattened_dict(SMALL | changes)
    return made


class Run:
    """A whole training, and another that SIGTERM stops twice and the same command resumes.

    The first stop is before the adversary comes in, the second while its loss weight rises.
    """

    def __init__(self, folder, monkeypatch):
        self.whole, self.stopped = folder / "whole", folder / "stopped"
        self.metrics = train.train(config(), self.whole)
        cut, calls = parallel.cut, []

        def cut_and_stop(batch):
            calls.append(1)
            if len(calls) in STOPS:
                signal.raise_signal(signal.SIGTERM)
            return cut(batch)

        with monkeypatch.context() as patch:
            patch.setattr(parallel, "cut", cut_and_stop)
            for _ in STOPS:
                with pytest.raises(SystemExit) as stop:
                    train.train(config(), self.stopped)
        self.status = stop.value.code
        self.saved = sorted(int(path.name) for path in (self.stopped / "checkpoints").iterdir())
        train.train(config(), self.stopped)


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    """Runs of the same config share their compiled training steps: tracing them takes most of a run's time."""
    made, plain_train, plain_make = {}, train.train, steps.make_train_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "pmap_step", functools.cache(parallel.pmap_step))

        def train_with_step(config, workdir):
            parts = (
                config.model,
                config.losses,
                config.ramps,
                config.optimizer,
                config.adversary,
                config.num_steps,
                config.seed,
            )
            key = str((*parts, config.batch_size, config.clip_length, config.data.hide_3d, config.data.flow))

            def make(model, body, optimizer, loss_weights, **options):
                names = (key, *loss_weights)
                if names not in made:
                    made[names] = plain_make(model, body, optimizer, loss_weights, **options)
                return made[names]

            patch.setattr(steps, "make_train_step", make)
            return plain_train(config, workdir)

        patch.setattr(train, "train", train_with_step)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return Run(tmp_path_factory.mktemp("train"), monkeypatch)


def logged(workdir, key):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line[key] for line in lines if key in line}


def newest(workdir):
    """The state in the newest checkpoint of a run of `config()`."""
    made = config()
    model, adversary = make_model(made.model), state.make_adversary(made)
    optimizer = state.make_optimizer(made.optimizer, made.num_steps)
    body = load_body()
    template = jax.eval_shape(lambda: state.init_state(model, body, optimizer, 0, adversary))
    return jax.device_get(checkpoint.Checkpointer(workdir).restore(template))


def test_the_loss_falls_and_is_logged(run):
    losses = logged(run.whole, "train/total")
    assert list(losses) == [3, 6, 9, 12]
    assert losses[12] < 0.98 * losses[3]  # although the adversary's loss weight rises
    for name in (
        *hpof.BASE_LOSSES,
        "adversarial",
        "discriminator",
        "accuracy_motion",
        "gradient_norm",
        "frames_per_second",
    ):
        values = logged(run.whole, f"train/{name}")
        late = name.startswith(("adversarial", "discriminator", "accuracy"))
        assert [*values] == ([6, 9, 12] if late else [3, 6, 9, 12])
        assert np.isfinite([*values.values()]).all()
    waits = logged(run.whole, "train/input_wait")
    assert [*waits] == [3, 6, 9, 12] and all(0 <= share <= 1 for share in waits.values())
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


def test_a_stopped_and_resumed_run_gives_the_same_bits(run):
    assert run.status == 128 + signal.SIGTERM
    assert run.saved == [STOPS[0], 4, STOPS[1]]
    never, stopped = newest(run.whole), newest(run.stopped)
    assert int(never.step) == int(stopped.step) == STEPS
    for a, b in zip(jax.tree.leaves(never), jax.tree.leaves(stopped), strict=True):
        np.testing.assert_array_equal(a, b)
    assert logged(run.whole, "train/total")[12] == logged(run.stopped, "train/total")[12]


def test_a_finished_run_is_not_changed(run):
    before = (run.whole / "metrics.jsonl").read_text()
    train.train(config(), run.whole)
    assert (run.whole / "metrics.jsonl").read_text() == before


def test_each_phase_has_its_own_step_and_the_batches_that_it_needs(tmp_path, monkeypatch, caplog):
    """The steps do nothing here but note their batches, which are made as if by other processes."""
    noted, closed = [], []

    class Ahead:
        def __init__(self, build, arguments, processes):
            self._make = build(*arguments)

        def __call__(self, step):
            return self._make(step)

        def close(self):
            closed.append(self)

    def pmap_step(step):
        number = len(noted)

        def note(state, batch):
            noted.append((number, "real_pose" in batch, "flow" in batch, batch["betas"]))
            with jax.transfer_guard("allow"):
                state = state.replace(step=state.step + 1)
            return state, {"total": np.float32(1.0), "skipped": np.float32(0.0)}

        return note

    monkeypatch.setattr(parallel, "pmap_step", pmap_step)
    monkeypatch.setattr(workers, "Ahead", Ahead)
    made = tiny.get_config()
    made.update_from_flattened_dict(
        SMALL | {"num_steps": 5, "ramps.adversarial": (0.2, 0.6), "eval_every": 0, "data.processes": 1}
    )
    caplog.set_level("INFO")
    train.train(made, tmp_path)
    assert [row[:3] for row in noted] == [
        (0, False, False),
        (1, True, False),
        (1, True, False),
        (3, True, True),
        (3, True, True),
    ]
    assert len(closed) == 3
    compiled = [r.getMessage() for r in caplog.records if "compiling" in r.getMessage()]
    assert [line.partition(":")[0] for line in compiled] == ["step 1", "step 2", "step 4"]
    assert "vertex_flow" in compiled[2] and "vertex_flow" not in compiled[1]
    # A step's clips do not depend on the phases.
    make = stream.batch_maker({"synthetic": 1.0}, stream.StreamOptions(made.batch_size, made.clip_length))
    for step, (*_, betas) in enumerate(noted):
        np.testing.assert_array_equal(betas, parallel.cut(make(step))["betas"])


def rendered_clip(rng, frames=12):
    """What `hpof_jax.data render` writes for a clip, with random landmarks."""
    landmarks = rng.uniform(100, 400, (frames, 33, 3))
    landmarks[..., 2] = 0.9
    pose = rng.normal(0, 0.2, (frames, 24, 3)) + np.pi * np.eye(24, 3) * np.eye(
        24, 1
    )  # upright in the camera
    arrays = {
        "landmarks_2d": landmarks,
        "landmarks_3d": rng.normal(0, 0.3, (frames, 33, 3)),
        "pose": pose,
        "transl": rng.normal(0, 0.1, (frames, 3)) + [0, 0, 4],
        "betas": rng.normal(size=10),
        "image_size": [480, 640],
        "focal_length": 600,
        "true_focal_length": 700,
    }
    clip = {key: np.asarray(value, np.float32) for key, value in arrays.items()}
    return clip | {
        "seen": np.ones(frames, bool),
        "validation": np.array(False),
        "motion_class": np.array("walk"),
    }


def miniature_data(folder):
    """The folders that `:shipped` names, with a small BVH file or two short clips in each."""
    config, rows = hpof.get_config("shipped"), np.zeros((20, CHANNELS))
    rows[:, 1], rows[:, 2] = 94, np.arange(20)  # moves forward without moving its limbs
    for name in config.data.bvh.split(","):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.bvh").write_text(bvh_text(rows))
    rng = np.random.default_rng(0)
    for name in set(config.data.rendered.split(",")):
        (folder / name).mkdir(parents=True)
        for number in range(2):
            write_clip(clip_path(folder / name, number), rendered_clip(rng))


def test_the_training_of_the_shipped_weights(tmp_path, monkeypatch):
    """Two steps of each run, with miniature data; the second run starts from the weights of the first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))
    miniature_data(tmp_path)
    small = {key: value for key, value in SMALL.items() if key.partition(".")[0] in ("model", "optimizer")}
    small |= {
        "batch_size": 8,
        "clip_length": 8,
        "num_steps": 2,
        "checkpoint_every": 1,
        "log_every": 1,
        "eval_every": 0,
    }
    saved, save = [], checkpoint.Checkpointer.save

    def save_and_keep(self, state, *rest):
        saved.append(jax.device_get(state))
        save(self, state, *rest)

    monkeypatch.setattr(checkpoint.Checkpointer, "save", save_and_keep)
    for variant in ("shipped", "shipped_finish"):
        made = hpof.get_config(variant)
        made.update_from_flattened_dict(small)
        assert train.train(made, f"runs/{variant}") == {}
        assert np.isfinite([*logged(tmp_path / "runs" / variant, "train/total").values()]).all()
    assert [int(state.step) for state in saved] == [1, 2, 1, 2]
    # The learning rate of a run's first step is 0.
    for a, b in zip(jax.tree.leaves(saved[1].ema), jax.tree.leaves(saved[2].params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (saved[2].params, saved[3].params))))


def prepared_data(folder, monkeypatch):
    """The folders of `configs/hpof.py:paper`, prepared from miniature copies of all data sets."""

    def extract(crops):
        return np.random.default_rng(0).uniform(0, 2, (len(crops), 2048)).astype(np.float32)

    extract.fingerprint = "0123456789abcdef"
    monkeypatch.setattr(prepare, "_extractor", lambda weights: extract)
    monkeypatch.setattr(prepare, "_net", lambda model: FakeNet())
    miniatures.write_all(folder / "raw")
    (folder / "prepared").mkdir()
    options = prepare.Options(features="resnet50.pth")
    for name in {*hpof.SETS_2D, *hpof.SETS_3D, "amass"}:
        prepare.prepare(name, folder / "raw" / name, folder / "prepared" / name, options, partial=True)


def test_the_recipe_for_the_fields_data_sets(tmp_path, monkeypatch):
    prepared_data(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    recipe = tiny.get_config("paper")
    now = {f"ramps.{name}": (0.0, 0.0) for name in recipe.ramps}
    changes = {"num_steps": 2, "eval_every": 2, "data.flow_frames": 3, "model.image_channels": 4} | now
    recipe.update_from_flattened_dict(SMALL | changes)
    metrics = train.train(recipe, tmp_path / "run")
    assert np.isfinite(metrics["pa_mpjpe"])
    params, model = load_weights(tmp_path / "run")
    assert tuple(model.inputs) == ("features",) and params["image_head"]["project"]["kernel"].any()
    for name in (*hpof.BASE_LOSSES, *hpof.FLOW_LOSSES, "adversarial"):
        (loss,) = logged(tmp_path / "run", f"train/{name}").values()
        assert loss > 0, name
    assert model.backbone == "0123456789abcdef"
    monkeypatch.setattr(PreparedClips, "backbones", {"another"})
    with pytest.raises(UserError, match="fingerprint 0123456789abcdef, and those of the data are of another"):
        train.train(recipe, tmp_path / "run")


def test_image_features_alone_need_data_that_have_them(tmp_path):
    """Nobody trains on the place of the box alone without knowing."""
    blind = config(**{"model.inputs": ("features",)})
    with pytest.raises(UserError, match=r"^synthetic has no image features: .* --config.model.inputs"):
        train.train(blind, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_config_of_the_shipped_weights():
    """As the model card has it."""
    first, second = (hpof.get_config(variant) for variant in ("shipped", "shipped_finish"))
    assert (first.initial_weights, second.initial_weights) == ("", "runs/shipped")
    assert (first.num_steps, second.num_steps) == (7_000, 3_000)
    assert (first.optimizer.learning_rate, second.optimizer.learning_rate) == (1e-3, 6e-4)
    assert first.data == second.data and first.batch_size == second.batch_size == 32
    assert first.model == second.model and not first.model.fit_steps
    assert first.losses.to_dict() == hpof.BASE_LOSSES
    assert first.losses == second.losses and not first.ramps and first.data.flow == "none"
    shares = data_sources(first.data)
    assert len(shares) == 1 + 5 + 4
    thirteenths = dict.fromkeys(("synthetic", "bvh", "rendered"), 0.0)
    for spec, share in shares.items():
        thirteenths[spec.partition(":")[0]] += 13 * share / sum(shares.values())
    assert thirteenths == pytest.approx({"synthetic": 1, "bvh": 4, "rendered": 8})
    assert shares["rendered:rendered/full"] == pytest.approx(2 * shares["rendered:rendered/full60"])


def test_the_shipped_weights_are_of_the_last_config_of_their_training():
    assert make_model(load_weights()[1]) == make_model(hpof.get_config("shipped_all").model)
    assert make_model(load_weights("free")[1]) == make_model(hpof.get_config("free_all").model)


def test_initial_weights_of_another_model(tmp_path):
    with pytest.raises(UserError, match=r"in nc has .*fit_steps = 2.*: set .*--config\.model\.fit_steps=2"):
        train.train(config(initial_weights="nc"), tmp_path)


def test_the_workdir_of_another_config(run):
    with pytest.raises(UserError, match="is of another config"):
        train.train(config(**{"model.channels": 16}), run.whole)


def damaged(monkeypatch, when, where):
    """The stream's batches, with landmarks that are NaN in the clips `where` of the steps `when`."""
    plain = stream.BatchMaker.__call__

    def make(self, step):
        batch = plain(self, step)
        if step + 1 in when:
            batch["landmarks_2d"] = batch["landmarks_2d"].copy()
            batch["landmarks_2d"][where] = np.nan
        return batch

    monkeypatch.setattr(stream.BatchMaker, "__call__", make)


def test_a_loss_that_is_not_finite_stops_the_run(run, tmp_path, monkeypatch):
    damaged(monkeypatch, range(1, 100), slice(None))
    words = (
        r"not finite in 10 steps in a row, 1 to 10: lower --config\.optimizer\.learning_rate .*all 8 clips"
    )
    with pytest.raises(UserError, match=words):
        train.train(config(), tmp_path)
    assert not any((tmp_path / "checkpoints").iterdir())


def test_a_step_that_is_not_finite_is_skipped_and_its_clip_named(run, tmp_path, monkeypatch, caplog):
    """The next step is not skipped, so the checkpoint of step 4 holds step 5."""
    damaged(monkeypatch, [4], 3)
    train.train(config(num_steps=STEPS), tmp_path)
    skipped = [r.getMessage() for r in caplog.records if "was skipped" in r.getMessage()]
    assert len(skipped) == 1 and skipped[0].startswith("Step 4 was skipped: ")
    assert "(synthetic gait)" in skipped[0] or "(synthetic poses)" in skipped[0]
    assert logged(tmp_path, "train/skipped_steps") == {3: 0, 6: 1, 9: 1, 12: 1}
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir()} == {5, 8, 12}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(newest(tmp_path)))


def test_sigterm_ends_the_program_with_its_status_and_says_how_to_resume(run, tmp_path):
    """`run` has compiled the programs that this process needs."""
    command = [sys.executable, "-m", "hpof_jax.train", "--config", "configs/tiny.py:no_flow"]
    command += ["--workdir", tmp_path, *(f"--config.{key}={value}" for key, value in SMALL.items())]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            lines.append(line)
            if "parameters, 8 devices" in line:  # it handles signals now, and the first step is still to come
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM, "".join(lines)
    assert "the same command resumes the run" in lines[-1]
    step = int(lines[-1].split("stopped at step ")[1].split(",")[0])
    assert checkpoint.Checkpointer(tmp_path).latest_step() == step >= 1
    files = {match[1] for line in lines if (match := re.search(r"(\w+\.py):\d", line))}
    assert files == {"setup.py", "loop.py"}, "other packages' lines are between ours"


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
        ((*TINY, "--config.ramps.adversarial=(0.5,0.1)"), ["ramps.adversarial is (0.5, 0.1)", "fractions"]),
        ((*TINY, "--config.data.flow=exakt"), ["'exakt' is not a kind of optical flow", "noisy"]),
        ((*TINY, "--config.data.flow=none"), ["flow_silhouette", "--config.data.flow=noisy"]),
        ((*TINY, "--config.batch_size=many"), ["batch_size", "many"]),
        ((*TINY, "--config.batch_size=0"), ["batch_size is 0"]),
        ((*TINY, "--config.batch_size=12"), ["12 clips", "8 devices", "--config.batch_size"]),
        ((*TINY, "--config.accumulate=3"), ["clips of a device", "3 even parts"]),
        ((*TINY, "--config.data.shards=3"), ["3 shards", "--config.data.shards"]),
        ((*TINY, "--config.precision=f16"), ["no precision 'f16'", "bf16"]),
        ((*TINY, "--config.data.synthetic=0"), ["names no motion", "--config.data.bvh"]),
        ((*TINY, "--config.model.name=nope"), ["no model 'nope'"]),
        ((*TINY, "--config.model.kernel_size=0"), ["No model can be built from config.model"]),
        (("--config", "configs/absent.py"), ["configs/absent.py"]),
        (("--config", "configs/hpof.py:nope"), ["nope", "mean_pose"]),
        ((*TINY, "--nope"), ["nope"]),
    ],
    ids=lambda x: " ".join(x)[-28:] if isinstance(x, tuple) else "",
)
def test_a_wrong_command_ends_in_one_sentence(capsys, tmp_path, arguments, words):
    line, status = started(capsys, "--workdir", tmp_path / "run", *arguments)
    assert status == 2
    for word in words:
        assert word in line
    assert len(line) < 500 and "Traceback" not in line
    assert not (tmp_path / "run").exists()


def test_a_config_file_that_is_not_python(capsys, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config(:\n")
    line, status = started(capsys, "--config", broken)
    assert status == 2 and "broken.py" in line
