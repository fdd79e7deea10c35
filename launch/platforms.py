"""The commands of each platform, step by step. Nothing is run here."""

import dataclasses
import json
import shlex
import string
from collections.abc import Callable

from launch.job import ROOT, Command, Job

ARCHIVE = "hpof_jax.tar.gz"  # in the clone, and in the home folder of every TPU host
FOLDER = "hpof_jax"
PYTHON = "3.12"  # the TPU images' own is older than 3.11, so uv brings this one

Step = Callable[[Job], list[Command]]


@dataclasses.dataclass(frozen=True)
class Platform:
    """How a platform is asked for machines and for a training.

    steps: in order; `delete` is the last.
    needs: the options that must be given.
    rents: machines are rented for this run alone, so that they are deleted at the end.
    state: prints `until` while the machines are there. With it the launcher restarts a preempted run; without it the
      platform itself does.
    """

    steps: dict[str, Step]
    needs: tuple[str, ...]
    rents: bool = True
    state: Callable[[Job], Command] | None = None


# --- Cloud TPU ----------------------------------------------------------------------------------------------


def _tpu_create(job: Job) -> list[Command]:
    image = job.runtime_version or job.slice.image
    spot = ["--spot"] if job.spot else []
    if not job.queued:
        return [_tpu(job, "tpu-vm", "create", f"--accelerator-type={job.type}", f"--version={image}", *spot)]
    options = [f"--node-id={job.name}", f"--accelerator-type={job.type}", f"--runtime-version={image}", *spot]
    if job.valid_until:
        options.append(f"--valid-until-duration={job.valid_until}")
    return [_tpu(job, "queued-resources", "create", *options)]


def _tpu_state(job: Job) -> Command:
    kind, field, until = (
        ("queued-resources", "state.state", "ACTIVE") if job.queued else ("tpu-vm", "state", "READY")
    )
    state = _tpu(job, kind, "describe", f"--format=value({field})")
    return dataclasses.replace(state, until=until, never=("FAILED", "SUSPENDING", "SUSPENDED"))


def _tpu_wait(job: Job) -> list[Command]:
    return [_tpu_state(job)] if job.queued else []


def _tpu_copy(job: Job) -> list[Command]:
    archive = str(ROOT / ARCHIVE)
    pack = Command(("git", "-C", str(ROOT), "archive", "--format=tar.gz", f"--output={archive}", "HEAD"))
    return [pack, _gcloud(job, "compute", "tpus", "tpu-vm", "scp", archive, f"{job.name}:", "--worker=all")]


def _tpu_install(job: Job) -> list[Command]:
    return [
        _on_every_host(
            job,
            f"set -e; rm -rf {FOLDER}; mkdir {FOLDER}; tar -xzf {ARCHIVE} -C {FOLDER}; cd {FOLDER}; "
            "python3 -m pip install --quiet --user uv; "
            f"python3 -m uv venv --quiet --python {PYTHON} .venv; "
            "python3 -m uv pip install --quiet --python .venv/bin/python -c requirements.txt -e '.[train,tpu]'",
        )
    ]


def _tpu_run(job: Job) -> list[Command]:
    training = shlex.join(["env", *job.env, *job.training(".venv/bin/python")])
    return [_on_every_host(job, f"cd {FOLDER} && {training}")]


def _collect(job: Job) -> list[Command]:
    folder = f"runs/{job.name}"
    options = ["--recursive", "--exclude=^checkpoints/"]
    return [
        Command(("mkdir", "-p", folder)),
        _gcloud(job, "storage", "rsync", *options, job.workdir, folder, zone=False),
    ]


def _tpu_delete(job: Job) -> list[Command]:
    return [
        _tpu(job, "queued-resources", "delete", "--force") if job.queued else _tpu(job, "tpu-vm", "delete")
    ]


def _tpu(job: Job, kind: str, verb: str, *options: str) -> Command:
    return _gcloud(job, "compute", "tpus", kind, verb, job.name, *options)


def _on_every_host(job: Job, text: str) -> Command:
    return _tpu(job, "tpu-vm", "ssh", "--worker=all", f"--command={text}")


def _gcloud(job: Job, *arguments: str, zone: bool = True) -> Command:
    where = [*([f"--zone={job.zone}"] if zone else []), *_project(job)]
    return Command(("gcloud", *arguments, *where, "--quiet"))  # a question would wait for ever


def _project(job: Job) -> list[str]:
    return [f"--project={job.project}"] if job.project else []


# --- GKE, as a JobSet ---------------------------------------------------------------------------------------


def _gke_create(job: Job) -> list[Command]:
    machines = [f"--machine-type={job.slice.machine}", f"--num-nodes={job.slice.hosts}"]
    topology = [f"--tpu-topology={job.slice.topology}"] if job.slice.hosts > 1 else []
    spot = ["--spot"] if job.spot else []
    pool = _gke(
        job, "node-pools", "create", job.name, f"--cluster={job.cluster}", *machines, *topology, *spot
    )
    return [pool, _gke(job, "clusters", "get-credentials", job.cluster)]


def _image_copy(job: Job) -> list[Command]:
    build = ("docker", "build", f"--file={ROOT / 'launch/Dockerfile'}", f"--tag={job.image}", str(ROOT))
    return [Command(build), Command(("docker", "push", job.image))]


def _gke_run(job: Job) -> list[Command]:
    values = {
        "NAME": job.name,
        "IMAGE": job.image,
        "RESTARTS": job.restart,
        "HOSTS": job.slice.hosts,
        "CHIPS": job.slice.chips_per_host,
        "ACCELERATOR": job.slice.accelerator,
        "TOPOLOGY": job.slice.topology,
        "ARGUMENTS": _arguments(job),
        "ENV": [dict(zip(("name", "value"), pair.split("=", 1))) for pair in job.env],
    }
    return [Command(("kubectl", "apply", "--filename=-"), stdin=_filled("gke.yaml", values))]


def _gke_wait(job: Job) -> list[Command]:
    state = ("kubectl", "get", "jobset", job.name, "--output=jsonpath={.status.terminalState}")
    return [Command(state, until="Completed", never=("Failed",))]


def _gke_delete(job: Job) -> list[Command]:
    jobset = Command(("kubectl", "delete", "jobset", job.name, "--ignore-not-found"))
    return [jobset, _gke(job, "node-pools", "delete", job.name, f"--cluster={job.cluster}")]


def _gke(job: Job, *arguments: str) -> Command:
    return _gcloud(job, "container", *arguments, f"--location={job.zone}", zone=False)


def _arguments(job: Job) -> list[str]:
    """Those of `hpof_jax.train`, without the program."""
    return job.training("python")[3:]


def _filled(template: str, values: dict[str, object]) -> str:
    """A file of this folder with `$NAME`s filled in as JSON, which is YAML; its comments are left out."""
    text = (ROOT / "launch" / template).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
    return string.Template("".join(lines)).substitute(
        {key: json.dumps(value) for key, value in values.items()}
    )


# --- GKE, by xpk --------------------------------------------------------------------------------------------


def _xpk_create(job: Job) -> list[Command]:
    return [_xpk(job, "cluster", "create", f"--tpu-type={job.type}", "--num-slices=1", _capacity(job))]


def _xpk_run(job: Job) -> list[Command]:
    options = [
        f"--workload={job.name}",
        f"--tpu-type={job.type}",
        "--num-slices=1",
        f"--docker-image={job.image}",
    ]
    options += [f"--max-restarts={job.restart}", *(f"--env={pair}" for pair in job.env)]
    return [_xpk(job, "workload", "create", *options, f"--command={shlex.join(job.training('python'))}")]


def _xpk_wait(job: Job) -> list[Command]:
    return [_xpk(job, "workload", "list", f"--wait-for-job-completion={job.name}")]


def _xpk_delete(job: Job) -> list[Command]:
    workload = _xpk(job, "workload", "delete", f"--workload={job.name}", "--force")
    return [workload, _xpk(job, "cluster", "delete", "--force")]


def _xpk(job: Job, *arguments: str) -> Command:
    return Command(("xpk", *arguments, f"--cluster={job.cluster}", f"--zone={job.zone}", *_project(job)))


def _capacity(job: Job) -> str:
    return "--spot" if job.spot else "--on-demand"


# --- Slurm --------------------------------------------------------------------------------------------------


def _slurm_install(job: Job) -> list[Command]:
    python = str(ROOT / ".venv/bin/python")
    packages = ["-c", str(ROOT / "requirements.txt"), "-e", f"{ROOT}[train,cuda]"]
    make = Command(("python3", "-m", "venv", str(ROOT / ".venv")))
    return [make, Command((python, "-m", "pip", "install", "--quiet", *packages))]


def _slurm_run(job: Job) -> list[Command]:
    size = [f"--nodes={job.nodes}", f"--gpus-per-node={job.gpus}", f"--ntasks-per-node={job.gpus}"]
    options = [f"--job-name={job.name}", f"--chdir={ROOT}", *size]
    environment = ["env", f"RESTARTS={job.restart}", *job.env]  # sbatch hands its environment on
    return [Command((*environment, "sbatch", *options, str(ROOT / "launch/slurm.sbatch"), *_arguments(job)))]


def _slurm_delete(job: Job) -> list[Command]:
    return [Command(("scancel", f"--name={job.name}"))]


# --- SkyPilot -----------------------------------------------------------------------------------------------


def _sky_run(job: Job) -> list[Command]:
    file = f"{job.name}.sky.yaml"
    values = {
        "NAME": job.name,
        "ACCELERATORS": job.type if job.on_gpus else f"tpu-{job.type}",
        "TPU": {} if job.on_gpus else {"runtime_version": job.runtime_version or job.slice.image},
        "PACKAGES": ".[train,cuda]" if job.on_gpus else ".[train,tpu]",
        "SPOT": job.spot,
        "RESTARTS": job.restart,
        "ROOT": str(ROOT),
        "ENV": dict(pair.split("=", 1) for pair in job.env),
        "RUN": shlex.join(job.training(".venv/bin/python", distributed=not job.on_gpus)),
    }
    write = Command(("tee", file), stdin=_filled("skypilot.yaml", values))
    return [write, Command(("sky", "jobs", "launch", f"--name={job.name}", "--yes", file))]


def _sky_delete(job: Job) -> list[Command]:
    return [Command(("sky", "jobs", "cancel", f"--name={job.name}", "--yes"))]


PLATFORMS = {
    "tpu": Platform(
        {
            "create": _tpu_create,
            "wait": _tpu_wait,
            "copy": _tpu_copy,
            "install": _tpu_install,
            "run": _tpu_run,
            "collect": _collect,
            "delete": _tpu_delete,
        },
        needs=("zone",),
        state=_tpu_state,
    ),
    "gke": Platform(
        {
            "create": _gke_create,
            "copy": _image_copy,
            "run": _gke_run,
            "wait": _gke_wait,
            "collect": _collect,
            "delete": _gke_delete,
        },
        needs=("zone", "cluster", "image"),
    ),
    "xpk": Platform(
        {
            "create": _xpk_create,
            "copy": _image_copy,
            "run": _xpk_run,
            "wait": _xpk_wait,
            "collect": _collect,
            "delete": _xpk_delete,
        },
        needs=("zone", "cluster", "image"),
    ),
    "slurm": Platform(
        {"install": _slurm_install, "run": _slurm_run, "delete": _slurm_delete}, needs=(), rents=False
    ),
    "skypilot": Platform({"run": _sky_run, "delete": _sky_delete}, needs=(), rents=False),
}
