import numpy as np

from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.stream import StreamOptions, batch_maker, stream_classes
from data_pipelines.validation import validation_windows
from tests.data_pipelines.conftest import BATCH, FRAMES, LENGTH, assert_same

RECORDED = {"bvh:recordings": 1.0}
OPTIONS = StreamOptions(4, FRAMES, noise=DetectorNoise.none())


def test_every_clip_is_covered_once_and_the_rest_is_masked(recordings):
    found = {}
    for batch, names, classes in validation_windows(RECORDED, OPTIONS):
        assert batch["pose"].shape == (4, FRAMES, 24, 3)
        for row, name in enumerate(names):
            if name:
                found.setdefault(name, []).append({key: value[row] for key, value in batch.items()})
                assert classes[row] == stream_classes(RECORDED)[batch["motion_class"][row]]
            else:
                assert not batch["mask"][row].any()
    assert {name: len(windows) for name, windows in found.items()} == {"a.bvh": 2, "b.bvh": 1, "c.bvh": 1}
    for recorded in recordings:
        windows = found[recorded.name]
        mask = np.concatenate([window["mask"] for window in windows])
        pose = np.concatenate([window["pose"] for window in windows])
        np.testing.assert_array_equal(mask, np.arange(len(mask)) < len(recorded.pose))
        np.testing.assert_array_equal(pose[mask][:, 1:], recorded.pose[:, 1:])
        for key in ("betas", "true_focal_length", "image_size"):
            assert all(np.array_equal(window[key], windows[0][key]) for window in windows)


def test_it_repeats_itself_and_shows_ground_truth_that_training_withholds(recordings):
    mix = {"bvh:recordings": 1.0, "unlabelled:bvh:recordings": 3.0}
    for (a, names, _), (b, again, _) in zip(
        validation_windows(mix, OPTIONS), validation_windows(RECORDED, OPTIONS), strict=True
    ):
        assert names == again and a["has_3d"].any()
        assert_same(a, b)


def test_long_clips_can_be_cut_off(recordings):
    batches = [batch for batch, _, _ in validation_windows(RECORDED, OPTIONS, max_frames=15)]
    assert sum(batch["mask"].sum() for batch in batches) == 15 + FRAMES + 5 < LENGTH + FRAMES + 5


def test_processes_share_the_clips(recordings):
    def clips(index, count):
        batches = validation_windows(RECORDED, OPTIONS, process_index=index, process_count=count)
        return [name for _, names, _ in batches for name in names if name]

    assert sorted(clips(0, 2) + clips(1, 2)) == sorted(clips(0, 1))
    assert not set(clips(0, 2)) & set(clips(1, 2))
    assert clips(4, 5) == [], "a share may be empty"


def test_synthetic_clips_are_not_those_of_training():
    synthetic = {"synthetic": 1.0}
    ((batch, names, _),) = validation_windows(synthetic, OPTIONS, synthetic_clips=2)
    assert names == ["gait_000"] * 2 + ["poses_001"] * 2
    assert batch["mask"].all()
    training = batch_maker(synthetic, StreamOptions(BATCH, FRAMES, augment=False))(0)["pose"][:, 0, 1:]
    same = (batch["pose"][:, None, 0, 1:] == training).all(axis=-1) & training.any(axis=-1)
    assert not same.any()
