"""What is imported is declared, what is declared is used, and what is declared is pinned."""

import ast
import functools
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata

import pytest

from tests.test_architecture import imports, modules

ROOT = pathlib.Path(__file__).parents[1]
OURS = {"hpof_jax", "data_pipelines", "configs", "launch", "benchmarks", "tests"}
# Declared, though none of our files imports them.
UNIMPORTED = {
    "onnxruntime",  # runs an exported model, which the tests do
    "importlib-resources",  # tensorflow-datasets imports it without declaring it
    "pip",  # fetches third-party files, as a program
}


def third_party(paths: Iterable[pathlib.Path]) -> set[str]:
    """The top-level modules of others that some Python files import, wherever in the file."""
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OURS


# Modules that some formats of `hpof_jax.export` and `hpof_jax.export_model` need, and that need not be installed.
OF_FORMATS = {"pxr": ["usd-core"], "rerun": ["rerun-sdk"], "jax2onnx": ["jax2onnx"]}


@functools.cache
def distributions(module: str) -> frozenset[str]:
    """The names on the package index of the distributions that a module is from."""
    installed = metadata.packages_distributions().get(module, OF_FORMATS.get(module, ()))
    return frozenset(map(canonical, installed))


def canonical(requirement: str) -> str:
    """'ml_collections>=1,<2' -> 'ml-collections'."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [*project["dependencies"]]
    for extra in extras:
        names += project["optional-dependencies"][extra]
    return set(map(canonical, names))


@pytest.mark.parametrize("folder", ["hpof_jax", "data_pipelines", "configs", "launch"])
def test_every_import_is_declared(folder):
    for module in sorted(third_party((ROOT / folder).rglob("*.py"))):
        assert distributions(module) & declared("train", "build", "usd", "rerun", "onnx"), (
            f"{folder} imports {module}"
        )


def test_a_reconstruction_needs_nothing_but_the_dependencies_without_extras():
    reached, names = set(), {"hpof_jax.reconstruct"}
    while names := {name for name in names if name in modules()} - reached:
        reached |= names
        names = set().union(*map(imports, names))
    found = third_party(modules()[name] for name in reached) - OF_FORMATS.keys()
    assert {"numpy", "jax", "fast_simplification"} <= found
    assert [module for module in found if not distributions(module) & declared()] == []


def test_every_dependency_is_imported():
    files = [path for folder in OURS for path in (ROOT / folder).rglob("*.py")]
    used = set().union(*map(distributions, third_party(files)))
    used |= {"tensorflow", "tensorflow-cpu"}  # one of them is installed
    assert declared("train", "build", "usd", "rerun", "onnx") - used == UNIMPORTED


def test_requirements_pin_every_dependency_and_nothing_else():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    assert set(map(canonical, pins)) == declared("train") - {"pip"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = ("build", "dist", "runs", "out", "*.egg-info", "__pycache__", ".*")
    clone = shutil.copytree(ROOT, folder / "clone", ignore=shutil.ignore_patterns(*unwanted))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, clone]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
@pytest.mark.network
def test_the_wheel_holds_the_body_the_weights_the_configs_and_the_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    package = {
        "assets/free_body.npz",
        "assets/hpof.npz",
        "assets/hpof_free.npz",
        "configs/hpof.py",
        "configs/tiny.py",
        "py.typed",
    }
    assert {f"hpof_jax/{name}" for name in package} <= {*names}
    licences = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}
    ours = {name.partition("/")[0] for name in names}
    assert ours == {"hpof_jax", "data_pipelines", "hpof_jax-0.1.0.dist-info"}
    assert wheel.stat().st_size < 20e6


TRAIN = """
import runpy, sys
sys.path[:0] = {paths}
sys.argv = ["train", "--config", "configs/tiny.py:no_flow", "--config.num_steps=0"]
runpy.run_module("hpof_jax.train", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.network
def test_training_from_the_wheel_finds_its_configs_in_any_folder(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    paths = [str(tmp_path / "installed"), *(path for path in sys.path if "site-packages" in path)]
    # -S: without the .pth file of an editable install, which adds the clone.
    command = [sys.executable, "-S", "-c", TRAIN.format(paths=paths)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "error: config.num_steps is 0" in done.stderr, done.stderr
