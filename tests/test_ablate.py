import json
import pathlib
import signal
import sys

import jax
import numpy as np
import optax
import pytest
from absl.testing import flagsaver

from configs import hpof, tiny
from data_pipelines import stream
from hpof_jax import ablate, ablation_report, train
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.models.build import make_model
from hpof_jax.training import parallel, state, steps

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

ROOT = pathlib.Path(__file__).parents[1]
SMALL = {
    "clip_length": 4,
    "num_steps": 2,
    "model.channels": 8,
    "model.dilations": (1, 2),
    "model.hidden": 4,
    "data.flow_frames": 2,
    "adversary.channels": 8,
    "eval_frames": 4,
    "eval_synthetic_clips": 2,
    "checkpoint_every": 1,
}


def config(**changes):
    made = tiny.get_config("ablation")
    made.update_from_flattened_dict(SMALL | changes)
    return made


def finished(workdir, variants, seeds, scores, domains=("synthetic",)):
    """Writes the result files of finished runs with these PA-MPJPE."""
    for variant in variants:
        for seed, score in zip(seeds, scores, strict=True):
            folder = workdir / variant / f"seed_{seed}"
            folder.mkdir(parents=True)
            table = dict.fromkeys(ablation_report.COLUMNS, 1.0) | {
                "pa_mpjpe": score,
                "clips": 2.0,
                "frames": 8.0,
            }
            (folder / "result.json").write_text(json.dumps({"domains": dict.fromkeys(domains, table)}))


class Ablation:
    """The first of two variants is finished; SIGTERM stops the second, and the same command resumes it."""

    variants = ("full", "no_decomposition")

    def __init__(self, folder, monkeypatch):
        self.workdir, self.report = folder / "runs", folder / "experiments.md"
        self.trained, self.steps = [], 0
        plain_cut, plain_train = parallel.cut, train.train

        def cut_and_stop(batch):
            self.steps += 1
            if self.steps == 1:
                signal.raise_signal(signal.SIGTERM)
            return plain_cut(batch)

        def train_and_note(config, workdir):
            self.trained.append("/".join(workdir.parts[-2:]))
            return plain_train(config, workdir)

        finished(self.workdir, ("full",), (0,), (50.0,))
        with monkeypatch.context() as patch:
            patch.setattr(parallel, "cut", cut_and_stop)
            patch.setattr(train, "train", train_and_note)
            with pytest.raises(SystemExit):
                self.run()
            self.unfinished = self.report.exists()
            self.results = self.run()

    def run(self):
        made = config()
        made.losses = {"body_pose": 0.5, "betas": 0.2, "adversarial": 0.02}  # the others take long to compile
        return ablate.ablate(made, self.workdir, self.report, self.variants, seeds=(0,))


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return Ablation(tmp_path_factory.mktemp("ablation"), monkeypatch)


def rows(report):
    """{heading, or the domain in it: {variant: {column: cell}}} of the report's tables."""
    tables, heads = {}, []
    for line in report.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("### "):
            table = tables[line.split("`")[1] if "`" in line else line[4:]] = {}
        elif line.startswith("| | "):
            heads = cells[1:]
        elif line.startswith("| `"):
            table[cells[0].strip("`")] = dict(zip(heads, cells[1:], strict=True))
    return tables


def test_a_row_for_each_variant_and_a_plot(ablation):
    tables = rows(ablation.report)
    assert list(tables) == ["The models", "synthetic"]
    assert all(list(table) == [*ablation.variants] for table in tables.values())
    row = tables["synthetic"]["no_decomposition"]
    measured = ablation.results["no_decomposition"][0]["domains"]["synthetic"]
    assert row["PA-MPJPE"] == f"{measured['pa_mpjpe']:.1f}" and 1 < measured["pa_mpjpe"] < 1000
    assert measured["clips"] == 2 and measured["frames"] == 8
    assert measured["betas_spread"] > 1e-6, "this variant has a shape in every frame"
    model = tables["The models"]["no_decomposition"]
    assert int(model["parameters"].replace(",", "")) > 1000 and int(model["frames/s"].replace(",", "")) > 0
    assert "trained on with and without labels" in ablation.report.read_text(encoding="utf-8")
    assert ablation.report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_stopped_run_is_resumed_and_no_run_is_trained_twice(ablation, monkeypatch):
    assert ablation.trained == ["no_decomposition/seed_0"] * 2
    assert ablation.steps == SMALL["num_steps"] and not ablation.unfinished
    monkeypatch.setattr(train, "train", None)
    assert ablation.run() == ablation.results


def test_a_workdir_of_another_config(ablation):
    with pytest.raises(
        UserError, match=r"another config \('losses.adversarial' differs\): use another --workdir"
    ):
        ablate.ablate(config(**{"losses.adversarial": 7.0}), ablation.workdir, variants=("full",))


def test_the_gru_and_the_flat_head_learn():
    """In one program. `test_steps.py` and `test_terms.py` train the other variants' models and losses."""
    made, body = ablate.vary(config(), "gru"), load_body()
    ablate.VARIANTS["no_tree"](made)
    batch = stream.batch_maker({"synthetic": 1.0}, stream.StreamOptions(2, 4))(0)
    model, optimizer = make_model(made.model), optax.adam(1e-2)
    options = {"seed": 0, "ema_decay": 0.5, "hide_3d": 0.0, "axis_name": "batch"}
    step = steps.make_train_step(model, body, optimizer, {"keypoints_3d": 1.0, "betas": 1.0}, **options)
    step = jax.jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name="batch"))
    now, losses = state.init_state(model, body, optimizer, 0), []
    for _ in range(3):
        now, logs = step(now, {key: value[None] for key, value in batch.items()})
        losses.append(float(logs["total"]))
    assert losses[2] < losses[0]
    for leaf in jax.tree.leaves(now.params):
        assert np.isfinite(leaf).all()


def test_a_table_for_each_source_with_the_mean_and_the_deviation_over_the_seeds(tmp_path):
    domains = ("synthetic", "bvh:a", "bvh:b")
    finished(tmp_path, ("full",), (0, 1, 5), (50.0, 52.0, 57.0), domains)
    made = config(**{"data.bvh": "a", "data.unlabelled": "bvh:b"})
    ablate.ablate(made, tmp_path, variants=("full",), seeds=(0, 1, 5))
    tables = rows(tmp_path / "report.md")
    assert tuple(tables) == ("The models", *domains)
    assert list(tables["The models"]["full"]) == ["parameters"], "frames/s are for comparisons"
    for domain in domains:
        assert tables[domain]["full"]["PA-MPJPE"] == "53.0 ± 3.6"
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "`bvh:a`, trained on with labels" in report and "`bvh:b`, trained on without labels" in report


def test_text_in_the_report_is_kept(tmp_path):
    finished(tmp_path, ("full",), (0, 1), (50.0, 52.0))
    report = tmp_path / "report.md"

    def write(*seeds):
        ablate.ablate(config(), tmp_path, variants=("full",), seeds=seeds)
        return report.read_text(encoding="utf-8")

    first = write(0)
    assert "| 50.0 |" in first and "\n- `full`:\n" in first
    report.write_text("Before.\n" + first.replace("- `full`:", "- `full`: worse, é."), encoding="utf-8")
    second = write(0, 1)
    assert second.startswith("Before.\n# Ablations") and "- `full`: worse, é.\n" in second
    assert "| 51.0 ± 1.4 |" in second and "| 50.0 |" not in second
    assert write(0, 1) == second
    report.write_text("Another text.\n")
    assert write(0).startswith("Another text.\n\n<!--") and write(0).count(ablation_report.BEGIN) == 1
    report.write_text(f"Half.\n{ablation_report.BEGIN}\n")
    with pytest.raises(UserError, match="only one of the two marks"):
        write(0)
    assert report.read_text() == f"Half.\n{ablation_report.BEGIN}\n"


def test_what_the_variants_change():
    base = hpof.get_config("ablation")
    base.data.rendered, base.model.fit_steps = "rendered/", 2
    changed = {}
    for variant in ablate.VARIANTS:
        varied = ablate.vary(base, variant, seed=3)
        assert varied.seed == 3
        before, after = base.to_dict(), varied.to_dict() | {"seed": base.seed}
        changed[variant] = {part for part in before if before[part] != after[part]}
    model_only = ("no_decomposition", "no_tree", "no_dilation", "no_fitting_head", "gru", "per_frame")
    others = {"full": set(), "no_flow": {"losses"}, "no_adversary": {"losses"}, "no_rendered": {"data"}}
    assert changed == others | dict.fromkeys(model_only, {"model"})
    left_out = ablate.vary(base, "no_flow").losses
    assert {name for name in base.losses if not left_out[name]} == {*hpof.FLOW_LOSSES}
    base.data.synthetic = 0
    with pytest.raises(UserError, match="'no_rendered' leaves no labelled source"):
        ablate.vary(base, "no_rendered")
    with pytest.raises(UserError, match=r"'no_flow' changes nothing .* configs/hpof\.py:ablation"):
        ablate.vary(hpof.get_config("no_flow"), "no_flow")
    for variant in ("no_flow", "no_adversary"):  # the config's variants are those of the ablation
        assert hpof.get_config(variant) == ablate.vary(hpof.get_config(), variant)
    with pytest.raises(UserError, match="'mean_pose' has no such parts"):
        ablate.vary(hpof.get_config("mean_pose"), "gru")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--variants", "full,nope"), ["no variant 'nope'", "no_tree"]),
        (("--variants", ""), ["--variants"]),
        (("--seeds", "0,one"), ["'0,one'", "--seeds 0,1,2"]),
        (("--report", "absent/report.md"), ["no folder absent", "report.md"]),
        (("--report", str(ROOT)), [str(ROOT), "--report"]),
        (("--config.model.kernel_size=1", "--variants", "full,per_frame"), ["'per_frame' changes nothing"]),
        (("--distributed",), ["one process"]),
        (("--workdir", "gs://bucket/runs"), ["on this machine"]),
    ],
    ids=lambda x: " ".join(x)[-28:] if isinstance(x, tuple) else "",
)
def test_a_wrong_command_ends_in_one_sentence(capsys, tmp_path, arguments, words):
    with flagsaver.flagsaver(), pytest.MonkeyPatch.context() as patch:
        given = ("--config", "configs/tiny.py:ablation", "--workdir", str(tmp_path / "run"), *arguments)
        patch.setattr(sys, "argv", ["ablate", *given])
        patch.chdir(ROOT)
        with pytest.raises(SystemExit) as stop:
            ablate.main()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stop.value.code == 2 and len(lines) == 1 and len(lines[0]) < 400
    for word in words:
        assert word in lines[0]
    assert not (ROOT / "runs" / "ablation").exists()


@pytest.mark.parametrize("text", ["", "{}", "[" * 5000, '{"domains": {"synthetic": 3}}', '{"domains": []}'])
def test_a_damaged_result_is_one_sentence(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(
        UserError, match=r"result\.json is not the result of a run .*: delete it; the same command"
    ):
        ablate.read_result(tmp_path / "result.json", ["synthetic"])


def test_a_damaged_config_of_earlier_runs_is_one_sentence(tmp_path):
    finished(tmp_path, ("full",), (0,), (50.0,))
    assert ablate.read_result(tmp_path / "full/seed_0/result.json", ["synthetic"])
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match=r"config\.json is not a readable config .*: give another --workdir"):
        ablate._claim(tmp_path, config())
