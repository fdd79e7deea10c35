import os
import shlex
import subprocess
import sys

import pytest

from launch import tpu_pod

WHERE = ["--name=hpof", "--zone=us-west4-a", "--project=demo", "--workdir=gs://bucket/hpof"]


@pytest.fixture(autouse=True)
def nothing_runs_in_this_process(monkeypatch):
    """No mistake in a test may reach a gcloud that is really there: starting a program here is an AttributeError."""
    monkeypatch.setattr(tpu_pod, "subprocess", None)


def printed(capsys, step, *arguments):
    """The commands that a dry run prints, parsed back as a shell would."""
    assert tpu_pod.main([step, "--dry-run", *arguments]) == 0
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines()]


def on_the_worker(command):
    """What the worker's shell runs: the text of --command, split as that shell does."""
    (text,) = [
        argument.removeprefix("--command=") for argument in command if argument.startswith("--command=")
    ]
    return shlex.split(text)


def test_all_prints_every_step_in_order_and_runs_nothing(capsys):
    git, *gcloud = sorted(printed(capsys, "all", *WHERE), key=lambda command: command[0] != "git")
    assert git[0] == "git" and "archive" in git
    assert [command[:6] for command in gcloud] == [
        ["gcloud", "compute", "tpus", "tpu-vm", verb, target]
        for verb, target in [
            ("create", "hpof"),
            ("scp", f"{tpu_pod.ROOT}/hpof_jax.tar.gz"),
            ("ssh", "hpof"),
            ("ssh", "hpof"),
            ("delete", "hpof"),
        ]
    ]
    assert all({"--zone=us-west4-a", "--project=demo"} <= {*command} for command in gcloud)
    assert all("--worker=all" in command for command in gcloud[1:4])
    assert "--accelerator-type=v5litepod-16" in gcloud[0] and "--version=v2-alpha-tpuv5-lite" in gcloud[0]
    assert "--quiet" in gcloud[-1]


def test_every_worker_trains_with_the_same_command(capsys):
    (command,) = printed(
        capsys, "train", *WHERE, "--env=JAX_TRACEBACK_FILTERING=off", "--", "--config.seed=3"
    )
    assert on_the_worker(command) == [
        *[
            "cd",
            "hpof_jax",
            "&&",
            "env",
            "JAX_TRACEBACK_FILTERING=off",
            ".venv/bin/python",
            "-m",
            "hpof_jax.train",
        ],
        *["--config", "configs/hpof.py", "--workdir", "gs://bucket/hpof", "--distributed", "--config.seed=3"],
    ]


@pytest.mark.parametrize(
    "text", ["a b", "$(touch x)", "`id`", "'; rm -rf ~; '", 'a"b', "a\\b", "*", "a\nb", "é&|>"]
)
def test_no_text_of_the_user_becomes_shell(tmp_path, text):
    """Each value arrives as one argument, through the local shell's quoting and through the worker's own shell."""
    options = tpu_pod._parse(
        ["train", *WHERE, f"--workdir=gs://{text}", f"--config={text}", f"--env=A={text}", "--", text]
    )
    (command,) = tpu_pod.train(options)
    assert shlex.split(shlex.join(command)) == command
    # The worker's shell, for real, with a stand-in for Python that writes down what it was given.
    program = tmp_path / "hpof_jax/.venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$A" "$@" > given\n')
    program.chmod(0o755)
    (remote,) = [
        argument.removeprefix("--command=") for argument in command if argument.startswith("--command=")
    ]
    subprocess.run(["sh", "-c", remote], cwd=tmp_path, check=True)
    given = (tmp_path / "hpof_jax/given").read_text(encoding="utf-8").split("\0")[:-1]
    assert given == [
        *[text, "-m", "hpof_jax.train", "--config", text, "--workdir", f"gs://{text}", "--distributed", text]
    ]
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        ".venv",
        "bin",
        "given",
        "hpof_jax",
        "python",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--name=hpof", "--zone=z"], "--workdir must be a folder in a bucket"),
        (
            ["train", "--name=hpof", "--zone=z", "--workdir=runs/hpof"],
            "--workdir must be a folder in a bucket",
        ),
        (["create", "--name=--help", "--zone=z"], "lower-case letters"),
        (["create", "--name=a:b", "--zone=z"], "lower-case letters"),
        (["train", *WHERE, "--env=-i"], "write NAME=VALUE"),
        (["train", *WHERE, "--", "--dry-run"], "--dry-run comes before the --"),
    ],
)
def test_wrong_options_end_in_one_sentence(capsys, arguments, sentence):
    with pytest.raises(SystemExit) as end:
        tpu_pod.main(arguments)
    assert end.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failing", "verbs", "status"),
    [
        ("none", ["create", "scp", "ssh", "ssh", "delete"], 0),
        ("create", ["create"], 7),
        ("scp", ["create", "scp", "delete"], 7),
        ("ssh", ["create", "scp", "ssh", "delete"], 7),
    ],
)
def test_the_slice_is_deleted_whatever_fails(tmp_path, failing, verbs, status):
    for name, script in {
        "gcloud": f'#!/bin/sh\necho "$4" >> "{tmp_path}/verbs"\ntest "$4" != {failing} || exit 7\n',
        "git": "#!/bin/sh\n",
    }.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, tpu_pod.__file__, "all", *WHERE], env=environment, check=False)
    assert done.returncode == status
    assert (tmp_path / "verbs").read_text().split() == verbs


def test_without_gcloud_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, tpu_pod.__file__, "create", *WHERE],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 127
    assert done.stderr == "error: gcloud is not installed or not on the PATH: install it.\n"
