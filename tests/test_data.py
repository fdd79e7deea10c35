import sys

import numpy as np
import pytest

from data_pipelines.motion.clip import MotionClip
from data_pipelines.render import collection
from hpof_jax import data


@pytest.fixture
def run(monkeypatch):
    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["data", *map(str, arguments)])
        data.main()

    return command


def test_render_passes_its_options_on(run, tmp_path, monkeypatch, capsys):
    def make_clips(folder, frames, options, processes, keep_video):
        assert (folder, frames, processes, keep_video) == (tmp_path / "made", 41, 1, False)
        assert options.frames == 40 and not options.augment and options.landmark_model == "heavy"
        return 2, 0.975

    monkeypatch.setattr(collection, "make_clips", make_clips)
    common = ("render", "--motion", "synthetic", "--out", tmp_path / "made", "--frames", 41, "--as-recorded")
    run(*common, "--clip-frames", 40, "--landmark-model", "heavy")
    assert "2 new clips; the person is seen in 97.5 % of their frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--frames", 0], "0 is not at least 1"),
        (["--frames", "many"], "many is not a whole number"),
        (["--frames", 1, "--clip-frames", 1, "--keep-flow"], "Clips of one frame have no optical flow"),
        (["--frames", 1, "--pictures", "."], "There is no picture or video in"),
        (["--frames", 1, "--motion", "dance"], "'dance' is not a data source"),
        (["--frames", 1, "--motion", "videos:x"], "'videos:x' holds no motion to render"),
    ],
)
def test_render_refuses_wrong_options_before_it_makes_a_folder(
    run, tmp_path, monkeypatch, capsys, options, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run("render", "--motion", "synthetic", "--out", "made", *options)
    assert words in capsys.readouterr().err and not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["nothing", "nothing.bvh"])
def test_skeletons_of_what_is_not_there(run, tmp_path, capsys, name):
    with pytest.raises(SystemExit):
        run("skeletons", tmp_path / name)
    assert f"{tmp_path / name}: give an existing one" in capsys.readouterr().err


def test_records_writes_splits_by_file(run, monkeypatch, tmp_path, capsys):
    from data_pipelines.motion import load, tfds

    def clip(name):
        return MotionClip(name, "walk", np.zeros((4, 24, 3), np.float32), np.zeros((4, 3), np.float32))

    by_split = {"train": [clip("walk_1")], "validation": [clip("walk_2")]}
    monkeypatch.setattr(load, "load_source", lambda spec, split: by_split[split])
    run("records", "--motion", "bvh:x", "--out", tmp_path / "set")
    assert "1 clips in train" in capsys.readouterr().out
    assert [c.name for c in tfds.read_records(tmp_path / "set", "validation")] == ["walk_2"]
    with pytest.raises(SystemExit, match="2"):
        run("records", "--motion", "bvh:x", "--out", tmp_path / "set")
    assert "exists already" in capsys.readouterr().err
