"""The public API and the programs have types that hold, and a user's type checker sees them."""

import pathlib
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

RIGHT = """
from typing import assert_type

import numpy as np

import hpof_jax
from hpof_jax.body import BodyModel

motion = hpof_jax.reconstruct("clip.mp4", "out", person=2)
assert_type(motion, hpof_jax.Motion)
assert_type(hpof_jax.reconstruct(), hpof_jax.Motion)
assert_type(hpof_jax.reconstruct("clip.mp4", person="leftmost", fps=25), hpof_jax.Motion)
assert_type(hpof_jax.reconstruct("clip.mp4", "out", person="all", progress=False), list[hpof_jax.Motion])
assert_type(hpof_jax.reconstruct(person=str(2)), hpof_jax.Motion | list[hpof_jax.Motion])
assert_type(motion.times.dtype, np.dtype)
body = hpof_jax.load_body()
assert_type(body, BodyModel)
assert_type(motion.vertices(body, slice(0, 3)), np.ndarray)
assert_type(hpof_jax.Motion.load("motion.npz"), hpof_jax.Motion)
motion.export("motion.glb", body, names="mixamo")
hpof_jax.body.forward(body, motion.betas, motion.global_orient, motion.body_pose, motion.trans)
"""
WRONG = """
import hpof_jax

hpof_jax.reconstruct("clip.mp4", persn=2)
hpof_jax.reconstruct("clip.mp4", fps="fast")
hpof_jax.load_body(3.5)
hpof_jax.no_such_name
hpof_jax.Motion.load("motion.npz").save()
"""


def check(*arguments: str, cache: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--no-error-summary", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_public_api_and_a_program_that_uses_it(tmp_path):
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(RIGHT, encoding="utf-8")
    wrong.write_text(WRONG, encoding="utf-8")
    files = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]
    done = check(*files, str(right), cache=tmp_path / "cache")
    assert not done.stdout and done.returncode == 0, done.stdout + done.stderr
    done = check(str(wrong), cache=tmp_path / "cache")
    lines = WRONG.splitlines()
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line}
    assert found == {number for number, line in enumerate(lines, 1) if line.startswith("hpof_jax")}, (
        done.stdout
    )


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "hpof_jax/py.typed").read_bytes() == b""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["hpof_jax"]
