"""What the documentation says holds: its programs run, its links, files, commands and options exist."""

import ast
import functools
import importlib
import pathlib
import re
import runpy
import shlex

import numpy as np
import pytest
from absl import flags
from ml_collections import ConfigDict

import hpof_jax

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted(
    path
    for folder, pattern in [(".", "*.md"), ("docs", "*.md"), ("launch", "*.md"), ("hpof_jax/assets", "*.md")]
    for path in (ROOT / folder).glob(pattern)
)
page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
WIDEST = 120


# --- programs ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{name}.md" for name in ("smpl_layer", "rasterizer", "flow", "free_body"))]
)
def test_the_python_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_motion(tmp_path / "out" / "motion.npz")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    scope = {}
    for block in blocks:
        exec(compile(block, page, "exec"), scope)
    if page == "README.md":
        assert scope["vertices"].shape == (2, 6890, 3)
    elif page == "docs/smpl_layer.md":
        assert (tmp_path / "body.png").stat().st_size > 5000
    elif page == "docs/rasterizer.md":
        assert scope["area"].shape == (10,) and abs(scope["area"][0]) > 1


def save_motion(path: pathlib.Path) -> None:
    """A motion file of two frames."""
    path.parent.mkdir()
    zeros = {
        "poses": (2, 72),
        "betas": (10,),
        "trans": (2, 3),
        "joints": (2, 24, 3),
        "keypoints_2d": (2, 33, 3),
    }
    zeros |= {"cam": (2, 3), "box": (2, 3), "confidence": (2,)}
    arrays = {name: np.zeros(shape, np.float32) for name, shape in zeros.items()}
    more = dict(mocap_framerate=30.0, gender="neutral", focal_length=1000.0, body="free body")
    frames = dict(frame_index=np.arange(2), image_size=np.array([720, 1280]))
    hpof_jax.Motion(**arrays, **frames, **more).save(path)


# --- links, files and lines -------------------------------------------------------------------------


@page
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            file, _, anchor = target.partition("#")
            linked = page.parent / file if file else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors that GitHub gives the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page
def test_files_that_a_page_names_exist(page):
    folders = "hpof_jax|data_pipelines|configs|launch|tests|benchmarks|docs"
    names = re.findall(rf"`((?:{folders})/[\w/.-]*)(?::\w+)?`", page.read_text(encoding="utf-8"))
    made = ("docs/api/",)
    missing = [name for name in names if not (ROOT / name).exists() and not name.startswith(made)]
    assert not missing


@page
def test_lines_fit_into_an_editor(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    wide = [line for line in lines if len(line) > WIDEST and not line.lstrip().startswith("|")]
    assert not wide


# --- commands ---------------------------------------------------------------------------------------


@page
def test_commands_name_programs_options_and_config_keys_that_exist(page):
    for command in commands(page.read_text(encoding="utf-8")):
        module, *words = shlex.split(command)
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        keys = {option.removeprefix("--config.") for option in options if option.startswith("--config.")}
        unknown = options - {f"--config.{key}" for key in keys} - options_of(module)
        assert not unknown, f"{command}: there is no {unknown}"
        known = config_keys(next((word for word in words if word.startswith("configs/")), "configs/hpof.py"))
        assert keys <= known, f"{command}: the config has no {keys - known}"


@page
def test_options_and_variants_that_a_page_names_exist(page):
    programs = [
        *(ROOT / "hpof_jax").glob("*.py"),
        *(ROOT / "hpof_jax").glob("*/__main__.py"),
        *(ROOT / "benchmarks").glob("*.py"),
        ROOT / "launch/__main__.py",
    ]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in programs]
    known = {*set().union(*map(options_of, modules))}
    text = page.read_text(encoding="utf-8")
    for code in re.findall(r"`(--[^`]+)`", text):
        option = code.split()[0].partition("=")[0]
        key = option.removeprefix("--config.")
        assert option in known or (key != option and key in config_keys("configs/hpof.py")), code
    for config in re.findall(r"\b(configs/\w+\.py:\w+)", text):
        assert config_keys(config)


def commands(text: str) -> list[str]:
    """What follows `python -m` in a page's code, for modules of this repository. Brackets and comments are cut off."""
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"^    (.*)$", text, re.MULTILINE)
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    found = (
        re.search(r"python -m ((?:hpof_jax|benchmarks)[^#]*)", line, re.DOTALL) for line in lines + inline
    )
    return [re.sub(r"[\[\]\s]+", " ", match[1]).strip() for match in found if match]


def test_commands_are_found_wherever_a_page_has_them():
    text = "By `python -m hpof_jax.evaluate\n--raw [--json FILE]`:\n```\nmake\npython -m hpof_jax.data render  # makes\n```\n"
    assert commands(text) == ["hpof_jax.data render", "hpof_jax.evaluate --raw --json FILE"]


@functools.cache
def options_of(module: str) -> set[str]:
    """The options that a program takes, without the keys of its config. Read from its source, which needs no imports."""
    path = ROOT / module.replace(".", "/")
    path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    source = path.read_text(encoding="utf-8")
    if "flags.DEFINE" in source:  # its flags are also those of the programs that it imports
        importlib.import_module(module)
        return {f"--{name}" for name in flags.FLAGS}
    if "arguments import parser" in source:  # its command line is in a module of its own
        source = (ROOT / "hpof_jax/reconstruction/arguments.py").read_text(encoding="utf-8")
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    options = {text for text in texts if isinstance(text, str) and re.fullmatch(r"--[a-z][\w-]*", text)}
    return options | {"--json"} if module.startswith("benchmarks") else options


@functools.cache
def config_keys(name: str) -> set[str]:
    """The keys of a config file's variant, as in "configs/hpof.py:no_flow", with those inside them."""
    path, _, variant = name.partition(":")
    config = importlib.import_module(path.removesuffix(".py").replace("/", ".")).get_config(variant)
    return {*keys_in(config)}


def keys_in(config: ConfigDict, prefix: str = ""):
    for key, value in config.items():
        yield prefix + key
        if isinstance(value, ConfigDict):
            yield from keys_in(value, f"{prefix}{key}.")


# --- messages ---------------------------------------------------------------------------------------


def test_the_messages_that_troubleshooting_quotes_are_in_the_code():
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(
        r"^\| `([^`|]+ [^`|]+)` \|", text, re.MULTILINE
    )  # first column: code of several words
    assert len(quoted) > 20
    said = messages()
    for message in quoted:
        pattern = ".*".join(re.escape(piece.strip()) for piece in message.split("…"))
        assert any(re.search(pattern, text) for text in said), f"nothing says: {message}"


def messages() -> list[str]:
    """Every text in the package, and the Makefile's lines. What is filled into a text is left out of it."""
    found = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    for path in (
        path for package in ("hpof_jax", "data_pipelines") for path in (ROOT / package).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [
                part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            found.append("".join(texts))
    return found


# --- figures ----------------------------------------------------------------------------------------


def test_the_own_figures_beside_the_published_ones_are_those_of_the_results():
    """PA-MPJPE of this package and of BlazePose, from the first table of results.md."""
    results = figures((ROOT / "docs/results.md").read_text(encoding="utf-8"))
    protocols = (ROOT / "docs/protocols.md").read_text(encoding="utf-8").partition("## Our own figures")[2]
    assert len(results) > 4 and figures(protocols) == [(ours, theirs) for theirs, ours, *_ in results]


def figures(text: str) -> list[tuple[str, ...]]:
    """The numbers of the first table of a page, row by row."""
    table = re.search(r"^\|.*?(?=^[^|])", text, re.MULTILINE | re.DOTALL)[0].replace("*", "")
    rows = [tuple(re.findall(r"\| (\d+\.\d+)", row)) for row in table.splitlines()]
    return [row for row in rows if row]


# --- the figure and the API pages -------------------------------------------------------------------


def test_the_figure_is_what_its_script_draws():
    script = runpy.run_path(str(ROOT / "docs/architecture.py"))
    figure = script["draw"]()
    assert script["PICTURE"].read_text(encoding="utf-8") == figure.svg(), "run python docs/architecture.py"
    assert len(figure.files) > 25
    assert not [name for name in figure.files if not (ROOT / name).exists()]


def test_api_pages_are_made_from_the_docstrings(tmp_path):
    script = runpy.run_path(str(ROOT / "docs/build_api.py"))
    names = script["modules"]()
    assert {
        "hpof_jax.motion",
        "hpof_jax.body.model",
        "hpof_jax.training.losses",
        "data_pipelines.stream",
    } <= {*names}
    assert not {name for name in names if "._" in name}
    script["build"](tmp_path, ["hpof_jax.motion", "hpof_jax.geometry.flow"])
    page = (tmp_path / "hpof_jax/geometry/flow.html").read_text(encoding="utf-8")
    assert "warp" in page and "Arguments:" in page
    assert "Motion" in (tmp_path / "hpof_jax/motion.html").read_text(encoding="utf-8")
