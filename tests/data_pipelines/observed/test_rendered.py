import pickle
import re

import numpy as np
import pytest

from data_pipelines.observed import augment
from data_pipelines.observed.rendered import RenderedClips, clip_path, write_clip
from data_pipelines.sources import open_sources
from data_pipelines.stream import StreamOptions, batch_maker, stream_classes
from data_pipelines.validation import validation_windows
from hpof_jax.errors import UserError
from hpof_jax.geometry.camera import box_from_keypoints
from tests.data_pipelines.conftest import BATCH, FLOW, FRAMES, LENGTH, assert_same, make_clips, pixels

pytestmark = pytest.mark.slow


def draw(folder, count, frames=FRAMES, split="train", **options):
    source = RenderedClips(folder, split)
    return source.draw_batch(np.random.default_rng(0), count, frames, **({"augment": False} | options))


def test_windows_of_clips_are_a_batch_of_the_stream(folder):
    batch, classes = draw(folder, BATCH)
    simulated = batch_maker({"synthetic": 1.0}, StreamOptions(BATCH, FRAMES))(0)
    del simulated["motion_class"]
    assert {k: v.shape for k, v in batch.items()} == {k: v.shape for k, v in simulated.items()}
    assert all(batch[key].dtype == simulated[key].dtype for key in batch)
    assert classes.shape == (BATCH,) and set(classes) <= {"walk", "jump"}
    assert batch["mask"].all() and batch["has_3d"].all() and batch["has_smpl"].all()
    seen, expected = batch["seen"], pixels(batch)[1]
    np.testing.assert_allclose(batch["landmarks_2d"][..., :2][seen], expected[seen], atol=0.05)


def test_validation_windows_cover_each_clip_once(folder):
    clips = RenderedClips(folder, "all")
    found = list(clips.windows(FRAMES, None))
    assert [name for _, name, _ in found] == [f"clip_{number:06d}" for number in range(5)]
    for rows, _, _ in found:
        assert [row["mask"].sum() for row in rows] == [FRAMES, LENGTH - FRAMES]
        assert all(row["pose"].shape == (FRAMES, 24, 3) for row in rows)
    assert [[row["mask"].sum() for row in rows] for rows, _, _ in clips.windows(FRAMES, 5)] == [[5]] * 5


def test_windows_at_another_speed_interpolate_between_frames(folder, monkeypatch):
    clips = RenderedClips(folder, "all")
    for name in ("TURN_SHARE", "MIRROR_SHARE", "BODY_SHARE", "SWAP_RATE", "DROP_RATE"):
        monkeypatch.setattr(augment, name, 0.0)
    monkeypatch.setattr(augment, "ROLL", (0.0, 0.0))
    monkeypatch.setattr(augment, "draw_speeds", lambda rng, count: np.full(count, 1.5))
    batch, _ = clips.draw_batch(np.random.default_rng(0), BATCH, FRAMES, augment=True)
    assert batch["mask"].all() and batch["seen"].all()
    whole, _ = clips.draw_batch(np.random.default_rng(0), 200, LENGTH, augment=False)
    for row in range(BATCH):
        every = batch["pose"][row, ::2]
        distance = np.abs(whole["pose"][:, :, None] - every[0]).max(axis=(2, 3, 4))
        clip, start = np.unravel_index(distance.argmin(), distance.shape)
        np.testing.assert_allclose(every, whole["pose"][clip, start : start + 18 : 3], atol=1e-5)
        between = whole["landmarks_2d"][clip, start + 1 : start + 3].mean(axis=0)
        np.testing.assert_allclose(batch["landmarks_2d"][row, 1], between, atol=1e-3)
    full, _ = clips.draw_batch(np.random.default_rng(0), BATCH, LENGTH, augment=True)
    assert full["mask"].all(), "at that speed the clip is too short, so it plays at its own"


def test_windows_longer_than_the_clips_are_padded(folder):
    batch, _ = draw(folder, BATCH, LENGTH + 7, augment=True)
    np.testing.assert_array_equal(batch["mask"], np.tile(np.arange(LENGTH + 7) < LENGTH, (BATCH, 1)))
    assert all(np.isfinite(value).all() for value in batch.values())


def test_the_stream_mixes_rendered_with_simulated_clips(folder, monkeypatch):
    monkeypatch.setattr(augment, "BODY_SHARE", 0.0)  # unlabelled clips never get another body
    mix = {"synthetic": 1.0, f"rendered:{folder}": 3.0}
    assert stream_classes(mix) == ("gait", "jump", "poses", "walk")
    options = StreamOptions(BATCH, FRAMES)
    batch = batch_maker(mix, options)(0)
    kinds = np.array(stream_classes(mix))[batch["motion_class"]]
    assert np.isin(kinds, ["walk", "jump"]).sum() == 6
    assert_same(batch, batch_maker(mix, options)(0))
    sent = pickle.loads(
        pickle.dumps((open_sources(mix, "train"), options))
    )  # to a process that makes batches
    assert_same(batch, batch_maker(*sent)(0))
    with_flow = StreamOptions(BATCH, FRAMES, flow="exact", flow_frames=FLOW)
    labelled = batch_maker(mix, with_flow)(0)
    unlabelled = batch_maker({"synthetic": 1.0, f"unlabelled:rendered:{folder}": 3.0}, with_flow)(0)
    np.testing.assert_array_equal(unlabelled["has_3d"], np.arange(BATCH) < 2)
    for key in ("flow", "flow_valid", "masks"):  # computed from the ground truth, before it is withheld
        np.testing.assert_array_equal(unlabelled[key], labelled[key])
    assert labelled["pose"][2:].any() and not unlabelled["pose"][2:].any()
    alone = batch_maker({f"rendered:{folder}": 1.0}, StreamOptions(4, FRAMES))(5)
    assert alone["pose"].shape == (4, FRAMES, 24, 3)


def test_the_stream_validates_on_both(folder):
    mix = {"synthetic": 1.0, f"rendered:{folder}": 1.0}
    batches = list(validation_windows(mix, StreamOptions(3, FRAMES), synthetic_clips=1))
    found = [name for _, names, _ in batches for name in names]
    assert found == ["gait_000"] * 2 + ["clip_000004"] * 2 + [""] * 2
    assert {batch["landmarks_2d"].shape for batch, _, _ in batches} == {(3, FRAMES, 33, 3)}


def test_clips_that_hardly_show_the_person_are_left_out(tmp_path):
    make_clips(tmp_path, unseen=(1, 2))
    batch, _ = draw(tmp_path, 32)
    assert len(np.unique(batch["betas"][:, 0])) == 2


def test_what_is_not_a_collection_is_refused(tmp_path):
    with pytest.raises(UserError, match="no rendered clip in its train split"):
        RenderedClips(tmp_path / "nowhere", "train")
    make_clips(tmp_path, validation=())
    with pytest.raises(UserError, match="in its validation split"):
        RenderedClips(tmp_path, "validation")


def test_a_damaged_clip_is_left_out_and_named(tmp_path, caplog):
    make_clips(tmp_path, count=2, validation=())
    path, other = clip_path(tmp_path, 0), clip_path(tmp_path, 1)
    whole = path.read_bytes()
    for damaged in (whole[:500], b"", whole[:2000] + bytes(500) + whole[2500:]):
        path.write_bytes(damaged)
        caplog.clear()
        source = RenderedClips(tmp_path, "train")
        assert [name for _, name, _ in source.windows(FRAMES, None)] == ["clip_000001"]
        assert re.search("clip_000000.npz is not a rendered clip .*: delete it", caplog.text)
    other.unlink()
    with pytest.raises(
        UserError, match="No rendered clip of .*clip_000000.npz is not a rendered clip .*: delete it"
    ):
        RenderedClips(tmp_path, "train")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda clip: clip | {"pose": clip["pose"] * np.nan}, "'pose' holds numbers that are not finite"),
        (lambda clip: clip | {"transl": clip["transl"][:, :2]}, "'transl' is float32"),
        (lambda clip: clip | {"focal_length": np.float32(0)}, "not positive"),
        (lambda clip: {key: value for key, value in clip.items() if key != "betas"}, "it has no 'betas'"),
        (lambda clip: {key: rows[:5] if len(np.shape(rows)) and len(rows) == LENGTH else rows
                       for key, rows in clip.items()}, "has 5 frames instead of 20"),
    ],
)  # fmt: skip
def test_a_clip_of_wrong_arrays_is_left_out(tmp_path, caplog, change, reason):
    make_clips(tmp_path, count=3, validation=())
    with np.load(clip_path(tmp_path, 1)) as file:
        clip = dict(file)
    write_clip(clip_path(tmp_path, 1), change(clip))
    source = RenderedClips(tmp_path, "train")
    assert [name for _, name, _ in source.windows(FRAMES, None)] == ["clip_000000", "clip_000002"]
    assert reason in caplog.text


def test_a_clip_with_damaged_flow_is_used_without_it(tmp_path, caplog):
    make_clips(tmp_path, count=2, validation=(), flow=True)
    with np.load(clip_path(tmp_path, 0)) as file:
        clip = dict(file)
    write_clip(clip_path(tmp_path, 0), clip | {"flow": clip["flow"] * np.float16(np.nan)})
    batch, _ = draw(tmp_path, BATCH, flow_frames=FLOW)
    damaged = np.isclose(batch["betas"][:, :1], clip["betas"][0])[:, 0]
    assert damaged.any() and not damaged.all()
    np.testing.assert_array_equal(batch["has_flow"], ~damaged)
    np.testing.assert_array_equal(batch["has_mask"], ~damaged)
    assert "Its optical flow is left out" in caplog.text and "clip_000000.npz" in caplog.text


def test_a_full_disk_leaves_no_half_clip(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(UserError, match="No space left"):
        write_clip(clip_path(tmp_path, 0), {})
    assert not list(tmp_path.iterdir())


def test_stored_flow_is_that_of_the_windows_frames(flowing):
    batch, _ = draw(flowing, BATCH, split="all", flow_frames=FLOW)
    assert batch["has_flow"].all() and len(np.unique(batch["flow_first"])) > 2
    for row, first in enumerate(batch["flow_first"]):
        box = box_from_keypoints(batch["landmarks_2d"][row, first : first + FLOW])
        np.testing.assert_allclose(batch["flow_box"][row], box, rtol=1e-5)
    # Each frame's flow is its number, to the right.
    number = batch["flow"][:, :, 0, 0, 0, 0]
    np.testing.assert_array_equal(np.diff(number, axis=1), 1)
    assert not batch["flow"][..., 1].any() and (batch["masks"][..., :32] == 255).all()
    assert not batch["masks"][..., 33:].any()


def test_stored_flow_is_used_only_where_the_pictures_still_fit(flowing, monkeypatch):
    monkeypatch.setattr(augment, "BODY_SHARE", 1.0)
    batch, _ = draw(flowing, 64, split="all", augment=True, flow_frames=FLOW)
    assert not batch["has_flow"].any()
    monkeypatch.setattr(augment, "BODY_SHARE", 0.0)
    batch, _ = draw(flowing, 64, split="all", augment=True, flow_frames=FLOW)
    used = batch["has_flow"]
    assert 0.05 < used.mean() < 0.4
    plain, _ = draw(flowing, 64, split="all", augment=True)
    for key in plain:
        np.testing.assert_array_equal(plain[key], batch[key], err_msg="all else is as without flow")
    # Ground truth and flow are of the same clip: the boxes are those of the landmarks, mirrored or not.
    mirrored = batch["flow"][..., 0].min(axis=(1, 2, 3, 4)) < 0
    assert mirrored[used].any() and not mirrored[used].all()
    for row in np.flatnonzero(used):
        frames = batch["flow_first"][row] + np.arange(FLOW)
        seen = batch["seen"][row, frames]
        box = np.asarray(box_from_keypoints(batch["landmarks_2d"][row, frames]))
        np.testing.assert_allclose(batch["flow_box"][row], np.where(seen[:, None], box, 0), rtol=1e-4)
        masks = batch["masks"][row][seen]
        assert (masks[..., :30].mean() < masks[..., 34:].mean()) == mirrored[row]


def test_the_stream_uses_stored_flow_and_computes_the_rest(flowing, monkeypatch):
    monkeypatch.setattr(augment, "BODY_SHARE", 0.2)

    def batch(kind):
        mix = {"synthetic": 1.0, f"rendered:{flowing}": 7.0}
        options = StreamOptions(16, FRAMES, flow=kind, flow_frames=FLOW, real_motion=True)
        return batch_maker(mix, options)(0)

    def stored(batch):
        """Rows whose flow is exactly horizontal, which computed flow never is."""
        return batch["flow"][..., 0].any(axis=(1, 2, 3, 4)) & ~batch["flow"][..., 1].any(axis=(1, 2, 3, 4))

    noisy, exact = batch("noisy"), batch("exact")
    assert not stored(exact).any() and not stored(noisy)[:2].any() and 0 < stored(noisy)[2:].sum() < 8
    for key, value in exact.items():
        assert noisy[key].shape == value.shape and noisy[key].dtype == value.dtype
    assert noisy["has_flow"].all() and noisy["has_mask"].all()
    for key, value in batch("none").items():  # the clips and the real motion are the same without flow
        np.testing.assert_array_equal(noisy[key], value)
        np.testing.assert_array_equal(exact[key], value)
