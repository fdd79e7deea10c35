import pickle

import numpy as np
import pytest

from data_pipelines.observed import augment
from data_pipelines.observed.prepared import PreparedClips
from data_pipelines.observed.rendered import write_clip
from data_pipelines.sources import open_source, open_sources
from data_pipelines.stream import StreamOptions, batch_maker
from data_pipelines.validation import validation_windows
from hpof_jax.body.skeletons import SPIN24
from hpof_jax.errors import UserError

T, FRAMES, BATCH, SIDE = 20, 12, 8, 64


def write(
    folder, name, frames=T, split="train", smpl=True, solid=False, flat=False, flow=True, seen=True, **more
):
    """A clip in which each number says its frame."""
    number = np.arange(frames, dtype=np.float32)
    points = np.tile(number[:, None, None], (1, 33, 3))
    points[..., 2] = 0.9
    clip = {
        "landmarks_2d": points * seen,
        "landmarks_3d": np.tile(number[:, None, None], (1, 33, 3)) * seen,
        "seen": np.full(frames, seen),
        "image_size": np.float32([100, 200]),
        "focal_length": np.float32(150),
        "true_focal_length": np.float32(170),
        "fps": np.float32(30),
        "pose": np.tile(number[:, None, None] / 100, (1, 24, 3)) * smpl,
        "transl": np.tile(number[:, None], (1, 3)) * smpl,
        "betas": np.full(10, 0.5 * smpl, np.float32),
        "has_smpl": np.array(smpl),
        "has_3d": np.array(smpl or solid),
        "valid": np.ones(frames, bool),
        "motion_class": np.array("walk"),
    }
    if solid:
        clip["keypoints_3d"] = np.tile(np.append(np.arange(3), 1.0).astype(np.float32), (frames, 24, 1))
    if flat:
        clip["keypoints_2d"] = np.tile(np.float32([30, 40, 1]), (frames, 24, 1))
    if flow:
        clip |= {
            "masks": np.full((frames, SIDE, SIDE), 255, np.uint8),
            "mask_to_frame": np.tile(np.float32([[60, 0, 30], [0, 60, 30]]), (frames, 1, 1)),
            "flow": np.ones((frames - 1, 2, SIDE, SIDE, 2), np.float16),
            "flow_valid": np.ones((frames - 1, 2, SIDE, SIDE), bool),
            "flow_box": np.tile(np.float32([60, 60, 60]), (frames, 1)),
        }
    (folder / split).mkdir(parents=True, exist_ok=True)
    write_clip(folder / split / f"clip_{name}.npz", clip | more)


def draw(folder, count=BATCH, frames=FRAMES, **options):
    source = PreparedClips(folder, "train")
    return source.draw_batch(np.random.default_rng(0), count, frames, **({"augment": False} | options))


def test_windows_are_consecutive_frames_of_one_clip(tmp_path):
    write(tmp_path, "long", 30)
    write(tmp_path, "short", 9)
    batch, classes = draw(tmp_path, 16)
    assert set(classes) == {"walk"} and batch["has_smpl"].all() and batch["has_3d"].all()
    number = batch["landmarks_2d"][..., 0, 0]
    there = batch["mask"]
    assert (np.diff(number, axis=1)[there[:, 1:]] == 1).all()
    assert {*there.sum(axis=1)} == {9, FRAMES}
    np.testing.assert_allclose(batch["pose"][..., 0, 0], number / 100, atol=1e-6)
    np.testing.assert_allclose(batch["transl"][..., 0], number)


def test_flow_and_masks_are_those_of_the_clip_or_marked_as_missing(tmp_path):
    write(tmp_path, "with")
    write(tmp_path, "without", flow=False)
    batch, _ = draw(tmp_path, 16, flow_frames=4)
    assert 0 < batch["has_flow"].sum() < 16
    np.testing.assert_array_equal(batch["flow"].any(axis=(1, 2, 3, 4, 5)), batch["has_flow"])
    np.testing.assert_array_equal(batch["masks"].any(axis=(1, 2, 3)), batch["has_mask"])
    same, _ = draw(tmp_path, 16)
    np.testing.assert_array_equal(batch["landmarks_2d"], same["landmarks_2d"])


def test_mirrored_points_are_those_of_the_other_side(tmp_path, monkeypatch):
    left, right = (SPIN24.index(f"{side}_knee") for side in ("left", "right"))
    flat = np.zeros((T, 24, 3), np.float32)
    flat[:, left] = [30, 40, 1]
    solid = np.zeros((T, 24, 4), np.float32)
    solid[:, left] = [0.3, 0.4, 2, 1]
    write(tmp_path, "a", smpl=False, keypoints_2d=flat, keypoints_3d=solid)
    for name in ("SWAP_RATE", "DROP_RATE"):
        monkeypatch.setattr(augment, name, 0.0)
    monkeypatch.setattr(augment, "MIRROR_SHARE", 1.0)
    batch, _ = draw(tmp_path, 2, augment=True)
    np.testing.assert_allclose(batch["keypoints_2d"][0, 0, right], [200 - 30, 40, 1])
    np.testing.assert_allclose(batch["keypoints_3d"][0, 0, right], [-0.3, 0.4, 2, 1], atol=1e-6)
    assert not batch["keypoints_2d"][:, :, left].any() and not batch["keypoints_3d"][:, :, left].any()


@pytest.mark.slow  # compiles the simulated detector
def test_the_stream_mixes_sets_with_simulated_clips(tmp_path):
    write(tmp_path / "a", "a")
    write(tmp_path / "b", "b", smpl=False, flat=True, flow=False)
    mix = {"synthetic": 1.0, f"prepared:{tmp_path / 'a'}": 2.0, f"unlabelled:prepared:{tmp_path / 'b'}": 1.0}
    for flow in ("none", "noisy"):
        make = batch_maker(mix, StreamOptions(BATCH, FRAMES, flow=flow, flow_frames=4))
        batch, labelled = make(0), [make(step)["has_smpl"][2:].sum() for step in range(4)]
        assert batch["keypoints_2d"].shape == (BATCH, FRAMES, 24, 3)
        assert not batch["keypoints_2d"].any(), "an unlabelled source shows no annotations"
        assert batch["has_smpl"][:2].all() and 0 < sum(labelled) < 4 * 6
        assert not batch["pose"][~batch["has_smpl"]].any()
    labelled = batch_maker({f"prepared:{tmp_path / 'b'}": 1.0}, StreamOptions(BATCH, FRAMES))(0)
    assert (labelled["keypoints_2d"][..., 2] == 1).all() and not labelled["has_3d"].any()
    plain = batch_maker({"synthetic": 1.0}, StreamOptions(BATCH, FRAMES))(0)
    assert "keypoints_2d" not in plain
    assert pickle.dumps(open_sources(mix, "train")), "for processes that make batches"


def test_clips_with_smpl_parameters_are_validated_in_their_valid_frames(tmp_path):
    valid = np.arange(T) >= 5
    write(tmp_path, "a", split="validation", valid=valid)
    write(tmp_path, "b", split="validation", smpl=False, solid=True)
    write(tmp_path, "c", split="train")
    options = StreamOptions(3, FRAMES)
    ((batch, names, classes),) = validation_windows(
        {f"prepared:{tmp_path}": 1.0, "synthetic": 1.0}, options, synthetic_clips=0
    )
    assert names == ["clip_a", "clip_a", ""] and classes[:2] == ["walk"] * 2
    np.testing.assert_array_equal(batch["mask"][0], valid[:FRAMES])
    assert batch["mask"][1].sum() == T - FRAMES


def test_what_is_damaged_or_shows_nobody_is_left_out(tmp_path, caplog):
    write(tmp_path, "good")
    write(tmp_path, "nobody", seen=False)
    write(tmp_path, "nan", betas=np.full(10, np.nan, np.float32))
    write(tmp_path, "other", pose=np.zeros((T, 23, 3), np.float32))
    (tmp_path / "train" / "clip_cut.npz").write_bytes(
        (tmp_path / "train" / "clip_good.npz").read_bytes()[:700]
    )
    source = PreparedClips(tmp_path, "train")
    assert [name for _, name, _ in source.windows(FRAMES, None)] == ["clip_good"]
    assert caplog.text.count("is not a prepared clip") == 3
    (tmp_path / "train" / "clip_good.npz").unlink()
    (tmp_path / "train" / "clip_nobody.npz").unlink()
    with pytest.raises(UserError, match="No prepared clip of .* can be read; the first: "):
        PreparedClips(tmp_path, "train")
    open_source.cache_clear()
    with pytest.raises(UserError, match="has no prepared clip in its validation split"):
        open_source(f"prepared:{tmp_path}", "validation")


def test_image_features_are_those_of_the_frames_and_such_windows_are_not_mirrored(tmp_path):
    numbers = np.float16(np.arange(T)[:, None] + np.linspace(0.5, 1, 2048))
    numbers[3] = 0
    write(tmp_path, "with", features=numbers)
    write(tmp_path, "without")
    batch, _ = draw(tmp_path, 30, features=True, augment=True)
    plain, _ = draw(tmp_path, 30, augment=True)
    known = batch["has_features"]
    clips = known.any(axis=1)
    assert 0 < clips.sum() < 30 and batch["image_features"].dtype == np.float16
    frames = np.floor(batch["image_features"][..., 0][known])
    pose = batch["pose"][known][:, 1, 0]
    np.testing.assert_allclose(np.abs(pose) * 100, frames, atol=1e-3)
    assert (pose >= 0).all() and not batch["image_features"][~known].any()
    assert (known.sum(axis=1) >= FRAMES - 1)[clips].all()
    for key in plain:
        np.testing.assert_array_equal(plain[key][~clips], batch[key][~clips], err_msg=key)


def test_damaged_image_features_are_left_out(tmp_path, caplog):
    write(tmp_path, "odd", features=np.ones((T, 7), np.float16))
    batch, _ = draw(tmp_path, 2, features=True)
    assert not batch["has_features"].any() and "Its image features are left out" in caplog.text


def test_validation_has_the_image_features_of_whole_clips(tmp_path):
    numbers = np.float16(np.arange(1, T + 1)[:, None] * np.ones(2048))
    write(tmp_path, "with", split="validation", features=numbers)
    options = StreamOptions(BATCH, FRAMES, features=True)
    ((batch, _, _),) = validation_windows({f"prepared:{tmp_path}": 1.0}, options)
    np.testing.assert_array_equal(batch["image_features"][0, :, 5], np.arange(1, FRAMES + 1))
    np.testing.assert_array_equal(batch["has_features"][:3].any(axis=1), [True, True, False])
