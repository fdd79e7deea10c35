import numpy as np
import pytest

from data_pipelines.motion import bvh
from hpof_jax.errors import UserError
from tests.data_pipelines.motion.conftest import ONE_JOINT, motion, write_bvh


def test_a_file_becomes_a_clip(tmp_path):
    clip = bvh.read_bvh(write_bvh(tmp_path / "walk_01.bvh", motion()))
    assert clip.name == "walk_01.bvh" and clip.motion_class == "walk" and clip.betas is None
    np.testing.assert_allclose(clip.pose, motion(), atol=2e-3)


def test_files_of_one_kind_share_the_t_pose_of_one(tmp_path):
    write_bvh(tmp_path / "a.bvh", motion(), "iclone", zero="x", t_pose_first=True)
    write_bvh(tmp_path / "b.bvh", motion(), "iclone", zero="x")
    report = []
    clips, failures = bvh.read_all(tmp_path, ["a.bvh", "b.bvh"], report)
    assert not failures and report[0].startswith("2 files")
    np.testing.assert_allclose(clips[0].pose, clips[1].pose, atol=1e-4)


def test_a_skeleton_without_limbs_and_a_missing_file(tmp_path):
    (tmp_path / "snake.bvh").write_text(ONE_JOINT)
    with pytest.raises(UserError, match="left hip"):
        bvh.read_bvh(tmp_path / "snake.bvh")
    with pytest.raises(UserError, match="nowhere.bvh"):
        bvh.read_bvh(tmp_path / "nowhere.bvh")


def test_the_report_names_what_was_mapped(tmp_path):
    write_bvh(tmp_path / "walk_01.bvh", motion(), "blender")
    report = bvh.describe(tmp_path, ["walk_01.bvh"])
    assert "left_elbow <- forearm.L" in report and "zero pose" in report and "walk 1" in report
    (tmp_path / "empty.bvh").write_text("")
    assert bvh.describe(tmp_path, ["empty.bvh"]).startswith("left out: ")
