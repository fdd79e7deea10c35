import dataclasses
import logging
import tracemalloc

import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.observe import clip, track
from hpof_jax.observe.background import Background
from hpof_jax.observe.blazepose import Pose, Region
from hpof_jax.observe.clip import Observations, add_flow, observe
from hpof_jax.observe.crops import mask_in_square
from hpof_jax.observe.packed import Packed
from hpof_jax.observe.video import Frames, VideoInfo

HEIGHT, WIDTH = 60, 80
REGION = Region(40, 30, 40, 0.0)


def pose_of(number):
    mask = np.full((256, 256), -20.0, np.float32)
    mask[64:192, 64:192] = 20  # the middle of the region
    landmarks = np.full((33, 3), number, np.float32)
    landmarks[-1, :2] += 10
    return Pose(
        landmarks_2d=landmarks,
        landmarks_3d=np.full((33, 3), -number, np.float32),
        score=1.0,
        region=REGION,
        crop=np.zeros((256, 256, 3), np.uint8),
        to_frame=REGION.to_frame(),
        mask_logits=mask,
    )


@pytest.fixture
def film(monkeypatch):
    """Lets `observe` read a video in which the person is seen in the frames where `seen` is true."""

    def film(seen, fps=30.0, most_people=1, times=None, **info):
        times = np.arange(len(seen)) / fps if times is None else times

        class Tracker:
            doubts: list[int] = []

            def __init__(self, landmark_model, person, fps, net=None):
                self.count, self.most_people = -1, most_people

            def restart(self):
                pass

            def __call__(self, frame):
                self.count += 1
                return pose_of(self.count + 1) if seen[self.count] else None

        def read(video, max_frames, fps_override, start, end):
            timed = ((np.zeros((HEIGHT, WIDTH, 3), np.uint8), time) for time in times)
            return Frames(timed), VideoInfo(fps, (HEIGHT, WIDTH), len(seen), str(video), **info)

        monkeypatch.setattr(clip, "PersonTracker", Tracker)
        monkeypatch.setattr(clip, "read_video", read)

    return film


def test_a_video_becomes_observations(film, caplog):
    film([False, True, True, False, False, True])
    with caplog.at_level(logging.INFO, logger="absl"):
        seen = observe("dance.mp4", progress=False, keep_masks=True)
    assert len(seen) == 6 and seen.landmarks_2d.shape == seen.landmarks_3d.shape == (6, 33, 3)
    assert seen.seen.dtype == bool and seen.landmarks_2d.dtype == seen.landmarks_3d.dtype == np.float32
    np.testing.assert_array_equal(seen.landmarks_2d[:, 0, 0], [0, 2, 3, 0, 0, 6])
    np.testing.assert_array_equal(seen.landmarks_3d[:, 0, 0], [0, -2, -3, 0, 0, -6])
    assert seen.focal_length == pytest.approx(75) and seen.fps == 30
    np.testing.assert_array_equal(seen.image_size, (HEIGHT, WIDTH))
    assert seen.gaps == [(0, 1), (3, 5)]
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "the person is not seen in frames 0 to 0",
        "the person is not seen in frames 3 to 4",
    ]


def test_masks_are_kept_if_asked(film):
    film([True, False])
    assert observe("dance.mp4", progress=False).masks is None
    seen = observe("dance.mp4", progress=False, keep_masks=True)
    assert seen.masks.shape == (2, clip.MASK_SIDE, clip.MASK_SIDE) and seen.masks.dtype == np.uint8
    assert seen.mask_to_frame.dtype == np.float32 and not seen.mask_to_frame[1].any()
    whole = mask_in_square(seen.masks[0], seen.mask_to_frame[0], np.array([40, 30, 80]), 80)
    assert whole[30:50, 30:50].mean() > 0.9 and whole.sum() == pytest.approx(400, rel=0.01)


def test_the_times_are_the_files_own_at_a_varying_rate(film):
    film([True] * 4, times=[0.0, 0.02, 0.1, 0.11], fps=30.0)
    seen = observe("dance.mp4", progress=False)
    np.testing.assert_array_equal(seen.times, [0.0, 0.02, 0.1, 0.11])
    assert seen.fps == pytest.approx(3 / 0.11)
    assert seen.times.dtype == np.float64
    film([True] * 4, times=[1.0, 1.033, 1.067, 1.1], fps=30.0)  # rounded to milliseconds
    np.testing.assert_allclose(observe("dance.mp4", progress=False).times, 1 + np.arange(4) / 30, atol=1e-12)
    film([True] * 4, times=[0.0] * 4, fps=25.0)
    np.testing.assert_allclose(observe("dance.mp4", progress=False).times, np.arange(4) / 25)


def test_a_cut_begins_a_shot(film, monkeypatch):
    film([True] * 6)
    marks = [False, False, False, True, False, False]
    monkeypatch.setattr(track, "mark_cuts", lambda frames: zip(frames, marks))
    seen = observe("dance.mp4", progress=False, keep_flow=True)
    assert seen.shots.tolist() == [0, 3]
    np.testing.assert_array_equal(np.any(seen.flow_valid, axis=(1, 2, 3)), [True, True, False, True, True])


def test_where_the_focal_length_is_from(film):
    film([True], focal_length=123.0)
    seen = observe("dance.mp4", focal_length=200, progress=False)
    assert (seen.focal_length, seen.focal_length_source) == (200, "given")
    seen = observe("dance.mp4", progress=False)
    assert (seen.focal_length, seen.focal_length_source) == (123, "metadata")
    for stated in (None, 1e-3, 1e9):
        film([True], focal_length=stated)
        assert observe("dance.mp4", progress=False).focal_length_source == "assumed"


def test_memory_holds_the_observations_and_no_frames(film, monkeypatch):
    count = 3000
    film([True] * count)
    monkeypatch.setattr(track, "mark_cuts", lambda frames: ((frame, False) for frame in frames))
    tracemalloc.start()
    seen = observe("dance.mp4", progress=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(seen) == count and peak < 100e6 * count / 18_000


def test_flow_is_kept_where_both_frames_show_the_person(film):
    film([True, True, False, True, True])
    assert observe("dance.mp4", progress=False).flow is None
    seen = observe("dance.mp4", progress=False, keep_flow=True)
    assert seen.flow.shape == (4, 2, 64, 64, 2) and seen.flow_valid.shape == (4, 2, 64, 64)
    assert np.any(seen.flow_valid, axis=(1, 2, 3)).tolist() == [True, False, False, True]
    np.testing.assert_array_equal(seen.flow_box[:, 0], [6, 7, 0, 9, 10])  # the landmarks' middle


def test_a_fast_video_is_thinned(film):
    film([True] * 8, fps=60.0)
    seen = observe("dance.mp4", progress=False, keep_flow=True, thin_to=30)
    assert len(seen) == 4 and seen.fps == 30 and seen.flow.shape[0] == 3
    np.testing.assert_allclose(seen.times, np.arange(4) / 30)


def test_flow_of_another_program(film, tmp_path):
    film([True, True, False])
    seen = observe("dance.mp4", progress=False)
    forward = np.full((2, HEIGHT, WIDTH, 2), 1.0, np.float32)  # as the landmarks move
    np.save(tmp_path / "forward.npy", forward)
    np.save(tmp_path / "backward.npy", -forward)
    flowing = add_flow(seen, tmp_path / "forward.npy", tmp_path / "backward.npy")
    assert flowing.landmarks_2d is seen.landmarks_2d
    np.testing.assert_array_equal(flowing.flow_box[:, 2], [12, 12, 0])
    assert flowing.flow_valid[0].all() and not flowing.flow_valid[1].any()
    np.testing.assert_allclose(flowing.flow, 0.0, atol=1e-3)  # the box moves with it
    cut = add_flow(
        dataclasses.replace(seen, shots=np.array([0, 1])), tmp_path / "forward.npy", tmp_path / "backward.npy"
    )
    assert not cut.flow_valid.any() and not cut.flow.any()
    with pytest.raises(UserError, match="raft.npy"):
        add_flow(seen, tmp_path / "forward.npy", tmp_path / "raft.npy")


def test_nobody_in_any_frame(film):
    film([False] * 4, most_people=0)
    with pytest.raises(UserError, match=r"^no person was found in dance.mp4 \(4 frames\): "):
        observe("dance.mp4", progress=False)
    film([False] * 4, most_people=2)
    with pytest.raises(UserError, match="person 3 was not found.* at most 2 "):
        observe("dance.mp4", person=3, progress=False)


def observations(values, seen=None, fps=30.0, masks=False, flow=False, **fields):
    values = np.asarray(values, np.float32)
    seen = np.ones(len(values), bool) if seen is None else np.asarray(seen)
    rows = np.broadcast_to((values * seen)[:, None, None], (len(values), 33, 3)).copy()
    return Observations(
        landmarks_2d=rows,
        landmarks_3d=-rows,
        seen=seen,
        image_size=np.array([HEIGHT, WIDTH], np.float32),
        focal_length=np.float32(100),
        fps=np.float32(fps),
        masks=np.broadcast_to(rows[:, :1, :1], (len(values), 128, 128)).astype(np.uint8) if masks else None,
        mask_to_frame=np.tile(np.eye(2, 3, dtype=np.float32), (len(values), 1, 1)) if masks else None,
        flow=np.ones((len(values) - 1, 2, 64, 64, 2), np.float16) if flow else None,
        flow_valid=np.ones((len(values) - 1, 2, 64, 64), bool) if flow else None,
        flow_box=np.ones((len(values), 3), np.float32) if flow else None,
        features=np.repeat(rows[:, 0, :1], 2048, axis=1) if masks else None,
        **fields,
    )


def test_save_and_load(tmp_path):
    for optional in (False, True):
        given = {
            "times": np.array([0, 0.1, 0.4]),
            "shots": np.array([0, 2]),
            "focal_length_source": "metadata",
        }
        before = observations([1, 2, 3], [True, False, True], 30.0, optional, optional, **given)
        before.save(tmp_path / "seen.npz")
        for packed in (False, True):
            after = Observations.load(tmp_path / "seen.npz", packed)
            assert isinstance(after.masks, Packed) == (packed and optional)
            for name, value in vars(before).items():
                np.testing.assert_array_equal(getattr(after, name), value)
            after.save(tmp_path / "seen.npz")
        assert after.gaps == [(1, 2)] and isinstance(after.focal_length_source, str)
    assert [path.name for path in tmp_path.iterdir()] == ["seen.npz"]


def test_points_of_the_background_are_kept_if_asked(film, tmp_path):
    film([True, False, True])
    assert observe("clip.mp4").background is None
    film([True, False, True])
    seen = observe("clip.mp4", keep_background=True)
    assert len(seen.background) == 3

    points = Background(np.ones((3, 2), np.float32), np.arange(3), np.array([0, 1, 1, 3]), np.array([0, 2]))
    dataclasses.replace(seen, background=points).save(tmp_path / "seen.npz")
    loaded = Observations.load(tmp_path / "seen.npz")
    for name, value in vars(points).items():
        np.testing.assert_array_equal(getattr(loaded.background, name), value)

    wrong = dataclasses.replace(points, starts=np.array([0, 1, 1, 2]))
    dataclasses.replace(seen, background=wrong).save(tmp_path / "wrong.npz")
    with pytest.raises(UserError, match="background_starts"):
        Observations.load(tmp_path / "wrong.npz")


def test_files_without_times_and_shots_are_loaded(tmp_path):
    whole = vars(observations([1, 2, 3], fps=25))
    old = {
        k: v for k, v in whole.items() if v is not None and k not in ("times", "shots", "focal_length_source")
    }
    np.savez(tmp_path / "seen.npz", **old)
    loaded = Observations.load(tmp_path / "seen.npz")
    np.testing.assert_allclose(loaded.times, [0, 0.04, 0.08])
    assert loaded.shots.tolist() == [0] and loaded.focal_length_source == "assumed"


def test_loading_something_else_ends_in_one_sentence(tmp_path):
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "pickle.npz", seen=np.array([{}], dtype=object))
    whole = vars(observations([1, 2], masks=True, flow=True))
    np.savez(tmp_path / "shape.npz", **whole | {"landmarks_2d": np.zeros(3)})
    np.savez(tmp_path / "times.npz", **whole | {"times": np.zeros(3)})
    np.savez(tmp_path / "flow.npz", **whole | {"flow": np.zeros((2, 2, 64, 64, 2), np.float16)})
    np.savez(tmp_path / "nan.npz", **whole | {"landmarks_2d": whole["landmarks_2d"] * np.nan})
    np.savez(tmp_path / "rate.npz", **whole | {"fps": np.float32(0)})
    np.savez(tmp_path / "shots.npz", **whole | {"shots": np.array([0, 2])})
    np.savez(tmp_path / "half.npz", **{key: value for key, value in whole.items() if key != "flow_box"})
    np.savez(tmp_path / "line.npz", **whole | {"mask_to_frame": np.ones((2, 2, 3), np.float32)})
    names = (
        "line.npz",
        "nan.npz",
        "rate.npz",
        "shots.npz",
        "half.npz",
        "text.npz",
        "other.npz",
        "array.npy",
        "pickle.npz",
        "shape.npz",
        "times.npz",
        "flow.npz",
        "missing.npz",
    )
    for name in names:
        with pytest.raises(UserError, match=name) as error:
            Observations.load(tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        observations([1]).save(tmp_path / "missing" / "seen.npz")
