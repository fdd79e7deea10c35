"""The notebooks run from top to bottom, on a short clip, each in a kernel of its own."""

import pathlib
import re

import nbclient
import nbformat
import pytest

from hpof_jax import downloads, visualize
from hpof_jax.motion import Motion
from hpof_jax.observe.video import read_video

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "launch/colab").glob("*.ipynb"))
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load(path: pathlib.Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def tagged(notebook: nbformat.NotebookNode, tag: str) -> nbformat.NotebookNode:
    (cell,) = [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    return cell


def execute(name: str, folder: pathlib.Path, monkeypatch, **parameters) -> tuple[str, list[str]]:
    """What the notebook prints, and the pages that it shows."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # this clone, whatever is installed
    notebook = load(ROOT / "launch/colab" / name)
    lines = [f"{parameter} = {value!r}" for parameter, value in parameters.items()]
    tagged(notebook, "parameters").source += "\n" + "\n".join(lines)
    nbclient.NotebookClient(notebook, timeout=400, resources={"metadata": {"path": folder}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = [o.text for o in shown if o.output_type == "stream" and o.name == "stdout"]
    return "".join(printed), [output.data.get("text/html", "") for output in shown if "data" in output]


@pytest.mark.slow
@pytest.mark.network
def test_reconstruct_shows_the_overlay_and_has_files_to_download(tmp_path, monkeypatch):
    printed, pages = execute("reconstruct.ipynb", tmp_path, monkeypatch, MAX_FRAMES=20)
    names = ["motion.bvh", "motion.glb", "motion.npz", "overlay.mp4", "report.html", "report.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert "20 frames" in printed and "poses            (20, 72) float32" in printed
    assert any("<video" in page for page in pages) and any("<img" in page for page in pages)


@pytest.mark.slow
@pytest.mark.network
def test_train_shows_the_curves_and_a_reconstruction_with_the_result(tmp_path, monkeypatch, small_motion):
    (tmp_path / "videos").mkdir()
    frames, info = read_video(downloads.fetch("sample_video"), max_frames=12)
    visualize.record(frames, info.fps, tmp_path / "videos/mein Vidéo.mp4")
    write_recording(small_motion, tmp_path / "motion/a.bvh")
    own = dict(VIDEOS="videos", MOTION="motion", VIDEO="videos/mein Vidéo.mp4")
    printed, pages = execute("train.ipynb", tmp_path, monkeypatch, **own, STEPS=4, MAX_FRAMES=12, RUN="run")
    assert re.search(r"PA-MPJPE on validation motion: \d+\.\d mm\n12 frames\n", printed)
    assert (tmp_path / "run/weights.npz").is_file()
    assert any("<video" in page for page in pages) and any("<img" in page for page in pages)


def write_recording(motion: Motion, path: pathlib.Path) -> None:
    """A BVH file of the motion, over and over."""
    path.parent.mkdir()
    motion.export(path)
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("Frames:")
    count, time, *rows = rest.strip().splitlines()
    rows = rows * 10
    path.write_text("\n".join([f"{head}Frames: {len(rows)}", time, *rows, ""]), encoding="utf-8")


@notebooks
def test_it_is_committed_without_outputs(path):
    for cell in load(path).cells:
        assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None)


@notebooks
def test_it_installs_the_package_and_clones_nothing(path):
    install = tagged(load(path), "install").source
    assert 'ARCHIVE = ""' in install and "%pip install" in install and "git clone" not in install


@notebooks
def test_cells_are_short(path):
    for cell in load(path).cells:
        assert cell.cell_type == "markdown" or len(cell.source.splitlines()) <= 22, cell.source
