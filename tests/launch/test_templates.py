"""The launchers that are plain files: their form, and that each trains with the same command."""

import pathlib
import re
import shlex
import string
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"


def render(text: str, **values: str) -> dict:
    return yaml.safe_load(string.Template(text).substitute(values))


def gke_arguments():
    text = (LAUNCH / "gke.yaml").read_text()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    jobset = render(body, NAME="hpof", IMAGE="registry/image", WORKDIR="gs://b/hpof")
    assert jobset["kind"] == "JobSet" and jobset["metadata"]["name"] == "hpof"
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["parallelism"] == job["completions"]
    pod = job["template"]["spec"]
    chips = [int(number) for number in pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")]
    (container,) = pod["containers"]
    per_host = container["resources"]["limits"]["google.com/tpu"]
    assert chips[0] * chips[1] == job["parallelism"] * per_host, "hosts x chips a host must be the slice"
    assert container["image"] == "registry/image"
    return container["args"]


def slurm_arguments():
    (line,) = [line for line in (LAUNCH / "slurm.sbatch").read_text().splitlines() if line.startswith("srun")]
    return shlex.split(line.partition("hpof_jax.train")[2])


def skypilot_arguments():
    task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
    assert {"resources", "setup", "run", "envs"} <= task.keys() and "WORKDIR" in task["envs"]
    return shlex.split(task["run"].partition("hpof_jax.train")[2])


@pytest.mark.parametrize("arguments", [gke_arguments, slurm_arguments, skypilot_arguments])
def test_every_launcher_trains_the_same_way(arguments):
    given = arguments()
    assert given[given.index("--config") + 1] == "configs/hpof.py"
    assert "--distributed" in given
    declared = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', (ROOT / "hpof_jax/train.py").read_text()))
    flags = {argument.removeprefix("--") for argument in given if argument.startswith("--")}
    assert flags <= declared, f"hpof_jax.train has no {flags - declared}"


def test_the_shell_in_them_parses():
    task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
    for text in [(LAUNCH / "slurm.sbatch").read_text(), task["setup"], task["run"]]:
        done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_slurm_starts_one_process_for_each_gpu():
    text = (LAUNCH / "slurm.sbatch").read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)", text, flags=re.MULTILINE))
    assert options["gpus-per-node"] == options["ntasks-per-node"]
