"""Trains on a Cloud TPU pod slice: creates it, installs this clone on every worker, trains, deletes it.

    python launch/tpu_pod.py all --name hpof --zone us-west4-a --type v5litepod-16 --workdir gs://BUCKET/hpof --dry-run
    python launch/tpu_pod.py create|setup|train|delete --name hpof --zone us-west4-a ...

`--dry-run` prints the commands, ready for a shell, and runs nothing. Needs `gcloud`, signed in, and nothing else.
The workers get what is committed (`git archive HEAD`). `train` again resumes from the newest checkpoint in --workdir.
"""

import argparse
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARCHIVE = "hpof_jax.tar.gz"  # in the clone, and in the home folder of every worker
FOLDER = "hpof_jax"
PYTHON = "3.12"  # the images' own is older than 3.11, so uv brings this one

Command = list[str]


def create(options: argparse.Namespace) -> list[Command]:
    """The commands that make the slice."""
    command = [f"--accelerator-type={options.type}", f"--version={options.runtime_version}"]
    return [_gcloud(options, "create", options.name, *command, *(["--spot"] if options.spot else []))]


def setup(options: argparse.Namespace) -> list[Command]:
    """The commands that bring the committed tree to every worker and install it there."""
    install = (
        f"set -e; rm -rf {FOLDER}; mkdir {FOLDER}; tar -xzf {ARCHIVE} -C {FOLDER}; cd {FOLDER}; "
        "python3 -m pip install --quiet --user uv; "
        f"python3 -m uv venv --quiet --python {PYTHON} .venv; "
        "python3 -m uv pip install --quiet --python .venv/bin/python -c requirements.txt -e '.[train,tpu]'"
    )
    return [
        ["git", "-C", str(ROOT), "archive", "--format=tar.gz", f"--output={ROOT / ARCHIVE}", "HEAD"],
        _gcloud(options, "scp", str(ROOT / ARCHIVE), f"{options.name}:", "--worker=all"),
        _on_every_worker(options, install),
    ]


def train(options: argparse.Namespace) -> list[Command]:
    """The command that trains on every worker; `jax.distributed` finds the others from the TPU's own metadata."""
    training = ["env", *options.env, ".venv/bin/python", "-m", "hpof_jax.train", "--config", options.config]
    training += ["--workdir", options.workdir, "--distributed", *options.arguments]
    return [_on_every_worker(options, f"cd {FOLDER} && {shlex.join(training)}")]


def delete(options: argparse.Namespace) -> list[Command]:
    """The command that deletes the slice, without asking."""
    return [_gcloud(options, "delete", options.name, "--quiet")]


STEPS = {"create": create, "setup": setup, "train": train, "delete": delete}


def main(arguments: list[str] | None = None) -> int:
    """Runs one step, or all of them; returns the exit status of the first command that failed, else 0."""
    options = _parse(arguments)
    if options.step != "all":
        return _run(STEPS[options.step](options), options.dry_run)
    status = _run(create(options), options.dry_run)
    if status:
        return status
    try:
        return _run(setup(options) + train(options), options.dry_run)
    finally:  # also after an error: a slice costs money, and checkpoints are in the bucket
        _run(delete(options), options.dry_run)


def _gcloud(options: argparse.Namespace, verb: str, *arguments: str) -> Command:
    where = [f"--zone={options.zone}", *([f"--project={options.project}"] if options.project else [])]
    return ["gcloud", "compute", "tpus", "tpu-vm", verb, *arguments, *where]


def _on_every_worker(options: argparse.Namespace, shell_command: str) -> Command:
    return _gcloud(options, "ssh", options.name, "--worker=all", f"--command={shell_command}")


def _run(commands: list[Command], dry_run: bool) -> int:
    for command in commands:
        print(shlex.join(command), flush=True)
        if not dry_run:
            try:
                status = subprocess.run(command, check=False).returncode
            except FileNotFoundError:
                print(
                    f"error: {command[0]} is not installed or not on the PATH: install it.", file=sys.stderr
                )
                return 127
            if status:
                return status
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="What follows a -- goes to hpof_jax.train as it is: -- --config.batch_size=512",
    )
    parser.add_argument(
        "step", choices=[*STEPS, "all"], help="all: every step in order; deletes also after an error"
    )
    parser.add_argument("--name", required=True, help="the slice's name")
    parser.add_argument("--zone", required=True, help="such as us-west4-a")
    parser.add_argument("--project", help="(default: gcloud's own)")
    parser.add_argument("--type", default="v5litepod-16", help="accelerator type (default: %(default)s)")
    parser.add_argument(
        "--runtime-version", default="v2-alpha-tpuv5-lite", help="image for that type (default: %(default)s)"
    )
    parser.add_argument(
        "--spot", action="store_true", help="cheaper, but may be preempted: train again to resume"
    )
    parser.add_argument("--workdir", help="gs://BUCKET/FOLDER, for checkpoints and logs")
    parser.add_argument("--config", default="configs/hpof.py", help="inside the clone (default: %(default)s)")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="for the training; may be repeated"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run nothing")
    arguments = sys.argv[1:] if arguments is None else arguments
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:cut])
    options.arguments = arguments[cut + 1 :]
    if "--dry-run" in options.arguments:  # it would go to the training, and the commands would run
        parser.error("--dry-run comes before the --: what follows it goes to hpof_jax.train")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", options.name):
        parser.error(f"--name {options.name!r}: use lower-case letters, digits and dashes, a letter first")
    if wrong := [pair for pair in options.env if not re.match(r"[A-Za-z_]\w*=", pair)]:
        parser.error(f"--env {wrong[0]!r}: write NAME=VALUE")
    if options.step in ("train", "all") and not (options.workdir or "").startswith("gs://"):
        parser.error("--workdir must be a folder in a bucket (gs://BUCKET/FOLDER): the workers share no disk")
    return options


if __name__ == "__main__":
    sys.exit(main())
