import logging

import cv2
import numpy as np
import pytest

from data_pipelines import stream
from data_pipelines.observed import videos
from data_pipelines.observed.augment import mirrored_flow
from data_pipelines.observed.videos import Videos
from data_pipelines.sources import open_source
from hpof_jax import downloads
from hpof_jax.errors import UserError
from hpof_jax.geometry import flow as flow_of
from hpof_jax.observe import cache
from hpof_jax.observe.clip import Observations
from hpof_jax.training import evaluation

LENGTH, FRAMES, FLOW = 20, 12, 4
HEIGHT, WIDTH, SIDE = 120, 160, 64


def wide(frame):
    """Columns of the mask's 128 that show the person: in each frame others."""
    return 16 + 37 * int(frame) % 100


def seen_in(name, frames=LENGTH, fps=30.0, unseen=()):
    """Made-up observations: every number of a frame tells which frame it is of."""
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
        masks[frame, :, : wide(frame)] = 255  # from x = 30 on
    return Observations(
        landmarks_2d=landmarks * there[:, None, None],
        landmarks_3d=rng.normal(size=(frames, 33, 3)).astype(np.float32) * there[:, None, None],
        seen=seen,
        image_size=np.float32([HEIGHT, WIDTH]),
        focal_length=np.float32(200),
        fps=np.float32(fps),
        masks=masks,
        mask_to_frame=to_frame * there[:, None, None],
        flow=(number[:-1, None, None, None, None] * np.ones((2, SIDE, SIDE, 2)) * pairs[..., None]).astype(
            np.float16
        ),
        flow_valid=np.ones((frames - 1, 2, SIDE, SIDE), bool) & (pairs > 0),
        flow_box=np.stack([number, np.full(frames, 60), np.full(frames, 60)], -1).astype(np.float32)
        * there[:, None],
    )


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A folder of three videos and an empty cache; the list tells which were watched: `nobody` shows nobody."""
    folder, names = tmp_path / "videos", []
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.mp4", "nobody.avi", "deeper/b.MOV", "notes.txt"):
        (folder / name).write_text(name)

    def observe(video, **options):
        names.append(video.name)
        if video.name == "nobody.avi":
            raise UserError(f"no person was found in {video}")
        return seen_in(video.name, **film)

    film = {}
    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "observe", observe)
    open_source.cache_clear()
    yield folder, names, film
    open_source.cache_clear()


def test_windows_of_videos_are_a_batch_of_the_stream(watched):
    folder, _, _ = watched
    for kind in ("none", "exact"):
        made = stream.batch_maker({"synthetic": 1.0}, 2, FRAMES, seed=0, flow=kind, flow_frames=FLOW)(0)
        batch, classes = Videos(folder).draw(
            np.random.default_rng(0), 2, FRAMES, augment=True, flow_frames=FLOW * (kind != "none")
        )
        like = {key: (value.shape, value.dtype) for key, value in made.items() if key != "motion_class"}
        assert {key: (value.shape, value.dtype) for key, value in batch.items()} == like
    assert set(classes) == {"video"}
    assert not batch["has_3d"].any() and not batch["has_smpl"].any() and batch["has_flow"].all()
    for key in ("pose", "transl", "betas"):
        assert not batch[key].any()
    np.testing.assert_array_equal(batch["true_focal_length"], batch["focal_length"])


def test_flow_masks_and_landmarks_are_of_the_same_frames(watched):
    folder, _, film = watched
    film["unseen"] = (7, 8)
    batch, _ = Videos(folder).draw(np.random.default_rng(0), 16, FRAMES, augment=False, flow_frames=FLOW)
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
            # In a box of 60 pixels around x.
            ends = 30, 30 + wide(x) * 60 / 128
            left, right = (int(np.clip((end - x + 30) / 60 * SIDE, 0, SIDE)) for end in ends)
            assert (mask[30, left + 2 : right - 2] == 255).all()
            assert not mask[30, : left - 2].any() and not mask[30, right + 3 :].any()


def test_each_window_shows_the_person_and_only_the_end_is_padded(watched):
    folder, _, film = watched
    film["unseen"] = tuple(range(2, LENGTH))
    batch, _ = Videos(folder).draw(np.random.default_rng(0), 32, FRAMES, augment=False, flow_frames=FLOW)
    assert batch["seen"].any(axis=1).all() and batch["mask"].all()
    batch, _ = Videos(folder).draw(np.random.default_rng(0), 8, LENGTH + 9, augment=True, flow_frames=FLOW)
    np.testing.assert_array_equal(batch["mask"], np.tile(np.arange(LENGTH + 9) < LENGTH, (8, 1)))
    assert (batch["flow_first"] <= LENGTH - FLOW).all()
    assert all(np.isfinite(value).all() for value in batch.values())


def test_flow_frames_beyond_the_clip_hold_nothing(watched):
    folder, _, film = watched
    film["frames"] = 3
    batch, _ = Videos(folder).draw(np.random.default_rng(0), 4, FRAMES, augment=False, flow_frames=8)
    assert batch["flow_box"][:, :3].any() and not batch["flow_box"][:, 3:].any()
    assert batch["flow_valid"][:, :2].all() and not batch["flow_valid"][:, 2:].any()


def test_failures_take_frames_away_and_exchange_nothing(watched, monkeypatch):
    folder, _, _ = watched
    monkeypatch.setattr("data_pipelines.observed.augment.SWAP_RATE", 0.3)
    monkeypatch.setattr("data_pipelines.observed.augment.DROP_RATE", 0.05)
    monkeypatch.setattr(videos, "MIRRORED", 0.0)
    batch, _ = Videos(folder).draw(np.random.default_rng(0), 32, FRAMES, augment=True, flow_frames=FRAMES)
    clean, _ = Videos(folder).draw(np.random.default_rng(0), 32, FRAMES, augment=False, flow_frames=FRAMES)
    lost = ~batch["seen"]
    assert 0.05 < lost.mean() < 0.9
    np.testing.assert_array_equal(
        batch["landmarks_3d"], np.where(lost[..., None, None], 0, clean["landmarks_3d"])
    )
    assert not batch["flow_box"][lost].any() and batch["flow_box"][~lost][:, 2].all()
    assert not batch["flow_valid"][lost[:, 1:] | lost[:, :-1]].any()


def test_a_mirror_shows_the_flow_of_the_mirrored_motion():
    """Exactly: of triangles that move, seen in boxes that move."""
    rng = np.random.default_rng(0)
    points = rng.uniform(5, 59, (1, 30, 2)) + np.cumsum(rng.normal(0, 2, (FLOW, 30, 2)), axis=0)
    depth, faces = rng.uniform(2, 4, (FLOW, 30)), np.arange(30).reshape(10, 3)
    box = np.float32([60, 50, 40]) + rng.uniform(-4, 4, (FLOW, 3)).astype(np.float32)

    def fields(points, faces, box):
        ends = np.stack([box[:-1], box[1:]], axis=1)
        still = np.asarray(
            flow_of.between_boxes(
                np.zeros((*ends.shape[:-1], SIDE, SIDE, 2), np.float32), ends, ends[:, ::-1]
            )
        )
        moves, valid, masks = flow_of.rendered_flow(points, depth, faces, (SIDE, SIDE), still)
        return {
            "flow_box": box[None],
            "flow": moves[None].astype(np.float16),
            "flow_valid": valid[None],
            "masks": np.uint8(255) * masks[None],
            "image_size": np.float32([[HEIGHT, WIDTH]]),
        }

    batch = fields(points, faces, box)
    assert 0.1 < (batch["masks"] > 0).mean() < 0.9 and batch["flow_valid"].mean() > 0.5
    mirror = fields(
        [SIDE, 0] + points * [-1, 1], faces[:, ::-1], [WIDTH, 0, 0] + box * np.float32([-1, 1, 1])
    )
    found = mirrored_flow(batch, np.array([True]))
    for key, value in mirror.items():
        np.testing.assert_allclose(np.float32(found[key]), np.float32(value), atol=0.02, err_msg=key)
    for key, value in mirrored_flow(found, np.array([True])).items():
        np.testing.assert_allclose(np.float32(value), np.float32(batch[key]), atol=1e-4, err_msg=key)
    assert all(np.array_equal(v, batch[k]) for k, v in mirrored_flow(batch, np.array([False])).items())


def test_a_video_is_watched_once_until_it_changes(watched, caplog):
    folder, names, _ = watched
    with caplog.at_level(logging.INFO, logger="absl"):
        first, _ = Videos(folder).draw(np.random.default_rng(0), 4, FRAMES, augment=True, flow_frames=FLOW)
    assert names == ["a.mp4", "b.MOV", "nobody.avi"]
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0].split("/")[-1] for line in said if "Observing" in line] == names
    assert any(line.startswith("Left out: no person was found") for line in said)
    names.clear()
    again, _ = Videos(folder).draw(np.random.default_rng(0), 4, FRAMES, augment=True, flow_frames=FLOW)
    assert names == ["nobody.avi"]
    assert all(np.array_equal(first[key], again[key]) for key in first)
    (folder / "a.mp4").rename(folder / "c.mp4")  # what counts is its content
    (folder / "deeper" / "b.MOV").write_text("another")
    names.clear()
    Videos(folder)
    assert names == ["b.MOV", "nobody.avi"]


def test_what_is_no_video_is_told_in_a_sentence(watched, tmp_path):
    folder, _, film = watched
    with pytest.raises(UserError, match="no folder or video at .*nowhere"):
        Videos(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no video \(.avi, "):
        Videos(tmp_path / "empty")
    with pytest.raises(UserError, match="can be learned from; the first: no person was found"):
        Videos(folder / "nobody.avi")
    film["fps"] = 12.5
    with pytest.raises(UserError, match="only 12.5 frames a second"):
        Videos(folder)


def test_the_stream_mixes_videos_with_what_is_known(watched):
    folder, names, _ = watched
    sources = {"synthetic": 1.0, f"videos:{folder}": 1.0}
    batch = stream.batch_maker(sources, 4, FRAMES, seed=0, flow="exact", flow_frames=FLOW)(0)
    np.testing.assert_array_equal(batch["has_3d"], [True, True, False, False])
    np.testing.assert_array_equal(batch["has_smpl"], batch["has_3d"])
    assert batch["has_flow"].all() and batch["flow_valid"].any(axis=(1, 2, 3, 4)).all()
    known = batch["pose"].reshape(4, -1).any(axis=1)
    np.testing.assert_array_equal(known, batch["has_3d"])
    assert [stream.stream_classes(sources)[n] for n in batch["motion_class"]][2:] == ["video"] * 2
    assert "flow" not in stream.batch_maker(sources, 4, FRAMES, seed=0)(0)
    alone = stream.batch_maker({f"videos:{folder}": 1.0}, 4, FRAMES, seed=0, flow="noisy", flow_frames=FLOW)(
        3
    )
    assert not alone["has_3d"].any() and alone["flow"].shape[:2] == (4, FLOW - 1)
    names.clear()
    windows = stream.validation_windows(sources, FRAMES, seed=0, batch_size=2, synthetic_clips=1)
    assert [name for _, row, _ in windows for name in row] == ["gait_000"] * 2
    assert not names


def test_on_videos_alone_nothing_is_measured(watched):
    windows = stream.validation_windows({f"videos:{watched[0]}": 1.0}, FRAMES, seed=0)
    assert evaluation.evaluate(None, None, {"videos": windows})["overall"] == {}


@pytest.mark.network
def test_the_sample_video(tmp_path, monkeypatch):
    """A second of it, at 60 frames a second: every other one is looked at."""
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
    source = {f"videos:{path}": 1.0}
    batch = stream.batch_maker(source, 2, 8, seed=0, flow="noisy", flow_frames=4)(0)
    shown = batch["flow_box"][..., 2] > 0
    share = (batch["masks"][shown] > 127).mean(axis=(1, 2))
    assert 0.05 < share.min() and share.max() < 0.8
    assert batch["flow_valid"].mean() > 0.3 and np.abs(batch["flow"]).max() < SIDE
