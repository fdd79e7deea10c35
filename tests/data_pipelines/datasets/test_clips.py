import numpy as np

from data_pipelines.datasets.base import Sequence
from data_pipelines.datasets.clips import cut, pieces, thinned
from data_pipelines.observed.prepared import LONGEST


def a_sequence(valid, frame_index=None, fps=30.0):
    frames = len(valid)
    boxes = np.tile([50.0, 50, 20], (frames, 1))
    index = np.arange(frames) if frame_index is None else frame_index
    pose = np.zeros((frames, 24, 3))
    return Sequence("0", fps, (100, 100), index, np.array(valid, bool), boxes, pose=pose)


def test_training_clips_are_runs_of_annotated_frames():
    valid = [True] * 20 + [False] * 3 + [True] * 30 + [False] + [True] * 5  # the last run is too short
    assert pieces(a_sequence(valid)) == [slice(0, 20), slice(23, 53)]
    index = np.append(np.arange(0, 40, 2), np.arange(60, 100, 2))  # a gap in the frame numbers
    assert pieces(a_sequence([True] * 40, index)) == [slice(0, 20), slice(20, 40)]
    parts = pieces(a_sequence([True] * (2 * LONGEST + 1)))
    assert len(parts) == 3 and parts[0].start == 0 and parts[-1].stop == 2 * LONGEST + 1
    assert all(a.stop == b.start for a, b in zip(parts[:-1], parts[1:]))


def test_training_clips_are_thinned_to_about_30_frames_a_second():
    fast = a_sequence([True] * 50, fps=50.0)
    thin = thinned(fast, "train")
    assert len(thin) == 25 and thin.fps == 25 and list(thin.frame_index[:3]) == [0, 2, 4]
    assert thinned(fast, "test") is fast


def test_a_part_of_a_clip_has_its_frames_and_the_flow_between_them():
    arrays = {"seen": np.ones(10, bool), "flow": np.arange(9), "betas": np.zeros(10), "fps": np.float32(30)}
    part = cut(arrays, slice(2, 6), 10)
    assert len(part["seen"]) == 4 and part["flow"].tolist() == [2, 3, 4]
    assert len(part["betas"]) == 10 and part["fps"] == 30
