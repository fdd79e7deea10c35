import logging
import pickle

import cv2
import numpy as np
import pytest

from data_pipelines.observed import augment, videos
from data_pipelines.observed.videos import Videos
from data_pipelines.sources import open_source
from data_pipelines.stream import StreamOptions, batch_maker, stream_classes
from data_pipelines.validation import validation_windows
from hpof_jax import downloads
from hpof_jax.errors import UserError
from hpof_jax.observe import cache
from hpof_jax.observe.clip import Observations
from hpof_jax.training import evaluation
from tests.data_pipelines.conftest import BATCH, FLOW, FRAMES, LENGTH

HEIGHT, WIDTH, SIDE = 120, 160, 64


def person_columns(frame):
    """How many of a mask's 128 columns show the person: another number in each frame."""
    return 16 + 37 * int(frame) % 100


def seen_in(name, frames=LENGTH, fps=30.0, unseen=(), shots=(0,)):
    """Made-up observations, in which the numbers of each frame say which frame it is."""
    rng = np.random.default_rng(len(name))
    seen = ~np.isin(np.arange(frames), unseen)
    there = seen.astype(np.float32)
    number = np.arange(frames, dtype=np.float32)
    landmarks = rng.uniform(40, 80, (frames, 33, 3)).astype(np.float32)
    landmarks[..., 0] = number[:, None]
    landmarks[..., 2] = 0.9
    pairs = (there[1:] * there[:-1])[:, None, None, None]
    to_frame = np.tile(np.float32([[60, 0, 30], [0, 60, 30]]), (frames, 1, 1))
    masks = np.zeros((frames, 128, 128), np.uint8)
    for frame in range(frames):
        masks[frame, :, : person_columns(frame)] = 255  # from x = 30 px on
    flow = number[:-1, None, None, None, None] * np.ones((2, SIDE, SIDE, 2)) * pairs[..., None]
    box = np.stack([number, np.full(frames, 60), np.full(frames, 60)], -1).astype(np.float32)
    return Observations(
        landmarks_2d=landmarks * there[:, None, None],
        landmarks_3d=rng.normal(size=(frames, 33, 3)).astype(np.float32) * there[:, None, None],
        seen=seen,
        image_size=np.float32([HEIGHT, WIDTH]),
        focal_length=np.float32(200),
        fps=np.float32(fps),
        shots=np.array(shots),
        masks=masks,
        mask_to_frame=to_frame * there[:, None, None],
        flow=flow.astype(np.float16),
        flow_valid=np.ones((frames - 1, 2, SIDE, SIDE), bool) & (pairs > 0),
        flow_box=box * there[:, None],
    )


@pytest.fixture
def observed(tmp_path, monkeypatch):
    """A folder of three videos, the names of those on which the detector has run, and options of `seen_in`.

    The cache is empty. `nobody.avi` shows nobody.
    """
    folder, names, made = tmp_path / "videos", [], {}
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.mp4", "nobody.avi", "deeper/b.MOV", "notes.txt"):
        (folder / name).write_text(name)

    def observe(video, **options):
        names.append(video.name)
        if video.name == "nobody.avi":
            raise UserError(f"no person was found in {video}")
        return seen_in(video.name, **made)

    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "observe", observe)
    open_source.cache_clear()
    yield folder, names, made
    open_source.cache_clear()


def draw(folder, count, frames=FRAMES, augment=False, flow_frames=FLOW):
    return Videos(folder).draw_batch(np.random.default_rng(0), count, frames, augment, flow_frames)[0]


def test_windows_of_videos_are_a_batch_of_the_stream_without_ground_truth(observed):
    folder, _, _ = observed
    assert pickle.dumps(Videos(folder)), "for processes that make batches"
    for kind in ("none", "exact"):
        options = StreamOptions(BATCH, FRAMES, flow=kind, flow_frames=FLOW)
        simulated = batch_maker({"synthetic": 1.0}, options)(0)
        del simulated["motion_class"]
        batch = draw(folder, BATCH, augment=True, flow_frames=FLOW if kind == "exact" else 0)
        like = {key: (value.shape, value.dtype) for key, value in simulated.items()}
        assert {key: (value.shape, value.dtype) for key, value in batch.items()} == like
    assert not batch["has_3d"].any() and not batch["has_smpl"].any() and batch["has_flow"].all()
    for key in ("pose", "transl", "betas"):
        assert not batch[key].any()
    np.testing.assert_array_equal(batch["true_focal_length"], batch["focal_length"])


def test_flow_masks_and_landmarks_are_of_the_same_frames(observed):
    folder, _, made = observed
    made["unseen"] = (7, 8)
    batch = draw(folder, 16)
    assert len(np.unique(batch["flow_first"])) > 2
    for row in range(16):
        frames = batch["flow_first"][row] + np.arange(FLOW)
        number, seen = batch["landmarks_2d"][row, frames, 0, 0], batch["seen"][row, frames]
        np.testing.assert_array_equal(batch["flow_box"][row, :, 0], number)
        both = seen[1:] & seen[:-1]
        np.testing.assert_array_equal(batch["flow_valid"][row].all(axis=(1, 2, 3)), both)
        np.testing.assert_array_equal(batch["flow_valid"][row].any(axis=(1, 2, 3)), both)
        np.testing.assert_array_equal(batch["flow"][row, :, 1, 5, 5, 0], number[:-1] * both)
        for mask, x in zip(batch["masks"][row][seen], number[seen]):
            # In a box of 60 px around x.
            ends = 30, 30 + person_columns(x) * 60 / 128
            left, right = (int(np.clip((end - x + 30) / 60 * SIDE, 0, SIDE)) for end in ends)
            assert (mask[30, left + 2 : right - 2] == 255).all()
            assert not mask[30, : left - 2].any() and not mask[30, right + 3 :].any()


def test_each_window_shows_the_person_and_only_its_end_is_padded(observed):
    folder, _, made = observed
    made["unseen"] = tuple(range(2, LENGTH))
    batch = draw(folder, 32)
    assert batch["seen"].any(axis=1).all() and batch["mask"].all()
    batch = draw(folder, BATCH, LENGTH + 9, augment=True)
    np.testing.assert_array_equal(batch["mask"], np.tile(np.arange(LENGTH + 9) < LENGTH, (BATCH, 1)))
    assert (batch["flow_first"] <= LENGTH - FLOW).all()
    assert all(np.isfinite(value).all() for value in batch.values())


def test_no_window_crosses_a_cut(observed):
    folder, _, made = observed
    made["shots"] = (0, 5, 12)  # 5, 7 and 8 frames
    batch = draw(folder, 64, 6)
    number, there = batch["landmarks_2d"][:, :, 0, 0], batch["mask"]
    shot = np.searchsorted([5, 12], number, side="right")
    np.testing.assert_array_equal(shot, np.tile(shot[:, :1], (1, 6)))
    assert set(shot[:, 0]) == {0, 1, 2}
    np.testing.assert_array_equal(
        there.sum(axis=1), np.where(shot[:, 0] == 0, 5, 6)
    )  # the first one is padded
    assert (np.diff(number)[there[:, 1:]] == 1).all()
    assert (batch["flow_first"] <= there.sum(axis=1) - FLOW).all() and batch["flow_valid"].all()


def test_flow_frames_beyond_the_clip_are_empty(observed):
    folder, _, made = observed
    made["frames"] = 3
    batch = draw(folder, 4, flow_frames=8)
    assert batch["flow_box"][:, :3].any() and not batch["flow_box"][:, 3:].any()
    assert batch["flow_valid"][:, :2].all() and not batch["flow_valid"][:, 2:].any()


def test_augmentation_drops_frames_and_swaps_nothing(observed, monkeypatch):
    folder, _, _ = observed
    monkeypatch.setattr(augment, "SWAP_RATE", 0.3)
    monkeypatch.setattr(augment, "DROP_RATE", 0.05)
    monkeypatch.setattr(augment, "MIRROR_SHARE", 0.0)
    batch = draw(folder, 32, augment=True, flow_frames=FRAMES)
    clean = draw(folder, 32, flow_frames=FRAMES)
    lost = ~batch["seen"]
    assert 0.05 < lost.mean() < 0.9
    expected = np.where(lost[..., None, None], 0, clean["landmarks_3d"])
    np.testing.assert_array_equal(batch["landmarks_3d"], expected)
    assert not batch["flow_box"][lost].any() and batch["flow_box"][~lost][:, 2].all()
    assert not batch["flow_valid"][lost[:, 1:] | lost[:, :-1]].any()


def test_the_detector_runs_once_on_a_video_until_the_video_changes(observed, caplog):
    folder, names, _ = observed
    with caplog.at_level(logging.INFO, logger="absl"):
        first = draw(folder, 4)
    assert names == ["a.mp4", "b.MOV", "nobody.avi"]
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("Left out: no person was found") for line in said)
    names.clear()
    again = draw(folder, 4)
    assert names == ["nobody.avi"]
    assert all(np.array_equal(first[key], again[key]) for key in first)
    (folder / "a.mp4").rename(folder / "c.mp4")  # the cache goes by the content
    (folder / "deeper" / "b.MOV").write_text("another")
    names.clear()
    Videos(folder)
    assert names == ["b.MOV", "nobody.avi"]


def test_what_is_not_a_usable_video_is_refused(observed, tmp_path):
    folder, _, made = observed
    with pytest.raises(UserError, match="no folder or video at .*nowhere"):
        Videos(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty has no video \(.avi, "):
        Videos(tmp_path / "empty")
    with pytest.raises(UserError, match="can be used; the first: no person was found"):
        Videos(folder / "nobody.avi")
    made["fps"] = 12.5
    with pytest.raises(UserError, match="only 12.5 frames/s"):
        Videos(folder)
    made.update(fps=30.0, frames=1)
    (folder / "a.mp4").write_text("another")
    with pytest.raises(UserError, match="a.mp4 has only one frame"):
        Videos(folder)


def test_the_stream_mixes_videos_with_labelled_clips(observed):
    folder, names, _ = observed
    mix = {"synthetic": 1.0, f"videos:{folder}": 1.0}
    options = StreamOptions(4, FRAMES, flow="exact", flow_frames=FLOW)
    batch = batch_maker(mix, options)(1)
    np.testing.assert_array_equal(batch["has_3d"], [True, True, False, False])
    np.testing.assert_array_equal(batch["has_smpl"], batch["has_3d"])
    assert batch["has_flow"].all() and batch["flow_valid"].any(axis=(1, 2, 3, 4)).all()
    np.testing.assert_array_equal(batch["pose"].reshape(4, -1).any(axis=1), batch["has_3d"])
    assert [stream_classes(mix)[n] for n in batch["motion_class"]][2:] == ["video"] * 2
    without = batch_maker(mix, StreamOptions(4, FRAMES))(1)
    assert "flow" not in without
    for key, value in without.items():  # the clips are the same with and without flow
        np.testing.assert_array_equal(batch[key], value)
    options = StreamOptions(4, FRAMES, flow="noisy", flow_frames=FLOW)
    alone = batch_maker({f"videos:{folder}": 1.0}, options)(3)
    assert not alone["has_3d"].any() and alone["flow"].shape[:2] == (4, FLOW - 1)
    names.clear()
    windows = validation_windows(mix, StreamOptions(2, FRAMES), synthetic_clips=1)
    assert [name for _, row, _ in windows for name in row] == ["gait_000"] * 2
    assert not names, "videos are not opened for validation"
    windows = validation_windows({f"videos:{folder}": 1.0}, StreamOptions(2, FRAMES))
    assert evaluation.evaluate(None, None, {"videos": windows})["overall"] == {}


@pytest.mark.network
def test_the_sample_video(tmp_path, monkeypatch):
    """A quarter of a second of it, at 60 frames/s: the detector runs on every other frame."""
    sample = cv2.VideoCapture(str(downloads.fetch("sample_video")))
    for model in downloads.NEEDED_BY_RECONSTRUCT:
        downloads.fetch(model)
    path = tmp_path / "short.avi"
    size = 884, 496
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 60, size)
    for _ in range(16):
        writer.write(cv2.resize(sample.read()[1], size))
    writer.release()
    monkeypatch.setattr(cache, "cache_dir", lambda: tmp_path)
    seen = cache.observe_cached(path, **videos.OPTIONS)
    assert len(seen) == 8 and seen.fps == 30 and seen.seen.mean() > 0.5
    options = StreamOptions(2, 8, flow="noisy", flow_frames=FLOW)
    batch = batch_maker({f"videos:{path}": 1.0}, options)(0)
    shown = batch["flow_box"][..., 2] > 0
    share = (batch["masks"][shown] > 127).mean(axis=(1, 2))
    assert 0.05 < share.min() and share.max() < 0.8
    assert batch["flow_valid"].mean() > 0.3 and np.abs(batch["flow"]).max() < SIDE
