import json
import sys

import numpy as np
import pytest

from configs import tiny
from hpof_jax import evaluate
from hpof_jax.body import load_body
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.weights import save_weights

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

SMALL = ("--clip-length", "8", "--synthetic-clips", "4", "--no-vertices")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file of an untrained model."""
    config = tiny.get_config()
    config.model.update({"channels": 8, "dilations": (1,), "hidden": 4})
    params = init_params(make_model(config.model), load_body(), 0)
    path = tmp_path_factory.mktemp("weights") / "weights.npz"
    save_weights(path, params, config)
    return path


def program(capsys, *arguments):
    """(exit status, standard output, standard error) of `python -m hpof_jax.evaluate`."""
    status = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
        try:
            evaluate.main()
        except SystemExit as end:
            status = end.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_table_and_the_file_of_an_evaluation(capsys, weights, tmp_path):
    path = tmp_path / "result.json"
    latex = tmp_path / "table.tex"
    status, table, _ = program(capsys, "--weights", weights, "--json", path, "--latex", latex, *SMALL)
    assert status == 0
    result = json.loads(path.read_text())
    assert result["overall"]["clips"] == 4 and result["overall"]["frames"] == 4 * 16
    assert set(result["classes"]) == {"gait", "poses"}
    for key in ("mpjpe", "pa_mpjpe", "limb_pa_mpjpe", "detector_pa_mpjpe"):
        assert 1 < result["overall"][key] < 1000, key
    assert result["overall"]["betas_spread"] < 1e-4
    protocol = result["protocol"]
    assert (protocol["clip_length"], protocol["split"], protocol["data"]) == (8, "validation", ["synthetic"])
    rows = {line.split()[0]: line.split() for line in table.splitlines() if line and line[0] != " "}
    assert {"gait", "poses", "overall"} <= rows.keys()
    assert rows["overall"][1] == f"{result['overall']['mpjpe']:.1f}"
    assert len(result["sequences"]) == 4
    low, high = result["intervals"]["mpjpe"]
    assert low <= result["overall"]["mpjpe"] <= high
    assert rf"overall & {result['overall']['mpjpe']:.1f} {{\scriptsize [{low:.1f}" in latex.read_text()


def test_raw_predictions_and_hidden_3d_landmarks(weights):
    few = {"clip_length": 8, "max_frames": 8, "synthetic_clips": 2, "vertices": False}
    ways = {}
    for options in ({}, {"raw": True}, {"raw": True, "hide_3d": True}):
        result = evaluate.evaluate(weights, **few, **options)
        assert result["protocol"].items() >= options.items()
        ways[tuple(options)] = result["overall"]
    assert len({way["mpjpe"] for way in ways.values()}) == 3
    assert ways[()]["acceleration"] < ways["raw",]["acceleration"]
    assert len({way["detector_pa_mpjpe"] for way in ways.values()}) == 1


def damaged(tmp_path, weights):
    """The weights with one array of another shape."""
    with np.load(weights, allow_pickle=False) as file:
        arrays = dict(file)
    name = next(key for key in arrays if key.endswith("kernel"))
    arrays[name] = arrays[name][:-1]
    np.savez(tmp_path / "other.npz", **arrays)
    return tmp_path / "other.npz"


def test_weights_that_are_not_of_their_model(capsys, weights, tmp_path):
    status, _, error = program(capsys, "--weights", damaged(tmp_path, weights), *SMALL)
    assert status == 2
    assert error.startswith("error: ") and "other.npz" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--weights", "absent"), ["no weights at absent"]),
        (("--json", "absent/result.json"), ["no folder absent", "result.json"]),
        (("--json", "."), [". is a folder"]),
        (("--latex", "absent/table.tex"), ["no folder absent", "table.tex"]),
        (("--reference", "motion.npz"), ["--predictions and --reference"]),
        (("--data", "bvh:absent"), ["absent"]),
        (("--refine", "fast"), ["--refine needs videos", "--session", "prepared:FOLDER"]),
        (("--data", "nonsense"), ["nonsense"]),
        (("--data", ""), ["source"]),
        (("--data", "videos:absent"), ["no ground truth in videos:absent"]),
        (("--data", "synthetic,videos:absent"), ["no ground truth in videos:absent"]),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else "",
)
def test_a_wrong_command_ends_in_one_sentence(capsys, weights, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    given = arguments if "--weights" in arguments else ("--weights", weights, *arguments)
    status, _, error = program(capsys, *given, *SMALL)
    assert status == 2
    assert error.startswith("error: ") and error.count("\n") == 1
    for word in words:
        assert word in error
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--clip-length", "--synthetic-clips", "--max-frames"])
def test_sizes_are_at_least_one(capsys, weights, option):
    status, _, error = program(capsys, "--weights", weights, *SMALL, option, "0")
    assert status == 2 and option in error and error.count("Traceback") == 0
