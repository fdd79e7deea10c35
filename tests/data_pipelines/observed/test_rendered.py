import numpy as np
import pytest

from data_pipelines import stream
from data_pipelines.observed import augment as watched
from data_pipelines.observed.rendered import RenderedClips, clip_path, write_clip
from hpof_jax.errors import UserError
from hpof_jax.geometry.camera import box_from_keypoints
from tests.data_pipelines.conftest import FLOW, FRAMES, LENGTH, make_clips, pixels


def test_windows_of_clips_are_a_batch_of_the_stream(folder):
    clips = RenderedClips(folder, "train")
    batch, classes = clips.draw(np.random.default_rng(0), 2, FRAMES, augment=False)
    simulated = stream.batch_maker({"synthetic": 1.0}, 2, FRAMES, seed=0)(0)
    assert {key: value.shape for key, value in batch.items()} == {
        key: value.shape for key, value in simulated.items() if key != "motion_class"
    }
    assert all(batch[key].dtype == simulated[key].dtype for key in batch)
    assert classes.shape == (2,) and set(classes) <= clips.classes == {"walk", "jump"}
    assert batch["mask"].all() and batch["has_3d"].all() and batch["has_smpl"].all()
    _, expected = pixels(batch)
    np.testing.assert_allclose(
        batch["landmarks_2d"][..., :2][batch["seen"]], expected[batch["seen"]], atol=0.05
    )


def test_validation_shows_each_clip_once(folder):
    clips = RenderedClips(folder, "all")
    found = list(clips.windows(FRAMES, None))
    assert [name for _, name, _ in found] == [f"clip_{number:06d}" for number in range(5)]
    for rows, _, _ in found:
        assert [row["mask"].sum() for row in rows] == [FRAMES, LENGTH - FRAMES]
        assert all(row["pose"].shape == (FRAMES, 24, 3) for row in rows)
    assert [[row["mask"].sum() for row in rows] for rows, _, _ in clips.windows(FRAMES, 5)] == [[5]] * 5


def test_windows_at_another_speed(folder, monkeypatch):
    """They show the clip's frames, and between them what is between the observations; whichever is filmed faster fits."""
    clips = RenderedClips(folder, "all")
    for name, value in {
        "OTHER_SPEED": 1.0,
        "TURNED": 0.0,
        "ROLL": (0.0, 0.0),
        "MIRRORED": 0.0,
        "REPOSED": 0.0,
    }.items():
        monkeypatch.setattr(watched, name, value)
    monkeypatch.setattr(watched, "SWAP_RATE", 0.0)
    monkeypatch.setattr(watched, "DROP_RATE", 0.0)
    monkeypatch.setattr(watched, "draw_speeds", lambda rng, count: np.full(count, 1.5))
    batch, _ = clips.draw(np.random.default_rng(0), 6, FRAMES, augment=True)
    assert batch["mask"].all() and batch["seen"].all()
    whole, _ = clips.draw(np.random.default_rng(0), 200, LENGTH, augment=False)
    for row in range(6):
        every = batch["pose"][row, ::2]
        distance = np.abs(whole["pose"][:, :, None] - every[0]).max(axis=(2, 3, 4))
        clip, start = np.unravel_index(distance.argmin(), distance.shape)
        np.testing.assert_allclose(every, whole["pose"][clip, start : start + 18 : 3], atol=1e-5)
        between = whole["landmarks_2d"][clip, start + 1 : start + 3].mean(axis=0)
        np.testing.assert_allclose(batch["landmarks_2d"][row, 1], between, atol=1e-3)
    full, _ = clips.draw(np.random.default_rng(0), 3, LENGTH, augment=True)
    assert full["mask"].all(), "at that speed the clip would be too short"


def test_windows_longer_than_the_clips_are_padded(folder):
    batch, _ = RenderedClips(folder, "train").draw(np.random.default_rng(0), 3, LENGTH + 7, augment=True)
    np.testing.assert_array_equal(batch["mask"], np.tile(np.arange(LENGTH + 7) < LENGTH, (3, 1)))
    assert all(np.isfinite(value).all() for value in batch.values())


def test_the_stream_mixes_rendered_with_simulated_clips(folder, monkeypatch):
    monkeypatch.setattr(watched, "REPOSED", 0.0)  # as clips without labels always are
    sources = {"synthetic": 1.0, f"rendered:{folder}": 3.0}
    assert stream.stream_classes(sources) == ("gait", "jump", "poses", "walk")
    make = stream.batch_maker(sources, 8, FRAMES, seed=0)
    batch = make(0)
    kinds = np.array(stream.stream_classes(sources))[batch["motion_class"]]
    assert np.isin(kinds, ["walk", "jump"]).sum() == 6
    again = stream.batch_maker(sources, 8, FRAMES, seed=0)(0)
    assert all(np.array_equal(batch[key], again[key]) for key in batch)
    flowing = stream.batch_maker(sources, 8, FRAMES, seed=0, flow="exact", flow_frames=3)(0)
    hidden = {"synthetic": 1.0, f"unlabelled:rendered:{folder}": 3.0}
    hidden = stream.batch_maker(hidden, 8, FRAMES, seed=0, flow="exact", flow_frames=3)(0)
    np.testing.assert_array_equal(hidden["has_3d"], np.arange(8) < 2)
    for key in ("flow", "flow_valid", "masks"):  # made from the truth, which then goes
        np.testing.assert_array_equal(hidden[key], flowing[key])
    assert flowing["pose"][2:].any() and not hidden["pose"][2:].any()
    alone = stream.batch_maker({f"rendered:{folder}": 1.0}, 4, FRAMES, seed=0)(5)
    assert alone["pose"].shape == (4, FRAMES, 24, 3)


def test_the_stream_validates_on_both(folder):
    windows = stream.validation_windows(
        {"synthetic": 1.0, f"rendered:{folder}": 1.0}, FRAMES, seed=0, batch_size=3, synthetic_clips=1
    )
    batches = list(windows)
    found = [name for _, names, _ in batches for name in names]
    assert found == ["gait_000"] * 2 + ["clip_000004"] * 2 + [""] * 2
    assert {batch["landmarks_2d"].shape for batch, _, _ in batches} == {(3, FRAMES, 33, 3)}


def test_clips_in_which_nobody_was_found_are_left_out(tmp_path):
    make_clips(tmp_path, unseen=(1, 2))
    batch, _ = RenderedClips(tmp_path, "train").draw(np.random.default_rng(0), 32, FRAMES, augment=False)
    assert len(np.unique(batch["betas"][:, 0])) == 2


def test_what_is_no_collection_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no rendered clip in its train split"):
        RenderedClips(tmp_path / "nowhere", "train")
    make_clips(tmp_path, validation=())
    with pytest.raises(UserError, match="in its validation split"):
        RenderedClips(tmp_path, "validation")
    clip_path(tmp_path, 1).write_bytes(clip_path(tmp_path, 1).read_bytes()[:500])
    with pytest.raises(UserError, match="clip_000001.npz is no rendered clip"):
        RenderedClips(tmp_path, "train")


def test_a_full_disk_leaves_no_half_clip(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(UserError, match="No space left"):
        write_clip(clip_path(tmp_path, 0), {})
    assert not list(tmp_path.iterdir())


def test_kept_flow_is_of_the_frames_of_the_window(flowing):
    clips = RenderedClips(flowing, "all")
    batch, _ = clips.draw(np.random.default_rng(0), 8, FRAMES, augment=False, flow_frames=FLOW)
    assert batch["has_flow"].all() and len(np.unique(batch["flow_first"])) > 2
    for row, first in enumerate(batch["flow_first"]):
        box = box_from_keypoints(batch["landmarks_2d"][row, first : first + FLOW])
        np.testing.assert_allclose(batch["flow_box"][row], box, rtol=1e-5)
    # Each clip's flow is the number of its frame, to the right.
    number = batch["flow"][:, :, 0, 0, 0, 0]
    np.testing.assert_array_equal(np.diff(number, axis=1), 1)
    assert not batch["flow"][..., 1].any() and (batch["masks"][..., :32] == 255).all()
    assert not batch["masks"][..., 33:].any()


def test_flow_is_kept_only_where_the_pictures_still_fit(flowing, monkeypatch):
    clips = RenderedClips(flowing, "all")
    monkeypatch.setattr(watched, "REPOSED", 1.0)
    batch, _ = clips.draw(np.random.default_rng(0), 64, FRAMES, augment=True, flow_frames=FLOW)
    assert not batch["has_flow"].any()
    monkeypatch.setattr(watched, "REPOSED", 0.0)
    batch, _ = clips.draw(np.random.default_rng(0), 64, FRAMES, augment=True, flow_frames=FLOW)
    kept = batch["has_flow"]
    assert 0.05 < kept.mean() < 0.4
    plain, _ = clips.draw(np.random.default_rng(0), 64, FRAMES, augment=True)
    for key in plain:  # all else is as without flow
        np.testing.assert_array_equal(plain[key], batch[key])
    # Truth and flow are still of one clip: the boxes are those of the landmarks, mirrored or not.
    mirrored = batch["flow"][..., 0].min(axis=(1, 2, 3, 4)) < 0
    assert mirrored[kept].any() and not mirrored[kept].all()
    for row in np.flatnonzero(kept):
        frames = batch["flow_first"][row] + np.arange(FLOW)
        seen = batch["seen"][row, frames]
        box = np.asarray(box_from_keypoints(batch["landmarks_2d"][row, frames]))
        np.testing.assert_allclose(batch["flow_box"][row], np.where(seen[:, None], box, 0), rtol=1e-4)
        left, right = (
            batch["masks"][row][seen][..., part].mean() for part in (slice(0, 30), slice(34, None))
        )
        assert (left < right) == mirrored[row]


def test_the_stream_takes_kept_flow_and_makes_the_rest(flowing, monkeypatch):
    monkeypatch.setattr(watched, "REPOSED", 0.2)

    def made(kind):
        sources = {"synthetic": 1.0, f"rendered:{flowing}": 3.0}
        return stream.batch_maker(sources, 16, FRAMES, seed=0, flow=kind, flow_frames=FLOW)(0)

    def kept(batch):
        """Rows whose flow is all sideways, as nothing that moves is."""
        return batch["flow"][..., 0].any(axis=(1, 2, 3, 4)) & ~batch["flow"][..., 1].any(axis=(1, 2, 3, 4))

    noisy, exact = made("noisy"), made("exact")
    assert not kept(exact).any() and not kept(noisy)[:4].any() and 0 < kept(noisy)[4:].sum() < 8
    for key, value in exact.items():
        assert noisy[key].shape == value.shape and noisy[key].dtype == value.dtype
    assert noisy["has_flow"].all() and noisy["has_mask"].all()
    np.testing.assert_array_equal(noisy["landmarks_2d"], exact["landmarks_2d"])
