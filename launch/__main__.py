"""Trains on Cloud TPUs, GKE, a Slurm cluster, or wherever SkyPilot finds machines.

    python -m launch tpu all --name hpof --zone us-west4-a --workdir gs://BUCKET/hpof --spot --restart 20 --dry-run
    python -m launch tpu create|wait|copy|install|run|collect|delete --name hpof --zone us-west4-a ...
    python -m launch gke|xpk|slurm|skypilot STEP ...

`--dry-run` prints the commands, ready for a shell, and runs nothing. What follows a `--` goes to hpof_jax.train.
"""

import argparse
import dataclasses
import re
import signal
import sys

from launch import runner
from launch.job import PAUSE, Job, Slice
from launch.platforms import PLATFORMS

TRAINING = ("run", "collect", "all")  # the steps that need a workdir


def main(arguments: list[str] | None = None) -> int:
    """Runs one step, or all of them; returns the exit status of the first command that failed, else 0."""
    options, job = _parse(sys.argv[1:] if arguments is None else arguments)
    platform = PLATFORMS[options.platform]
    steps = [*platform.steps] if options.step == "all" else [options.step]
    if options.step == "all" and not platform.rents:
        steps.remove("delete")
    if options.dry_run:
        runner.show(platform, steps, job)
        return 0
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that the machines are deleted
    if options.step == "all":
        return runner.run_all(platform, job, options.pause)
    return runner.run_step(platform, options.step, job, options.pause)


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, Job]:
    parser = argparse.ArgumentParser(
        prog="python -m launch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("platform", choices=PLATFORMS)
    add(
        "step",
        help="a step of the platform, or all: every step in order; machines are deleted also after an error",
    )
    add("--name", required=True, help="of the run and of its machines")
    add(
        "--workdir",
        default="",
        help="gs://BUCKET/FOLDER, or with slurm a shared folder: checkpoints and logs",
    )
    add("--config", default=Job.config, help="inside the clone (default: %(default)s)")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="for the training; may be repeated")
    add(
        "--restart",
        type=int,
        default=0,
        metavar="N",
        help="start a preempted or failed run again, N times at most",
    )
    add("--dry-run", action="store_true", help="print the commands and run nothing")
    add(
        "--pause",
        type=float,
        default=PAUSE,
        help="seconds before a restart and between looks (default: %(default)s)",
    )
    machines = parser.add_argument_group("machines")
    add = machines.add_argument
    add(
        "--type",
        default=Job.type,
        help="TPU type; skypilot also takes GPUs, as H100:8 (default: %(default)s)",
    )
    add("--spot", action="store_true", help="cheaper, but may be preempted: add --restart")
    add("--zone", default="", help="tpu, gke, xpk: such as us-west4-a")
    add("--project", default="", help="tpu, gke, xpk (default: gcloud's own)")
    add("--runtime-version", default="", help="tpu: the image (default: the one that fits the type)")
    add("--queued", action="store_true", help="tpu: wait in the queue until the slice is free")
    add(
        "--valid-until", default="", metavar="DURATION", help="tpu: how long to wait in the queue, such as 6h"
    )
    add("--cluster", default="", help="gke, xpk: the cluster's name")
    add("--image", default="", help="gke, xpk: REGION-docker.pkg.dev/PROJECT/REPOSITORY/hpof_jax")
    add("--nodes", type=int, default=Job.nodes, help="slurm (default: %(default)s)")
    add("--gpus", type=int, default=Job.gpus, help="slurm: GPUs of a node (default: %(default)s)")
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:cut])
    fields = {field.name: getattr(options, field.name, ()) for field in dataclasses.fields(Job)}
    job = Job(**fields | {"env": tuple(options.env), "arguments": tuple(arguments[cut + 1 :])})
    if wrong := _wrong(options, job):
        parser.error(wrong)
    return options, job


def _wrong(options: argparse.Namespace, job: Job) -> str | None:
    """A sentence that says what is wrong with the options."""
    platform = PLATFORMS[options.platform]
    if options.step not in (*platform.steps, "all"):
        return f"{options.platform} has no step {options.step!r}: use one of {', '.join(platform.steps)}, all"
    if "--dry-run" in job.arguments:  # it would go to the training, and the commands would run
        return "--dry-run comes before the --: what follows it goes to hpof_jax.train"
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", job.name):
        return f"--name {job.name!r}: use at most 40 lower-case letters, digits and dashes, a letter first"
    if wrong := [pair for pair in job.env if not re.match(r"[A-Za-z_]\w*=", pair)]:
        return f"--env {wrong[0]!r}: write NAME=VALUE"
    if missing := [name for name in platform.needs if not getattr(job, name)]:
        return f"{options.platform} needs --{missing[0]}"
    if job.restart < 0 or job.nodes < 1 or job.gpus < 1 or options.pause < 0:
        return "--restart and --pause are at least 0, --nodes and --gpus at least 1"
    if options.step in TRAINING and not job.workdir:
        return "--workdir is missing: name the run's folder, for its checkpoints and logs"
    if options.step in TRAINING and platform.rents and not job.workdir.startswith("gs://"):
        return "--workdir must be a folder in a bucket (gs://BUCKET/FOLDER): the workers share no disk"
    if options.platform != "slurm" and not (options.platform == "skypilot" and job.on_gpus):
        try:
            Slice.of(job.type)
        except ValueError as error:
            return f"--type: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
