"""Who may import whom: one direction, read from the sources, and from what really gets loaded."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# What a room may import of this repository, besides itself and the foundations, which everybody may.
FOUNDATIONS = {"errors", "interrupt", "atomic", "downloads"}
ROOMS = {
    "errors": set(),
    "interrupt": set(),
    "atomic": set(),
    "downloads": set(),
    "geometry": set(),
    "body": {"geometry"},
    "motion": {"body", "geometry"},
    "models": {"body", "geometry"},
    "observe": {"models", "body", "geometry"},
    "lifting": {"observe", "motion", "models", "body", "geometry"},
    "export": {"motion", "models", "body", "geometry"},
    "training": {"models", "body", "geometry"},
    "refine": {"motion", "models", "body", "geometry"},
    "visualize": {"motion", "body", "geometry"},
    "ablation_report": set(),
    "data_pipelines": {"observe", "body", "geometry", "visualize"},
}
LIBRARY = {*ROOMS} - {"data_pipelines"}
# Programs stand on top: they may import every room, and no room imports them.
PROGRAMS = {"__main__", "cli", "doctor", "reconstruct", "evaluate", "train", "data", "ablate"}
FEED_ON_DATA = {"evaluate", "train", "data", "ablate"}


def imports(path: pathlib.Path) -> set[str]:
    """The dotted names that a source file imports, wherever in the file; relative ones made absolute."""
    package = path.relative_to(ROOT).parent.parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            names.update(".".join([*base, alias.name]) for alias in node.names)
    return names


def room(name: str) -> str | None:
    """The room of a dotted name: 'hpof_jax.body.files' -> 'body'; None for other people's modules."""
    first, *rest = name.split(".")
    if first == "hpof_jax":
        return rest[0] if rest else "hpof_jax"
    return first if first in ("data_pipelines", "configs", "benchmarks", "launch", "tests") else None


def sources(folder: str) -> list[pathlib.Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def room_of_file(path: pathlib.Path) -> str:
    return room(".".join(path.relative_to(ROOT).with_suffix("").parts))


LIBRARY_FILES = [path for path in sources("hpof_jax") if room_of_file(path) not in {*PROGRAMS, "__init__"}]
FILES = LIBRARY_FILES + sources("data_pipelines")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_below_it(path):
    here = room_of_file(path)
    assert here in ROOMS, f"{here} is a new room: say in ROOMS what it may import"
    found = {other for other in map(room, imports(path)) if other not in (None, here)}
    assert found <= ROOMS[here] | FOUNDATIONS, f"{here} may not import {found - ROOMS[here] - FOUNDATIONS}"


def test_only_what_trains_or_measures_imports_the_data():
    users = {
        room_of_file(path) for path in sources("hpof_jax") if "data_pipelines" in map(room, imports(path))
    }
    assert users <= FEED_ON_DATA


def test_in_the_data_only_real_videos_are_observed():
    def observes(path):
        return any(
            room(name) == "observe" and not name.startswith("hpof_jax.observe.video")  # which only reads
            for name in imports(path)
        )

    assert {path.name for path in sources("data_pipelines") if observes(path)} == {
        "videos.py",
        "collection.py",
    }


def test_configs_import_nothing_of_ours():
    for path in sources("configs"):
        assert {room(name) for name in imports(path)} <= {None, "configs"}, path


def test_only_the_data_imports_tensorflow():
    for path in sources("hpof_jax"):
        if room_of_file(path) not in FEED_ON_DATA:
            found = {name.split(".")[0] for name in imports(path)} & {"tensorflow", "tensorflow_datasets"}
            assert not found, f"{path} imports {found}"


def test_the_rooms_and_the_top_level_are_there():
    top = {"hpof_jax", "configs", "data_pipelines", "tests", "launch", "requirements.txt", "README.md"}
    assert top <= {path.name for path in ROOT.iterdir()}
    modules = {room_of_file(path) for path in sources("hpof_jax")}
    assert modules >= LIBRARY - {"export", "refine"} | {"reconstruct", "evaluate", "train", "doctor"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import hpof_jax", ["jax", "numpy", "cv2", "flax", "tensorflow"]),
        ("import hpof_jax.body", ["cv2", "flax", "mediapy", "tensorflow"]),
        (
            """
import hpof_jax
import numpy as np
from hpof_jax.visualize import render_mesh
body = hpof_jax.load_body()
vertices, joints = hpof_jax.body.forward(body, np.zeros(10), np.zeros(3), np.zeros((23, 3)), np.array([0, 0, 3]))
assert render_mesh(np.zeros((64, 64, 3), np.uint8), vertices, body.faces, 60.0).any()""",
            ["cv2", "flax", "mediapy", "tensorflow"],
        ),
        ("import hpof_jax.reconstruct", ["tensorflow", "tensorflow_datasets", "data_pipelines"]),
        ("import hpof_jax; hpof_jax.Motion", ["jax", "tensorflow"]),
    ],
)
def test_what_an_import_does_not_load(statement, absent):
    run(f"import sys; {statement}\nfound = sys.modules.keys() & {set(absent)}; assert not found, found")


@pytest.mark.parametrize(
    "first",
    [
        "",
        "import hpof_jax.reconstruct",
        "from hpof_jax import reconstruct",
        "import hpof_jax; hpof_jax.reconstruct",
    ],
)
def test_reconstruct_is_a_module_and_a_function_whatever_is_imported_first(first):
    run(
        f"""
{first}
import hpof_jax, importlib, inspect
module = importlib.import_module("hpof_jax.reconstruct")
assert hpof_jax.reconstruct is module and callable(hpof_jax.reconstruct) and inspect.isfunction(module.main)
module.reconstruct = lambda *args, **kwargs: (args, kwargs)
assert hpof_jax.reconstruct("clip.mp4", person=1) == (("clip.mp4",), {{"person": 1}})
"""
    )


def test_the_public_names():
    run(
        "import hpof_jax; missing = [n for n in hpof_jax.__all__ if not hasattr(hpof_jax, n)]; assert not missing"
    )
    run(
        """
import hpof_jax
try:
    hpof_jax.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise SystemExit("no AttributeError")
"""
    )


def run(code: str) -> None:
    """Runs `code` in a fresh interpreter, which is the only place where nothing has been imported yet."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
