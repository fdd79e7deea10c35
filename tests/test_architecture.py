"""Who may import whom: one direction, through other modules too; no circles; and what an import really loads."""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOUNDATIONS = {
    "errors",
    "interrupt",
    "archives",
    "atomic",
    "downloads",
    "motion_fields",
    "palette",
    "progress",
}  # every room may import these
# A room is a package or module. For each: all rooms that it may reach, through other modules too.
LIBRARY = {
    "errors": set(),
    "interrupt": set(),
    "archives": set(),
    "data_folders": set(),
    "atomic": set(),
    "downloads": set(),
    "memory": set(),
    "motion_fields": {"geometry"},
    "palette": set(),
    "progress": set(),
    "geometry": set(),
    "body": {"geometry"},
    "motion": {"body", "geometry"},
    "confidence": {"motion", "body", "geometry"},
    "contacts": {"motion", "body", "geometry"},
    "gravity": {"contacts", "motion", "body", "geometry"},
    "foot_lock": {"contacts", "gravity", "motion", "body", "geometry"},
    "stature": {"motion", "body", "geometry"},
    "grounding": {"foot_lock", "contacts", "stature", "world", "gravity", "motion", "body", "geometry"},
    "world": {"gravity", "contacts", "motion", "body", "geometry"},
    "export": {"world", "gravity", "contacts", "motion", "body", "geometry"},
    "report": {"stature", "motion", "body", "geometry"},
    "pickles": {"body", "geometry"},
    "models": {"pickles", "body", "geometry"},
    "observe": {"body", "geometry"},
    "visualize": {"motion", "observe", "body", "geometry"},
    "moving_camera": {"motion", "observe", "body", "geometry"},
    "features": {"observe", "models", "pickles", "body", "geometry"},
    "predictions": {"pickles", "body", "geometry"},
    "causal": {"confidence", "motion", "models", "pickles", "body", "geometry"},
    "lifting": {"memory", "confidence", "motion", "observe", "models", "body", "geometry"},
    "picture_fit": {"body", "geometry"},
    "refine": {"picture_fit", "motion", "observe", "body", "geometry"},
    "training": {"models", "body", "geometry"},
    "scoring": {"training", "predictions", "models", "pickles", "body", "geometry"},
    "tables": set(),
    "score_tables": {"tables", "training", "models", "pickles", "body", "geometry"},
    "ablation_report": set(),
    "batch": {"motion", "body", "geometry"},
    "cli": set(),
    "config_files": set(),
    "timing": set(),
}
LIBRARY["reconstruction"] = {
    *(LIBRARY["export"] | LIBRARY["moving_camera"] | LIBRARY["refine"] | LIBRARY["features"] | LIBRARY["report"]),
    *("cli", "export", "features", "moving_camera", "refine", "report", "visualize"),
}  # fmt: skip
LIBRARY["sessions"] = {"pickles", "body", "geometry"}
LIBRARY["session_scoring"] = {*LIBRARY["export"], *LIBRARY["scoring"], "export", "scoring", "sessions"}
LIBRARY["session_evaluation"] = {
    *LIBRARY["session_scoring"], *LIBRARY["lifting"], *LIBRARY["refine"],
    *("session_scoring", "lifting", "refine", "tables"),
}  # fmt: skip
DATA = {
    "data_pipelines.device": set(),
    "data_pipelines.feed": set(),
    "data_pipelines.motion": {"body", "geometry"},
    "data_pipelines.simulate": {"data_pipelines.device", "data_pipelines.feed", "body", "geometry"},
}
DATA["data_pipelines.observed"] = {*DATA, "observe", "body", "geometry"}
DATA["data_pipelines.sources"] = {*DATA, "observe", "body", "geometry"}
DATA["data_pipelines.stream"] = {*DATA, "observe", "body", "geometry"}
DATA["data_pipelines.validation"] = {*DATA, "observe", "body", "geometry"}
DATA["data_pipelines.workers"] = set()
DATA["data_pipelines.datasets"] = {*DATA, "features", "models", "observe", "pickles", "body", "geometry"}
DATA["data_pipelines.render"] = {*DATA, "observe", "visualize", "motion", "body", "geometry"}
ROOMS = LIBRARY | DATA
# Entry points may import every room, and no room imports them. These ones need training data.
USE_DATA = {"evaluate", "prepared", "train", "train_data", "data", "ablate"}
ENTRY_POINTS = {"__main__", "average", "doctor", "export_model", "live", "reconstruct"} | USE_DATA


@functools.cache
def modules() -> dict[str, pathlib.Path]:
    """Dotted name -> file, of the package, the data and the configs; a package's own file has the package's name."""
    files = [
        path for folder in ("hpof_jax", "data_pipelines", "configs") for path in (ROOT / folder).rglob("*.py")
    ]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }


@functools.cache
def imports(name: str) -> frozenset[str]:
    """The modules of this repository that one imports, wherever in the file, but for type checking alone."""
    found, tree = set(), ast.parse(modules()[name].read_text(encoding="utf-8"))
    unchecked = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    ignored = {id(inner) for node in unchecked for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} has a relative import: write the whole name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules() else node.module)
    return frozenset(other for other in found if other in modules() and other != name)


@functools.cache
def reached(name: str) -> frozenset[str]:
    """All modules that importing one may load: what it imports, what that imports, and the packages above each."""
    seen, waiting = set(), [name]
    while waiting:
        for other in imports(waiting.pop()):
            parents = other.split(".")
            above = {".".join(parents[:end]) for end in range(1, len(parents))} - {
                "hpof_jax"
            }  # which loads nothing
            for new in ({other} | above) - seen:
                seen.add(new)
                waiting.append(new)
    return frozenset(seen)


def room(name: str) -> str | None:
    """The room of a module: hpof_jax.body.files -> body; None for a package that only holds rooms.

    The `__main__` of a package is an entry point.
    """
    first, *rest = name.split(".")
    if rest[-1:] == ["__main__"]:
        return "__main__"
    if first == "hpof_jax":
        return rest[0] if rest else None
    return ".".join([first, *rest[:1]]) if rest else None


def test_every_room_is_there_and_named():
    found = {room(name) for name in modules() if not name.startswith("configs")} - {None}
    assert found == ROOMS.keys() | ENTRY_POINTS


@pytest.mark.parametrize("name", [name for name in modules() if room(name) in ROOMS])
def test_a_module_reaches_only_the_rooms_below_it(name):
    here = room(name)
    found = {other for other in map(room, reached(name)) if other not in (None, here)}
    wrong = found - ROOMS[here] - FOUNDATIONS
    assert not wrong, (
        f"{name} reaches {wrong} through {[m for m in imports(name) if wrong & {*map(room, reached(m) | {m})}]}"
    )


def test_no_module_imports_itself_through_others():
    for name in modules():
        circle = [other for other in imports(name) if name in _through_imports(other)]
        assert not circle, f"{name} imports {circle}, which import it"


def _through_imports(name: str) -> set[str]:
    """Like `reached`, without the packages above: a package's own file may import from its modules."""
    seen, waiting = set(), [name]
    while waiting:
        new = imports(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen


def test_only_what_trains_or_measures_uses_the_data():
    users = {room(name) for name in modules() if any(m.startswith("data_pipelines") for m in imports(name))}
    assert users - DATA.keys() <= USE_DATA


def test_configs_import_nothing_of_ours():
    for name in modules():
        if name.startswith("configs"):
            assert all(other.startswith("configs") for other in imports(name)), name


def test_the_top_level_is_there():
    top = {"hpof_jax", "configs", "data_pipelines", "tests", "launch", "requirements.txt", "README.md"}
    assert top <= {path.name for path in ROOT.iterdir()}


# Each line imports more than the one before it; what is named after it must not have been loaded until then.
IMPORTS = """
import hpof_jax | jax numpy cv2 flax tensorflow
hpof_jax.Motion | jax cv2 flax tensorflow
import hpof_jax.body | cv2 flax mediapy tensorflow
import hpof_jax.visualize | cv2 flax mediapy tensorflow
import hpof_jax.reconstruct | tensorflow tensorflow_datasets data_pipelines hpof_jax.training orbax mediapy matplotlib
"""


def test_what_an_import_does_not_load():
    checks = ["import sys"]
    for line in IMPORTS.strip().splitlines():
        statement, absent = line.split(" | ")
        checks += [statement, f"found = sys.modules.keys() & {{*{absent.split()}}}"]
        checks += [f"assert not found, ({statement!r}, found)"]
    run("\n".join(checks))


def test_the_public_names_whatever_is_imported_first():
    run(
        """
import sys, importlib, inspect
firsts = ["", "import hpof_jax.reconstruct", "from hpof_jax import reconstruct", "import hpof_jax; hpof_jax.reconstruct"]
for first in firsts:
    for name in [name for name in sys.modules if name.split(".")[0] == "hpof_jax"]:
        del sys.modules[name]
    exec(first)
    import hpof_jax
    module = importlib.import_module("hpof_jax.reconstruct")
    assert hpof_jax.reconstruct is module and callable(hpof_jax.reconstruct) and inspect.isfunction(module.main), first
    module.reconstruct = lambda *args, **kwargs: (args, kwargs)
    assert hpof_jax.reconstruct("clip.mp4", person=1) == (("clip.mp4",), {"person": 1}), first
    assert not [name for name in hpof_jax.__all__ if not hasattr(hpof_jax, name)], first
try:
    hpof_jax.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise SystemExit("no AttributeError")
"""
    )


def run(code: str) -> None:
    """Runs code in a new interpreter, in which nothing has been imported yet."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
