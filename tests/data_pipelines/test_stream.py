import logging

import numpy as np
import pytest

from data_pipelines import stream
from data_pipelines.motion import clip as motion
from data_pipelines.motion.augment import Augmentation
from data_pipelines.motion.clip import MotionClip
from data_pipelines.simulate.camera import DetectorNoise
from data_pipelines.sources import open_source
from hpof_jax.errors import UserError

BATCH, FRAMES = 8, 24
SYNTHETIC = {"synthetic": 1.0}


def clip(name, motion_class, frames, betas=None, seed=0):
    pose = np.random.default_rng(seed).normal(0, 0.1, (frames, 24, 3)).astype(np.float32)
    transl = np.tile(np.float32([0, 1, 0]), (frames, 1))
    return MotionClip(name, motion_class, pose, transl, betas)


@pytest.fixture
def recordings(monkeypatch):
    """The source "bvh:recordings": three clips of 40, 24 and 5 frames, the last with betas."""
    clips = [
        clip("a.bvh", "walk", 40),
        clip("b.bvh", "punch", FRAMES),
        clip("c.bvh", "punch", 5, np.full(10, 0.5, np.float32)),
    ]
    monkeypatch.setattr(motion, "load_source", lambda spec, split: clips if spec == "bvh:recordings" else [])
    open_source.cache_clear()
    yield clips
    open_source.cache_clear()


def equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_a_batch_has_the_documented_arrays():
    batch = next(stream.make_stream(SYNTHETIC, BATCH, FRAMES, seed=0).as_numpy_iterator())
    shapes = dict(
        landmarks_2d=(BATCH, FRAMES, 33, 3),
        landmarks_3d=(BATCH, FRAMES, 33, 3),
        seen=(BATCH, FRAMES),
        mask=(BATCH, FRAMES),
        image_size=(BATCH, 2),
        focal_length=(BATCH,),
        true_focal_length=(BATCH,),
        betas=(BATCH, 10),
        pose=(BATCH, FRAMES, 24, 3),
        transl=(BATCH, FRAMES, 3),
        has_smpl=(BATCH,),
        has_3d=(BATCH,),
        motion_class=(BATCH,),
    )
    assert {key: value.shape for key, value in batch.items()} == shapes
    kinds = {"seen": bool, "mask": bool, "has_smpl": bool, "has_3d": bool, "motion_class": np.int32}
    for key, value in batch.items():
        assert value.dtype == kinds.get(key, np.float32), key
        assert np.isfinite(value).all(), key
    np.testing.assert_allclose(batch["focal_length"], np.linalg.norm(batch["image_size"], axis=1), rtol=1e-6)


def test_a_resumed_stream_goes_on_where_it_stopped():
    whole = stream.make_stream(SYNTHETIC, BATCH, FRAMES, seed=0).as_numpy_iterator()
    batches = [next(whole) for _ in range(4)]
    resumed = stream.make_stream(SYNTHETIC, BATCH, FRAMES, seed=0, start_step=2).as_numpy_iterator()
    for batch in batches[2:]:
        equal(batch, next(resumed))
    assert not np.array_equal(batches[0]["pose"], batches[1]["pose"])


def test_processes_and_seeds_see_different_clips():
    poses = []
    for seed, process in ((0, 0), (0, 1), (1, 0)):
        made = stream.make_stream(SYNTHETIC, BATCH, FRAMES, seed, process_index=process, process_count=2)
        poses.append(next(made.as_numpy_iterator())["pose"])
    flat = np.concatenate(poses)[:, 0, 1:].reshape(3 * BATCH, -1)
    assert len(np.unique(flat, axis=0)) == 3 * BATCH


def test_sources_are_mixed_and_known_betas_are_kept(recordings):
    sources = {"synthetic": 1.0, "bvh:recordings": 3.0}
    names = stream.stream_classes(sources)
    assert {"walk", "punch"} < set(names)
    make = stream.batch_maker(sources, BATCH, FRAMES, seed=0)
    batches = [make(step) for step in range(8)]
    batch = {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}
    classes = np.array(names)[batch["motion_class"]]
    recorded = np.isin(classes, ["walk", "punch"])
    assert 35 <= recorded.sum() <= 60
    known = np.all(batch["betas"] == 0.5, axis=1)
    assert 0 < known.sum() < recorded.sum()
    assert set(classes[known]) == {"punch"}
    assert np.abs(batch["betas"]).max() <= 2
    assert batch["mask"].all()


def test_an_unlabelled_source_shows_the_same_without_its_truth():
    options = dict(batch_size=2, clip_length=12, seed=0, flow="exact", flow_frames=3)
    known = stream.batch_maker(SYNTHETIC, **options)(0)
    hidden = stream.batch_maker({"unlabelled:synthetic": 1.0}, **options)(0)
    truth = {"pose", "transl", "betas", "true_focal_length", "has_3d", "has_smpl"}
    equal(*({key: value for key, value in b.items() if key not in truth} for b in (known, hidden)))
    assert known["has_3d"].all() and known["has_smpl"].all() and known["flow_valid"].any()
    for key in truth - {"true_focal_length"}:
        assert not hidden[key].any() and hidden[key].dtype == known[key].dtype, key
    np.testing.assert_array_equal(hidden["true_focal_length"], hidden["focal_length"])


def test_the_same_recordings_with_and_without_labels(recordings):
    sources = {"bvh:recordings": 1.0, "unlabelled:bvh:recordings": 3.0}
    batch = stream.batch_maker(sources, BATCH, FRAMES, seed=0)(0)
    assert batch["has_3d"].sum() == 2
    np.testing.assert_array_equal(batch["has_3d"], batch["pose"].reshape(BATCH, -1).any(axis=1))
    windows = [list(stream.validation_windows(s, FRAMES, seed=0)) for s in (sources, {"bvh:recordings": 1.0})]
    for (a, names, _), (b, again, _) in zip(*windows, strict=True):
        assert names == again and a["has_3d"].any()
        equal(a, b)


def test_hidden_motion_lends_no_limbs_to_labelled_clips(recordings, monkeypatch):
    """Half of the clips are still, half raise a knee that never shows in the labelled ones."""
    still = [MotionClip("s", "walk", np.zeros((40, 24, 3), np.float32), np.zeros((40, 3), np.float32))]
    raised = [MotionClip("r", "walk", np.full((40, 24, 3), 0.5, np.float32), np.zeros((40, 3), np.float32))]
    monkeypatch.setattr(
        motion, "load_source", lambda spec, split: {"bvh:still": still, "bvh:raised": raised}[spec]
    )
    everything = Augmentation(arms_from_another=1.0, lean=0.0, perturbation=(0.0,), perturbation_odds=(1.0,))
    monkeypatch.setattr(stream, "Augmentation", lambda: everything)
    mixed = stream.batch_maker({"bvh:still": 1.0, "bvh:raised": 1.0}, 16, FRAMES, seed=0)(0)
    assert len(np.unique(np.abs(mixed["pose"][:, 0, 16]).max(axis=1) > 0.1)) == 2
    apart = stream.batch_maker({"bvh:still": 1.0, "unlabelled:bvh:raised": 1.0}, 16, FRAMES, seed=0)(0)
    assert apart["has_3d"].sum() == 8 and not apart["pose"][:, :, 1:].any()


def test_a_source_that_no_batch_has_room_for_is_told(caplog):
    stream.batch_maker({"synthetic": 20.0, "unlabelled:synthetic": 1.0}, BATCH, FRAMES, seed=0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "No room for unlabelled motion in a batch of 8" in record.getMessage()


def test_without_augmentation_the_recorded_poses_come_out(recordings):
    make = stream.batch_maker({"bvh:recordings": 1.0}, BATCH, FRAMES, seed=0, augment=False)
    recorded = np.concatenate([c.pose for c in recordings])[:, 1:].reshape(-1, 69)
    known = {row.tobytes() for row in recorded}
    assert all(row.tobytes() in known for row in make(0)["pose"][:, :, 1:].reshape(-1, 69))


def test_validation_covers_each_clip_once_and_masks_the_rest(recordings):
    found = {}
    noise = DetectorNoise.none()
    for batch, names, classes in stream.validation_windows(
        {"bvh:recordings": 1.0}, FRAMES, seed=0, batch_size=4, noise=noise
    ):
        assert batch["pose"].shape == (4, FRAMES, 24, 3)
        for row, name in enumerate(names):
            if name:
                found.setdefault(name, []).append({key: value[row] for key, value in batch.items()})
                assert (
                    classes[row] == stream.stream_classes({"bvh:recordings": 1.0})[batch["motion_class"][row]]
                )
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


def test_validation_repeats_itself_and_can_be_cut_short(recordings):
    def windows():
        return list(
            stream.validation_windows({"bvh:recordings": 1.0}, FRAMES, seed=0, batch_size=4, max_frames=30)
        )

    first, again = windows(), windows()
    for (a, _, _), (b, _, _) in zip(first, again, strict=True):
        equal(a, b)
    frames = sum(batch["mask"].sum() for batch, _, _ in first)
    assert frames == 30 + FRAMES + 5


def test_synthetic_validation_shows_motions_that_training_does_not():
    windows = stream.validation_windows(SYNTHETIC, FRAMES, seed=0, batch_size=4, synthetic_clips=2)
    batches = list(windows)
    assert [names for _, names, _ in batches] == [["gait_000"] * 2 + ["poses_001"] * 2]
    assert batches[0][0]["mask"].all()
    training = stream.batch_maker(SYNTHETIC, BATCH, FRAMES, seed=0, augment=False)(0)["pose"][:, 0, 1:]
    assert not np.isin(batches[0][0]["pose"][:, 0, 1:], training[training != 0]).any()


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({}, "at least one source"),
        ({"synthetic": 0.0}, "above zero"),
        ({"bvh:empty": 1.0}, "no clip in its train split"),
        ({"tfds:/nowhere/at_all": 1.0}, "no tfds data set"),
    ],
)
def test_sources_that_give_nothing_are_told_in_a_sentence(recordings, sources, words):
    with pytest.raises(UserError, match=words):
        stream.make_stream(sources, BATCH, FRAMES, seed=0)


def test_a_process_index_beyond_the_count_is_refused():
    with pytest.raises(UserError, match="process_index 2"):
        stream.make_stream(SYNTHETIC, BATCH, FRAMES, seed=0, process_index=2, process_count=2)


def test_real_motion_for_a_discriminator():
    """Labelled motion alone, as it is varied, and other than what is filmed; the rest of the batch stays as it is."""
    sources = {"synthetic": 1.0, "unlabelled:synthetic": 1.0}
    plain = stream.batch_maker(sources, 4, 8, 3)(5)
    batch = stream.batch_maker(sources, 4, 8, 3, real_motion=True)(5)
    assert set(batch) - set(plain) == {"real_pose", "real_betas"}
    for key, value in plain.items():
        np.testing.assert_array_equal(batch[key], value)
    assert batch["real_pose"].shape == (4, 8, 24, 3) and batch["real_betas"].shape == (4, 10)
    assert batch["real_pose"].dtype == batch["real_betas"].dtype == np.float32
    apart = np.abs(batch["real_pose"][:, None, :, 1:] - batch["pose"][None, :, :, 1:]).max(axis=(2, 3, 4))
    assert apart.min() > 0.1
    with pytest.raises(UserError, match="'adversarial' needs real motion"):
        stream.batch_maker({"unlabelled:synthetic": 1.0}, 2, 8, 3, real_motion=True)(0)
