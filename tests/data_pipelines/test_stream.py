import logging
import re

import numpy as np
import pytest

from data_pipelines import sources, stream
from data_pipelines.motion.augment import Augmentation
from data_pipelines.motion.clip import MotionClip
from data_pipelines.stream import StreamOptions, batch_maker
from hpof_jax.errors import UserError
from tests.data_pipelines.conftest import BATCH, FLOW, FRAMES, assert_same

SYNTHETIC = {"synthetic": 1.0}
OPTIONS = StreamOptions(BATCH, FRAMES)


def test_a_stream_has_the_documented_arrays_and_resumes_at_any_step():
    batches = stream.make_stream(SYNTHETIC, OPTIONS).as_numpy_iterator()
    batches = [next(batches) for _ in range(4)]
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
    assert {key: value.shape for key, value in batches[0].items()} == shapes
    kinds = {"seen": bool, "mask": bool, "has_smpl": bool, "has_3d": bool, "motion_class": np.int32}
    for key, value in batches[0].items():
        assert value.dtype == kinds.get(key, np.float32), key
        assert np.isfinite(value).all(), key
    resumed = stream.make_stream(SYNTHETIC, OPTIONS, start_step=2).as_numpy_iterator()
    for batch in batches[2:]:
        assert_same(batch, next(resumed))
    assert not np.array_equal(batches[0]["pose"], batches[1]["pose"])


def test_processes_and_seeds_get_different_clips():
    poses = []
    for seed, process in ((0, 0), (0, 1), (1, 0)):
        poses.append(batch_maker(SYNTHETIC, StreamOptions(BATCH, FRAMES, seed), process)(0)["pose"])
    flat = np.concatenate(poses)[:, 0, 1:].reshape(3 * BATCH, -1)
    assert len(np.unique(flat, axis=0)) == 3 * BATCH


def test_sources_are_mixed_and_known_betas_are_kept(recordings):
    mix = {"synthetic": 1.0, "bvh:recordings": 3.0}
    names = stream.stream_classes(mix)
    assert {"walk", "punch"} < set(names)
    make = batch_maker(sources.open_sources(mix, "train"), OPTIONS)  # or the mix itself, which is then opened
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


def test_an_unlabelled_source_gives_the_same_clips_without_ground_truth():
    options = StreamOptions(BATCH, FRAMES, flow="exact", flow_frames=FLOW)
    labelled = batch_maker(SYNTHETIC, options)(0)
    unlabelled = batch_maker({"unlabelled:synthetic": 1.0}, options)(0)
    truth = {"pose", "transl", "betas", "true_focal_length", "has_3d", "has_smpl"}
    assert_same(*({k: v for k, v in batch.items() if k not in truth} for batch in (labelled, unlabelled)))
    assert labelled["has_3d"].all() and labelled["has_smpl"].all() and labelled["flow_valid"].any()
    for key in truth - {"true_focal_length"}:
        assert not unlabelled[key].any() and unlabelled[key].dtype == labelled[key].dtype, key
    np.testing.assert_array_equal(unlabelled["true_focal_length"], unlabelled["focal_length"])


def test_the_same_recordings_with_and_without_labels(recordings):
    batch = batch_maker({"bvh:recordings": 1.0, "unlabelled:bvh:recordings": 3.0}, OPTIONS)(0)
    assert batch["has_3d"].sum() == 2
    np.testing.assert_array_equal(batch["has_3d"], batch["pose"].reshape(BATCH, -1).any(axis=1))


def test_unlabelled_motion_does_not_leak_into_labelled_clips(recordings, monkeypatch):
    """Half of the clips stand still, half bend every joint, which the labelled clips never show."""
    still = [MotionClip("s", "walk", np.zeros((40, 24, 3), np.float32), np.zeros((40, 3), np.float32))]
    bent = [MotionClip("r", "walk", np.full((40, 24, 3), 0.5, np.float32), np.zeros((40, 3), np.float32))]
    monkeypatch.setattr(
        sources, "load_source", lambda spec, split: {"bvh:still": still, "bvh:bent": bent}[spec]
    )
    everything = Augmentation(arms_from_another=1.0, lean=0.0, perturbation=(0.0,), perturbation_odds=(1.0,))
    monkeypatch.setattr(stream, "Augmentation", lambda: everything)
    mixed = batch_maker({"bvh:still": 1.0, "bvh:bent": 1.0}, OPTIONS)(0)
    assert len(np.unique(np.abs(mixed["pose"][:, 0, 16]).max(axis=1) > 0.1)) == 2
    apart = batch_maker({"bvh:still": 1.0, "unlabelled:bvh:bent": 1.0}, OPTIONS)(0)
    assert apart["has_3d"].sum() == BATCH // 2 and not apart["pose"][:, :, 1:].any()


def test_a_share_too_small_for_a_batch_gives_a_warning(caplog):
    batch_maker({"synthetic": 20.0, "unlabelled:synthetic": 1.0}, OPTIONS)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "No room for unlabelled motion in a batch of 8" in record.getMessage()


def test_without_augmentation_the_poses_are_the_recorded_ones(recordings):
    make = batch_maker({"bvh:recordings": 1.0}, StreamOptions(BATCH, FRAMES, augment=False))
    recorded = np.concatenate([c.pose for c in recordings])[:, 1:].reshape(-1, 69)
    known = {row.tobytes() for row in recorded}
    assert all(row.tobytes() in known for row in make(0)["pose"][:, :, 1:].reshape(-1, 69))


def test_real_motion_for_a_discriminator():
    """Labelled motion alone, augmented, and other than that of the clips; the rest of the batch is unchanged."""
    mix = {"synthetic": 1.0, "unlabelled:synthetic": 1.0}
    plain = batch_maker(mix, OPTIONS)(5)
    options = StreamOptions(BATCH, FRAMES, real_motion=True)
    batch = batch_maker(mix, options)(5)
    assert set(batch) - set(plain) == {"real_pose", "real_betas"}
    for key, value in plain.items():
        np.testing.assert_array_equal(batch[key], value)
    assert batch["real_pose"].shape == (BATCH, FRAMES, 24, 3) and batch["real_betas"].shape == (BATCH, 10)
    assert batch["real_pose"].dtype == batch["real_betas"].dtype == np.float32
    apart = np.abs(batch["real_pose"][:, None, :, 1:] - batch["pose"][None, :, :, 1:]).max(axis=(2, 3, 4))
    assert apart.min() > 0.1
    with pytest.raises(UserError, match="'adversarial' needs real motion"):
        batch_maker({"unlabelled:synthetic": 1.0}, options)(0)


def test_real_motion_may_have_sources_of_its_own(recordings):
    real = sources.open_sources({"bvh:recordings": 1.0}, "train")
    options = StreamOptions(BATCH, FRAMES, real_motion=True, real_sources=real)
    batch, plain = batch_maker(SYNTHETIC, options)(0), batch_maker(SYNTHETIC, OPTIONS)(0)
    assert_same({key: batch[key] for key in plain}, plain)
    assert (batch["real_betas"] == 0.5).all(axis=1).any()


def test_clips_without_image_features_say_so():
    batch = batch_maker(SYNTHETIC, StreamOptions(BATCH, FRAMES, features=True))(0)
    assert (
        batch["image_features"].shape == (BATCH, FRAMES, 2048) and batch["image_features"].dtype == np.float16
    )
    assert not batch["image_features"].any() and not batch["has_features"].any()


def test_processes_with_as_many_shards_in_all_give_the_same_clips(recordings):
    mix = {"synthetic": 1.0, "bvh:recordings": 1.0}
    whole = batch_maker(mix, StreamOptions(BATCH, FRAMES, shards=4))(3)
    halves = [batch_maker(mix, StreamOptions(BATCH // 2, FRAMES, shards=2), process)(3) for process in (0, 1)]
    for key, value in whole.items():
        np.testing.assert_array_equal(value, np.concatenate([half[key] for half in halves]))
    assert len(np.unique(whole["landmarks_2d"][:, 0, 0], axis=0)) == BATCH, "no clip comes twice"
    with pytest.raises(UserError, match="cannot be divided into 3 even shards"):
        batch_maker(mix, StreamOptions(BATCH, FRAMES, shards=3))


def test_the_origin_of_every_clip_is_known(recordings):
    make = batch_maker({"synthetic": 1.0, "bvh:recordings": 1.0}, OPTIONS)
    origins = make.origins(2)
    assert len(origins) == BATCH
    pattern = r"synthetic (gait|poses)|[abc]\.bvh of bvh:recordings, frames \d+ to \d+ at 30 frames/s"
    assert all(re.fullmatch(pattern, origin) for origin in origins)
    classes = stream.stream_classes({"synthetic": 1.0, "bvh:recordings": 1.0})
    for origin, number in zip(origins, make(2)["motion_class"]):
        assert origin.startswith("synthetic") == (classes[number] in ("gait", "poses"))


def test_wrong_options_are_refused():
    with pytest.raises(UserError, match="process_index 2"):
        stream.make_stream(SYNTHETIC, OPTIONS, process_index=2, process_count=2)
    with pytest.raises(UserError, match="'perfect' is not a kind of optical flow"):
        stream.make_stream(SYNTHETIC, StreamOptions(BATCH, FRAMES, flow="perfect"))
