"""Runs the commands of a platform, deletes what it rented, and starts a preempted run again."""

import subprocess
import sys
import time

from launch.job import PAUSE, Command, Job
from launch.platforms import Platform

WRONG_INPUT = 2  # the training's exit status for input that a user must put right: a restart would not help
MAX_FAILURES = 10  # of a command in a row that asks for a state


def run_step(platform: Platform, step: str, job: Job, pause: float = PAUSE) -> int:
    """Runs one step; returns the exit status of the first command that failed, else 0."""
    for command in platform.steps[step](job):
        print(command, flush=True)
        status = _wait(command, pause) if command.until else _run(command).returncode
        if status:
            return status
    return 0


def run_all(platform: Platform, job: Job, pause: float = PAUSE) -> int:
    """Runs every step, `delete` also after an error or Ctrl-C, if the machines are this run's own.

    Where the platform does not restart a training itself, one that was preempted or failed is started again, at most
    `job.restart` times. Machines that are gone are created anew. The training resumes from its newest checkpoint.

    Returns:
      The exit status of the last attempt, or of `collect`.
    """
    steps = [step for step in platform.steps if step not in ("collect", "delete")]
    there, status = False, 0
    try:
        for attempt in range(1 + (job.restart if platform.state else 0)):
            if attempt:
                print(f"# status {status}: restart {attempt} of {job.restart} in {pause:g} s", flush=True)
                time.sleep(pause)
                if there and not _up(platform.state(job)):
                    run_step(platform, "delete", job, pause)
                    there = False
            for step in steps[steps.index("copy") if there else 0 :]:
                status = run_step(platform, step, job, pause)
                # A create that fails made nothing; machines of that name may be another run's.
                there = there or (step == "create" and not status)
                if status:
                    break
            if status in (0, WRONG_INPUT):
                break
        if "collect" in platform.steps and there:
            status = run_step(platform, "collect", job, pause) or status
        return status
    finally:  # also after an error: machines cost money, and the checkpoints are elsewhere
        if platform.rents and there:
            run_step(platform, "delete", job, pause)


def show(platform: Platform, steps: list[str], job: Job) -> None:
    """Prints the commands of the steps for a shell."""
    for step in steps:
        if commands := platform.steps[step](job):
            print(f"# {step}", *commands, sep="\n")
    if platform.state and job.restart and len(steps) > 1:
        state = platform.state(job)
        print(f"# After a failure, at most {job.restart} times: from copy on, if this prints {state.until},")
        print(f"# else delete, and from create on:\n# {Command(state.arguments)}")


def _run(command: Command, capture: bool = False) -> subprocess.CompletedProcess:
    text = {"text": True, "input": command.stdin} if command.stdin else {}
    text |= {"text": True, "stdout": subprocess.PIPE} if capture else {}
    try:
        return subprocess.run(command.arguments, check=False, **text)
    except FileNotFoundError:
        name = command.arguments[0]
        print(f"error: {name} is not installed or not on the PATH: install it.", file=sys.stderr)
        return subprocess.CompletedProcess(command.arguments, 127, "")


def _up(state: Command) -> bool:
    done = _run(state, capture=True)
    return not done.returncode and done.stdout.strip() == state.until


def _wait(command: Command, pause: float) -> int:
    """Runs a command until it prints what it should; returns its exit status, or 1 if it never will."""
    failures, shown = 0, None
    while failures < MAX_FAILURES:
        done = _run(command, capture=True)
        found = done.stdout.strip()
        if not done.returncode and found == command.until:
            return 0
        if found in command.never:
            print(f"error: the state is {found}, not {command.until}.", file=sys.stderr)
            return 1
        if found != shown:
            print(f"# {found or 'no state yet'}", flush=True)
        failures, shown = failures + 1 if done.returncode else 0, found
        time.sleep(pause)
    return done.returncode
