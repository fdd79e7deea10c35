"""Whole runs against a stand-in for gcloud: it records what it is asked, and fails when its plan says so."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from launch.job import ROOT

# The n-th call of a verb reads its exit status, or a signal for the launcher, and its output from VERB.n.
GCLOUD = """#!/bin/sh
here=${0%/*}
[ "$1" = compute ] && verb=$4 || verb=$2
case "$*" in *hpof_jax.train*) verb=run ;; *--command=*) verb=install ;; esac
echo "$verb" >> "$here/asked"
number=-1 status=0 output=
while read -r other; do [ "$other" = "$verb" ] && number=$((number + 1)); done < "$here/asked"
[ -f "$here/$verb.$number" ] && read -r status output < "$here/$verb.$number"
case "$status" in SIG*) kill -s "${status#SIG}" $PPID && status=1 ;; esac
echo "$output"
exit "$status"
"""


class Google:
    """A folder of programs that takes the PATH's first place, and what they were asked."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.write("gcloud", GCLOUD)
        self.write("git", "#!/bin/sh\n")
        (folder / "mkdir").symlink_to(shutil.which("mkdir"))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def launch(self, *arguments: str, **plan: list) -> subprocess.CompletedProcess:
        """Runs the launcher; `plan` has what a verb's first calls do, further ones succeed."""
        for verb, calls in plan.items():
            for number, call in enumerate(calls):
                (self.folder / f"{verb}.{number}").write_text(f"{call}\n")
        common = ["--name=hpof", "--zone=us-west4-a", "--workdir=gs://bucket/hpof", "--pause=0"]
        return subprocess.run(
            [sys.executable, "-m", "launch", "tpu", *arguments, *common],
            cwd=self.folder,
            env={
                "PATH": str(self.folder),
                "PYTHONPATH": str(ROOT),
            },  # a gcloud that is really there is not found
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def asked(self) -> list[str]:
        """The verbs, in order."""
        return (self.folder / "asked").read_text().split()


@pytest.fixture
def google(tmp_path):
    return Google(tmp_path)


ONCE = ["create", "scp", "install", "run"]


def test_a_run_that_fails_once_and_is_preempted_once_still_ends_with_its_result(google):
    done = google.launch(
        *("all", "--queued", "--spot", "--restart=20"),
        create=["1"],  # no capacity
        describe=["0 WAITING_FOR_RESOURCES", "0 ACTIVE", "0 SUSPENDED", "0 ACTIVE"],
        run=["255"],  # the connection is lost
    )
    assert done.returncode == 0, done.stderr
    assert google.asked == [
        "create",  # fails
        *["create", "describe", "describe", "scp", "install", "run"],  # is preempted
        *["describe", "delete"],
        *["create", "describe", "scp", "install", "run"],
        *["rsync", "delete"],
    ]
    assert "restart 2 of 20" in done.stdout and "restart 3" not in done.stdout
    assert (google.folder / "runs/hpof").is_dir()


def test_machines_that_are_still_there_are_used_again(google):
    assert google.launch("all", "--restart=1", run=["1"], describe=["0 READY"]).returncode == 0
    assert google.asked == [*ONCE, "describe", "scp", "install", "run", "rsync", "delete"]


def test_after_the_last_restart_the_status_is_that_of_the_training(google):
    assert google.launch("all", "--restart=1", run=["1", "143"], describe=["0 READY"]).returncode == 143
    assert google.asked[-2:] == ["rsync", "delete"]


def test_wrong_input_is_not_tried_again(google):
    assert google.launch("all", "--restart=20", run=["2"]).returncode == 2
    assert google.asked == [*ONCE, "rsync", "delete"]


@pytest.mark.parametrize(
    ("failing", "asked", "status"),
    [
        ({}, [*ONCE, "rsync", "delete"], 0),
        ({"create": ["7"]}, ["create"], 7),
        ({"scp": ["7"]}, ["create", "scp", "rsync", "delete"], 7),
        ({"install": ["7"]}, ["create", "scp", "install", "rsync", "delete"], 7),
        ({"rsync": ["7"]}, [*ONCE, "rsync", "delete"], 7),
        ({"run": ["SIGINT"]}, [*ONCE, "delete"], -2),
        ({"run": ["SIGTERM"]}, [*ONCE, "delete"], 143),
    ],
)
def test_the_slice_is_deleted_whatever_happens_but_never_another_runs(google, failing, asked, status):
    assert google.launch("all", **failing).returncode == status
    assert google.asked == asked


def test_a_request_that_the_queue_refuses_is_deleted(google):
    done = google.launch("all", "--queued", describe=["0 WAITING_FOR_RESOURCES", "0 FAILED"])
    assert done.returncode == 1 and "the state is FAILED, not ACTIVE" in done.stderr
    assert google.asked == ["create", "describe", "describe", "rsync", "delete"]


def test_a_state_that_cannot_be_asked_for_ends_the_wait(google):
    assert google.launch("wait", "--queued", describe=["3"] * 99).returncode == 3
    assert google.asked == ["describe"] * 10


def test_one_step_is_run_alone(google):
    assert google.launch("run").returncode == 0
    assert google.asked == ["run"]


@pytest.mark.parametrize("step", ["create", "all", "run"])
def test_without_gcloud_one_sentence(google, step):
    (google.folder / "gcloud").unlink()
    done = google.launch(step)
    assert done.returncode == 127
    assert done.stderr == "error: gcloud is not installed or not on the PATH: install it.\n"
