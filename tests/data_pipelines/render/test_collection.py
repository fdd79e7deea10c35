import dataclasses
import json

import numpy as np
import pytest

from data_pipelines.observed.rendered import RenderedClips, clip_path
from data_pipelines.render import collection
from data_pipelines.render.collection import Options, make_clips
from hpof_jax.errors import UserError
from hpof_jax.geometry.camera import box_from_keypoints
from hpof_jax.observe.blazepose import Pose, Region
from hpof_jax.observe.clip import Observations

FRAMES = 12
OPTIONS = Options(motions=("synthetic",), frames=FRAMES)


class FakeTracker:
    """Sees somebody in the middle of every picture but the first."""

    frames = 0  # in which any tracker has looked

    def __init__(self, model, fps, net):
        assert (model, fps, net) == ("full", 30, "net")
        self.count = 0

    def __call__(self, image):
        self.count += 1
        FakeTracker.frames += 1
        if self.count == 1:
            return None
        height, width = image.shape[:2]
        region = Region(width / 2, height / 2, max(height, width), 0.0)
        points = np.tile(np.float32([width / 2, height / 2, 0.5]), (33, 1))
        points[1:3, :2] += [(-30, -40), (30, 40)]
        logits = np.full((256, 256), 20.0, np.float32)
        return Pose(
            points, np.full((33, 3), image.mean(), np.float32), 1.0, region, None, region.to_frame(), logits
        )


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(collection, "PersonTracker", FakeTracker)
    monkeypatch.setattr(collection, "_net", lambda landmark_model: "net")
    FakeTracker.frames = 0


def load(folder, number):
    with np.load(clip_path(folder, number), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.mark.slow
def test_a_collection_can_be_resumed_and_grows(fake, tmp_path):
    folder = tmp_path / "rendered"
    made, seen = make_clips(folder, num_frames=3 * FRAMES - 1, options=OPTIONS, progress=False)
    assert made == 3 and seen == pytest.approx(11 / 12)
    assert FakeTracker.frames == 3 * FRAMES
    before = [load(folder, number) for number in range(3)]
    clip_path(folder, 1).unlink()
    assert make_clips(folder, 4 * FRAMES, OPTIONS, progress=False)[0] == 2
    assert FakeTracker.frames == 5 * FRAMES
    for number in range(3):
        after = load(folder, number)
        assert before[number].keys() == after.keys()
        for key in after:
            np.testing.assert_array_equal(before[number][key], after[key], err_msg=key)
    assert make_clips(folder, 4 * FRAMES, OPTIONS, progress=False) == (0, 0.0)
    (tmp_path / "alone").mkdir()
    collection.make_clip(tmp_path / "alone", OPTIONS, 2)
    for key, value in load(tmp_path / "alone", 2).items():
        np.testing.assert_array_equal(value, before[2][key], err_msg=f"{key} of a clip made alone")
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"clip_00000{n}.npz" for n in range(4)),
        "manifest.json",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["seed"] == 0 and manifest["motion_files"] == {"synthetic": ["gait", "poses"]}


def test_a_clip_is_observations_and_ground_truth(fake, tmp_path):
    make_clips(tmp_path, FRAMES, OPTIONS, progress=False)
    clip, seen = load(tmp_path, 0), Observations.load(clip_path(tmp_path, 0))
    assert len(seen) == FRAMES and seen.gaps == [(0, 1)] and seen.fps == 30
    height, width = clip["image_size"]
    assert seen.focal_length == pytest.approx(0.75 * np.hypot(height, width), rel=1e-6)
    # The tracker gets the window; observations are in pixels of the full frame.
    scale, corner = clip["window"][0], clip["window"][1:]
    x, y, size = seen.mask_to_frame[1, 0, 2], seen.mask_to_frame[1, 1, 2], seen.mask_to_frame[1, 0, 0]
    assert not seen.mask_to_frame[0].any() and not seen.landmarks_2d[0].any()
    np.testing.assert_allclose(
        seen.landmarks_2d[1:, 0, :2], np.tile([x + size / 2, y + size / 2], (11, 1)), rtol=1e-5
    )
    middle = scale * seen.landmarks_2d[1, 0, :2] - corner
    assert (middle > 10).all() and (middle < 1000).all()
    assert seen.masks.shape == clip["true_masks"].shape == (FRAMES, 64, 64)
    assert (seen.masks[1:] == 255).all() and 0.005 < (clip["true_masks"][1:] > 127).mean() < 0.7
    # Joints in the camera frame, inside the mask, and the transform from the world.
    joints = clip["joints"][1:]
    pixels = joints[..., :2] / joints[..., 2:] * clip["true_focal_length"] + (width / 2, height / 2)
    column, row = np.moveaxis((pixels - (x, y)) / size * 64, -1, 0).astype(int)
    inside = (column >= 0) & (column < 64) & (row >= 0) & (row < 64)
    frame = np.broadcast_to(np.arange(1, FRAMES)[:, None], inside.shape)
    assert (clip["true_masks"][frame[inside], row[inside], column[inside]] > 127).mean() > 0.8
    rotation, shift = clip["world_to_camera"][..., :3], clip["world_to_camera"][..., 3]
    world = np.einsum("tji,tkj->tki", rotation, clip["joints"] - shift[:, None])
    assert (
        -0.1 < world[..., 1].min() < 0.5 and world[..., 1].max() < 2.5
    )  # the floor is at y = 0, people jump


def test_a_clip_in_which_nobody_is_seen_is_given_up(fake, monkeypatch):
    monkeypatch.setattr(collection, "PATIENCE", 4)
    monkeypatch.setattr(FakeTracker, "__call__", lambda self, image: setattr(self, "count", self.count + 1))
    tracker = FakeTracker("full", 30, "net")
    film = collection.make_film(0, 0, ("synthetic",), frames=FRAMES)
    seen = collection.observe_film(film, tracker)
    assert not seen["seen"].any() and len(seen["landmarks_2d"]) == FRAMES and tracker.count == 5


def test_flow_and_video_are_stored_if_asked(fake, tmp_path):
    """Flow is in boxes of the full frame, rounded to sixteenths of a pixel, and 0 at the first, unseen frame."""
    options = dataclasses.replace(OPTIONS, keep_flow=True)
    make_clips(tmp_path, FRAMES, options, keep_video=True, progress=False)
    assert clip_path(tmp_path, 0).with_suffix(".mp4").stat().st_size > 1000
    seen = Observations.load(clip_path(tmp_path, 0))
    assert seen.flow.shape == (FRAMES - 1, 2, 64, 64, 2) and seen.flow.dtype == np.float16
    boxes = np.asarray(box_from_keypoints(seen.landmarks_2d))
    np.testing.assert_allclose(seen.flow_box[1:], boxes[1:], rtol=1e-4)
    assert not seen.flow_box[0].any() and not seen.flow_valid[0].any()
    np.testing.assert_array_equal(seen.flow * 16, np.round(seen.flow * 16))
    with pytest.raises(UserError, match="made with another keep_flow"):
        make_clips(tmp_path, FRAMES, OPTIONS, progress=False)


def test_after_ctrl_c_no_unfinished_file_is_left(tmp_path):
    for name in (".clip_000001.77.part.npz", "clip_000000.npz"):
        (tmp_path / name).touch()
    collection._remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["clip_000000.npz"]


def test_a_folder_of_other_clips_is_left_alone(fake, tmp_path, monkeypatch):
    make_clips(tmp_path, FRAMES, OPTIONS, progress=False)
    with pytest.raises(UserError, match="made with another seed"):
        make_clips(tmp_path, 2 * FRAMES, Options(("synthetic",), seed=1, frames=FRAMES), progress=False)
    monkeypatch.setattr(collection, "VERSION", collection.VERSION + 1)
    with pytest.raises(UserError, match="made with another version"):
        make_clips(tmp_path, 2 * FRAMES, OPTIONS, progress=False)
    (tmp_path / "manifest.json").write_text('{"a\\u007f\\nb": 1}')
    with pytest.raises(UserError, match=r"made with another augment, a\? b, frames") as error:
        make_clips(tmp_path, FRAMES, OPTIONS, progress=False)
    assert str(error.value).isprintable()
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="cannot be used"):
        make_clips(tmp_path, FRAMES, OPTIONS, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be used"):
        make_clips(tmp_path / "file", FRAMES, OPTIONS, progress=False)


@pytest.mark.network
def test_the_real_detector_sees_the_rendered_person(tmp_path):
    folder = tmp_path / "real"
    _, seen = make_clips(folder, 4 * FRAMES, OPTIONS, progress=False)
    assert seen > 0.7
    batch, _ = RenderedClips(folder, "train").draw_batch(np.random.default_rng(0), 4, FRAMES, augment=False)
    assert 0.3 < batch["landmarks_2d"][batch["seen"]][..., 2].mean() < 1
    masks = [load(folder, number) for number in range(4)]
    overlap = [
        np.minimum(clip["masks"], clip["true_masks"])[clip["seen"]].sum()
        / np.maximum(clip["masks"], clip["true_masks"])[clip["seen"]].sum()
        for clip in masks
        if clip["seen"].any()
    ]
    assert np.mean(overlap) > 0.7
