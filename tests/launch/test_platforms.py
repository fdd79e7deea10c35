"""Every command line of every platform, as it is printed, and the files that the commands are given."""

import pathlib
import re
import shutil
import subprocess
import sysconfig

import pytest
import yaml

from launch import runner
from launch.job import ROOT, Job
from launch.platforms import PLATFORMS

GOLDEN = pathlib.Path(__file__).parent / "golden"
COMMON = dict(
    name="hpof",
    workdir="gs://bucket/hpof",
    arguments=("--config.seed=3", "--config.data.bvh=a b"),
    env=("TEXT=it's",),
    restart=20,
)
GOOGLE = COMMON | dict(zone="us-west4-a", project="demo", spot=True)
CLUSTER = GOOGLE | dict(cluster="cluster", image="registry/image")
JOBS = {
    "tpu": ("tpu", Job(**GOOGLE)),
    "tpu_queued": ("tpu", Job(**GOOGLE, queued=True, valid_until="6h", type="v4-32")),
    "gke": ("gke", Job(**CLUSTER)),
    "gke_one_host": ("gke", Job(**CLUSTER | dict(type="v6e-4", spot=False, restart=0, env=()))),
    "xpk": ("xpk", Job(**CLUSTER)),
    "slurm": ("slurm", Job(**COMMON | dict(workdir="/shared/runs/hpof"), nodes=2)),
    "skypilot": ("skypilot", Job(**COMMON, spot=True)),
    "skypilot_gpus": ("skypilot", Job(**COMMON, type="H100:8")),
}


def printed(name: str, capsys) -> str:
    platform, job = JOBS[name]
    runner.show(PLATFORMS[platform], [*PLATFORMS[platform].steps], job)
    return capsys.readouterr().out.replace(str(ROOT), "ROOT")


@pytest.mark.parametrize("name", JOBS)
def test_the_commands_are_those_of_the_golden_file(name, capsys):
    """After an intended change: copy what is printed into the file, and read the difference."""
    assert printed(name, capsys) == (GOLDEN / f"{name}.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", JOBS)
def test_a_shell_parses_what_is_printed(name, capsys):
    done = subprocess.run(
        ["bash", "-n"], input=printed(name, capsys), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_every_host_trains_with_options_that_the_program_has():
    declared = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', (ROOT / "hpof_jax/train.py").read_text()))
    options = {word.removeprefix("--") for word in Job("hpof").training("python") if word.startswith("--")}
    assert {"config", "workdir", "distributed"} == options <= declared


# --- the JobSet ---------------------------------------------------------------------------------------------


def jobset(name: str) -> dict:
    platform, job = JOBS[name]
    (apply,) = PLATFORMS[platform].steps["run"](job)
    return yaml.safe_load(apply.stdin)


def test_the_jobset_is_the_slice_that_was_asked_for():
    spec = jobset("gke")["spec"]
    workers = spec["replicatedJobs"][0]["template"]["spec"]
    pod = workers["template"]["spec"]
    (container,) = pod["containers"]
    assert workers["parallelism"] == workers["completions"] == 4
    assert container["resources"]["limits"] == container["resources"]["requests"] == {"google.com/tpu": 4}
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }
    assert container["args"][-2:] == ["--config.seed=3", "--config.data.bvh=a b"]
    assert container["env"] == [{"name": "TEXT", "value": "it's"}]
    assert spec["failurePolicy"]["maxRestarts"] == 20


@pytest.mark.slow
def test_the_jobset_is_valid_by_its_published_api():
    """The models are generated from the OpenAPI documents of JobSet and Kubernetes; they drop unknown fields."""
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="comes with the extra 'test'")
    for name in ("gke", "gke_one_host"):
        document = jobset(name)
        assert models.JobsetV1alpha2JobSet.from_dict(document).to_dict() == document
    document["spec"]["failurePolicy"]["maxRestart"] = 1
    assert models.JobsetV1alpha2JobSet.from_dict(document).to_dict() != document


# --- shell and Docker ---------------------------------------------------------------------------------------


def tool(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    return found or pytest.skip(f"{name} is not installed: it comes with the extra 'test'")


def test_shellcheck_finds_nothing():
    task = yaml.safe_load(PLATFORMS["skypilot"].steps["run"](JOBS["skypilot"][1])[0].stdin)
    script = (ROOT / "launch/slurm.sbatch").read_text()
    for text in (script, f"#!/bin/bash\n{task['setup']}", f"#!/bin/bash\n{task['run']}\n"):
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        done = subprocess.run(
            [tool("shellcheck"), "-"], input=text, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_hadolint_finds_nothing():
    done = subprocess.run(
        [tool("hadolint"), str(ROOT / "launch/Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_starts_the_training():
    lines = (ROOT / "launch/Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["python", "-m", "hpof_jax.train"]' in lines


# --- Slurm --------------------------------------------------------------------------------------------------


def test_slurm_starts_one_process_for_each_gpu():
    text = (ROOT / "launch/slurm.sbatch").read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)", text, flags=re.MULTILINE))
    assert options["gpus-per-node"] == options["ntasks-per-node"]


@pytest.mark.parametrize(
    ("status", "restarted", "requeued"),
    [(0, 0, False), (143, 0, True), (1, 1, True), (1, 2, False), (2, 0, False)],
)
def test_a_slurm_job_that_failed_is_requeued_but_not_for_wrong_input(tmp_path, status, restarted, requeued):
    """The real script, with stand-ins for srun and scontrol; RESTARTS is 2."""
    for name, line in {"srun": f"exit {status}", "scontrol": f'echo "$*" > "{tmp_path}/requeued"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    variables = {"SLURM_JOB_ID": "7", "RESTARTS": "2", "SLURM_RESTART_COUNT": str(restarted)}
    done = subprocess.run(
        ["bash", str(ROOT / "launch/slurm.sbatch"), "--workdir", "x"],
        env=variables | {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == status
    assert (tmp_path / "requeued").exists() == requeued
    assert not requeued or (tmp_path / "requeued").read_text() == "requeue 7\n"
