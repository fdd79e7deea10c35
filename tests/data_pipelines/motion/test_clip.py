import zlib

import numpy as np
import pytest

from data_pipelines.motion.clip import MotionClip, is_validation, motion_class, resample


def test_the_split_depends_on_the_base_name_alone():
    name = next(f"{i}.bvh" for i in range(100) if zlib.crc32(f"{i}.bvh".encode()) % 10 == 0)
    assert is_validation(name) and is_validation(f"some/folder/{name}")
    share = np.mean([is_validation(f"clip_{i}.bvh") for i in range(2000)])
    assert 0.08 < share < 0.12


@pytest.mark.parametrize(
    "name, kind",
    [
        ("dataset-1_walk-left_tired_001.bvh", "walk"),
        ("dataset-2_raise-up-both-hands_not-confident_013.bvh", "raise"),
        ("train_basketball_signal_3.bvh", "basketball_signal"),
        ("test_running_1.bvh", "run"),
        ("sie_run_forward02.bvh", "run"),
        ("sie_punch_left00.bvh", "punch"),
        ("getup_faceup.bvh", "getup"),
        ("long_walk2.bvh", "walk"),
        ("001_01.bvh", "playground"),
    ],
)
def test_the_class_comes_from_the_name(name, kind):
    assert motion_class(name, "Playground") == kind


@pytest.mark.parametrize(
    "change",
    [
        {"pose": np.zeros((3, 23, 3), np.float32)},
        {"transl": np.zeros((2, 3), np.float32)},
        {"betas": np.zeros(3, np.float32)},
        {"pose": np.full((3, 24, 3), np.nan, np.float32)},
        {"transl": np.zeros((3, 3))},
    ],
)
def test_clips_are_checked(change):
    fields = {"pose": np.zeros((3, 24, 3), np.float32), "transl": np.zeros((3, 3), np.float32)}
    MotionClip("a", "walk", **fields)
    with pytest.raises(ValueError, match="of a "):
        MotionClip("a", "walk", **(fields | change))


def test_resampling_keeps_the_motion():
    time = np.arange(50) / 25
    pose = np.zeros((50, 24, 3))
    pose[:, 4, 0] = time
    moved, transl = resample(pose, time[:, None] * [1.0, 2.0, 3.0], 25.0)
    np.testing.assert_allclose(moved[:, 4, 0], np.arange(len(moved)) / 30, atol=1e-9)
    np.testing.assert_allclose(transl[:, 1], 2 * np.arange(len(moved)) / 30, atol=1e-9)
