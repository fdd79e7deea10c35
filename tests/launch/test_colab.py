"""The notebook runs from top to bottom, on the sample video, in a kernel of its own."""

import pathlib

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / "launch/colab/reconstruct.ipynb"


def load():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
@pytest.mark.network
def test_it_runs_and_shows_the_overlay(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # this clone, whatever is installed
    notebook = load()
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source += "\nMAX_FRAMES = 20"
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["motion.npz", "overlay.mp4"]
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    texts = "".join(
        output.text for output in shown if output.output_type == "stream" and output.name == "stdout"
    )
    assert "20 frames" in texts and "poses            (20, 72) float32" in texts
    pages = [output.data.get("text/html", "") for output in shown if "data" in output]
    assert any("<video" in page for page in pages), "no video is shown"


def test_it_is_committed_without_outputs():
    for cell in load().cells:
        assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None)
