"""Folders of data and training runs, whole and damaged."""

import json

import numpy as np
import pytest

from hpof_jax import data_folders
from hpof_jax.data_folders import inspect
from hpof_jax.errors import UserError

CLIP = dict.fromkeys(data_folders._CLIP, 0.0)


def test_a_whole_folder_of_each_kind(tmp_path):
    for folder in ("rendered", "amass", "run", "bvh", "hidden/.git", "motion/1.0.0", "empty"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(2):
        np.savez(tmp_path / f"rendered/clip_{number:06d}.npz", **CLIP)
    (tmp_path / "rendered/manifest.json").write_text("{}")
    np.savez(tmp_path / "amass/walk_poses.npz", poses=np.zeros(3), trans=np.zeros(3))
    np.savez(tmp_path / "amass/shape.npz", betas=np.zeros(3))
    (tmp_path / "run/metrics.jsonl").touch()
    np.savez(tmp_path / "run/weights.npz", config=np.array("{}"))
    (tmp_path / "bvh/walk.BVH").write_text("HIERARCHY")
    (tmp_path / "bvh/walk.mp4").write_text("a video")
    (tmp_path / "hidden/.git/walk.bvh").write_text("HIERARCHY")
    description = {"splits": [{"name": "train", "shardLengths": ["3"]}]}
    (tmp_path / "motion/1.0.0/dataset_info.json").write_text(json.dumps(description))
    (tmp_path / "motion/1.0.0/motion-train.tfrecord-00000-of-00001").touch()

    found = {name: inspect(tmp_path / name) for name in "rendered amass run bvh hidden motion empty".split()}
    assert found == {
        "rendered": [("rendered clips", 2, [])],
        "amass": [("AMASS files", 1, [])],
        "run": [("training runs", 1, [])],
        "bvh": [("BVH files", 1, []), ("videos", 1, [])],
        "hidden": [],
        "motion": [("tfds data sets", 1, [])],
        "empty": [],
    }
    assert sum(finding.files for finding in inspect(tmp_path)) == 7


def problems(folder):
    ((_, _, found),) = inspect(folder)
    return found


def test_damaged_and_incomplete_clips_are_named(tmp_path):
    np.savez(tmp_path / "clip_000000.npz", **{key: value for key, value in CLIP.items() if key != "seen"})
    (tmp_path / "clip_000001.npz").write_bytes(b"PK")
    lacking, damaged, manifest = problems(tmp_path)
    assert lacking.endswith(
        "clip_000000.npz has no array 'seen', so it is not a rendered clip: delete it and render it again."
    )
    assert "clip_000001.npz is not a rendered clip (" in damaged
    assert "has no manifest.json" in manifest


def test_what_is_missing_in_a_data_set_and_in_a_run(tmp_path):
    (tmp_path / "dataset_info.json").write_text('{"splits": [{"name": "train", "shardLengths": ["3", "3"]}]}')
    (tmp_path / "my-train.tfrecord-00000-of-00002").touch()
    assert problems(tmp_path) == [f"1 of 2 files of the split 'train' are not in {tmp_path}."]
    for content in ("", "[]", '{"splits": 3}'):
        (tmp_path / "dataset_info.json").write_text(content)
        assert "is not the description of a data set" in problems(tmp_path)[0]
    (tmp_path / "dataset_info.json").unlink()
    (tmp_path / "metrics.jsonl").touch()
    assert "has saved no checkpoint yet" in problems(tmp_path)[0]
    np.savez(tmp_path / "weights.npz", poses=np.zeros(3))
    assert "has no array 'config', so it is not a weights file" in problems(tmp_path)[0]


def test_an_empty_file_is_a_problem_and_no_folder_an_error(tmp_path):
    (tmp_path / "walk.bvh").touch()
    assert problems(tmp_path) == [f"{tmp_path / 'walk.bvh'} is empty: delete it."]
    with pytest.raises(UserError, match="There is no folder at"):
        inspect(tmp_path / "nowhere")


def test_links_in_a_circle_are_not_followed(tmp_path):
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "self.bvh").symlink_to(tmp_path / "self.bvh")
    assert inspect(tmp_path) == []
