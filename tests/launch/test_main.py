import shlex
import subprocess

import pytest

from launch import __main__ as program
from launch import runner
from launch.platforms import PLATFORMS

WHERE = ["--name=hpof", "--zone=us-west4-a", "--project=demo", "--workdir=gs://bucket/hpof"]


@pytest.fixture(autouse=True)
def nothing_runs_in_this_process(monkeypatch):
    """No mistake in a test may reach a gcloud that is really there: starting a program here is an AttributeError."""
    monkeypatch.setattr(runner, "subprocess", None)


def test_a_dry_run_prints_every_step_in_order_and_runs_nothing(capsys):
    assert program.main(["tpu", "all", *WHERE, "--dry-run", "--restart=3"]) == 0
    text = capsys.readouterr().out
    steps = [line[2:] for line in text.splitlines() if line.startswith("# ") and " " not in line[2:]]
    assert steps == ["create", "copy", "install", "run", "collect", "delete"]
    lines = [line for line in text.splitlines() if line.startswith("gcloud")]
    assert all("--project=demo" in line and "--quiet" in line for line in lines)
    assert "at most 3 times" in text


def test_what_is_not_rented_is_not_deleted_at_the_end(capsys):
    assert program.main(["slurm", "all", "--name=hpof", "--workdir=/shared/hpof", "--dry-run"]) == 0
    assert "scancel" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["a b", "$(touch x)", "`id`", "'; rm -rf ~; '", 'a"b', "a\\b", "*", "a\nb", "é&|>"]
)
def test_no_text_of_the_user_becomes_shell(tmp_path, text):
    """Each value arrives as one argument, through the local shell's quoting and through the worker's own shell."""
    _, job = program._parse(
        ["tpu", "run", *WHERE, f"--workdir=gs://{text}", f"--config={text}", f"--env=A={text}", "--", text]
    )
    (command,) = PLATFORMS["tpu"].steps["run"](job)
    assert tuple(shlex.split(str(command))) == command.arguments
    # The worker's shell, for real, with a stand-in for Python that writes down what it was given.
    python = tmp_path / "hpof_jax/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\0" "$A" "$@" > given\n')
    python.chmod(0o755)
    (remote,) = [
        word.removeprefix("--command=") for word in command.arguments if word.startswith("--command=")
    ]
    subprocess.run(["sh", "-c", remote], cwd=tmp_path, check=True)
    given = (tmp_path / "hpof_jax/given").read_text(encoding="utf-8").split("\0")[:-1]
    options = ["--config", text, "--workdir", f"gs://{text}", "--distributed"]
    assert given == [text, "-m", "hpof_jax.train", *options, text]
    names = [".venv", "bin", "given", "hpof_jax", "python"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == names


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tpu", "run", "--name=hpof", "--zone=z"], "--workdir is missing"),
        (
            ["tpu", "run", "--name=hpof", "--zone=z", "--workdir=runs/hpof"],
            "--workdir must be a folder in a bucket",
        ),
        (["tpu", "create", "--name=--help", "--zone=z"], "lower-case letters"),
        (["tpu", "create", "--name=a:b", "--zone=z"], "lower-case letters"),
        (["tpu", "create", "--name=hpof"], "tpu needs --zone"),
        (["gke", "create", "--name=hpof", "--zone=z"], "gke needs --cluster"),
        (["slurm", "create", "--name=hpof"], "slurm has no step 'create'"),
        (["tpu", "create", *WHERE, "--type=v5litepod-12"], "another power of two chips"),
        (["tpu", "create", *WHERE, "--type=H100:8"], "there is no TPU type"),
        (["tpu", "run", *WHERE, "--restart=-1"], "--restart and --pause are at least 0"),
        (["tpu", "run", *WHERE, "--env=-i"], "write NAME=VALUE"),
        (["tpu", "run", *WHERE, "--", "--dry-run"], "--dry-run comes before the --"),
    ],
)
def test_wrong_options_end_in_one_sentence(capsys, arguments, sentence):
    with pytest.raises(SystemExit) as end:
        program.main(arguments)
    assert end.value.code == 2 and sentence in capsys.readouterr().err
