import numpy as np

from data_pipelines.motion.windows import Recordings, Synthetic, clip_odds
from tests.data_pipelines.conftest import make_clip


def test_windows_of_recordings_are_frames_of_the_clips():
    clips = [make_clip("a.bvh", "walk", 20), make_clip("b.bvh", "punch", 9, np.ones(10, np.float32))]
    source = Recordings(clips)
    assert source.names == {"a.bvh", "b.bvh"} and source.classes == {"walk", "punch"}
    windows = source.draw_windows(np.random.default_rng(0), 40, 6, None)
    frames = {row.tobytes(): clip.name for clip in clips for row in clip.pose}
    for pose, name in zip(windows.pose, windows.name):
        assert {frames[row.tobytes()] for row in pose} == {name}
    np.testing.assert_array_equal(np.isnan(windows.betas).all(axis=1), windows.name == "a.bvh")
    assert [*source.clips(0, 0, 0)] == clips


def test_synthetic_clips_are_determined_by_seed_and_number():
    first, again = ([*Synthetic().clips(seed=3, frames=5, count=3)] for _ in range(2))
    assert [clip.name for clip in first] == ["gait_000", "poses_001", "gait_002"]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.pose, b.pose)
    assert not np.array_equal(first[0].pose, first[2].pose)


def test_long_clips_and_large_classes_do_not_crowd_out_the_others():
    lengths = np.array([100] * 90 + [100] * 10)
    odds = clip_odds(lengths, np.array(["walk"] * 90 + ["kick"] * 10))
    np.testing.assert_allclose(odds.sum(), 1)
    np.testing.assert_allclose(odds[90:].sum(), 0.25)
    odds = clip_odds(np.array([100, 400]), np.array(["walk", "walk"]))
    np.testing.assert_allclose(odds, [1 / 3, 2 / 3])
