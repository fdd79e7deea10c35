import numpy as np

from hpof_jax.observe import track as track_module
from hpof_jax.observe.blazepose import Pose, Region
from hpof_jax.observe.packed import Packed
from hpof_jax.observe.track import track

HEIGHT, WIDTH = 60, 80
REGION = Region(40, 30, 40, 0.0)


class Tracker:
    """Sees somebody in all frames but those in `unseen`; the landmarks are the frame's number."""

    def __init__(self, unseen=()):
        self.unseen, self.count, self.restarts = unseen, -1, []

    def restart(self):
        self.restarts.append(self.count + 1)

    def __call__(self, frame):
        self.count += 1
        if self.count in self.unseen:
            return None
        landmarks = np.full((33, 3), self.count, np.float32)
        landmarks[-1, :2] += 10
        logits = np.full((256, 256), -20.0, np.float32)
        logits[64:192, 64:192] = 20
        return Pose(landmarks, -landmarks, 1.0, REGION, None, REGION.to_frame(), logits)


def frames(count):
    return (np.zeros((HEIGHT, WIDTH, 3), np.uint8) for _ in range(count))


def test_a_tracker_runs_over_the_frames():
    found = track(frames(4), Tracker(unseen={0, 2}), mask_side=16, keep_flow=True)
    np.testing.assert_array_equal(found["seen"], [False, True, False, True])
    np.testing.assert_array_equal(found["landmarks_2d"][:, 0, 0], [0, 1, 0, 3])
    np.testing.assert_array_equal(found["landmarks_3d"][:, 0, 0], [0, -1, 0, -3])
    np.testing.assert_array_equal(found["masks"][:, 8, 8], [0, 255, 0, 255])
    np.testing.assert_array_equal(found["mask_to_frame"][1], REGION.to_frame())
    assert found["flow"].shape == (3, 2, 64, 64, 2) and found["shots"].tolist() == [0]
    assert track(frames(2), Tracker()).keys() == {"landmarks_2d", "landmarks_3d", "seen", "shots"}


def test_what_is_compressed_is_the_same():
    options = dict(mask_side=16, keep_flow=True)
    plain, packed = (
        track(frames(4), Tracker(unseen={2}), **options, packed=packed) for packed in (False, True)
    )
    for name in ("masks", "flow", "flow_valid"):
        assert isinstance(packed[name], Packed) and packed[name].dtype == plain[name].dtype
        np.testing.assert_array_equal(packed[name], plain[name])
    assert plain["masks"].any()


def test_the_person_is_looked_for_anew_after_a_cut(monkeypatch):
    marks = [False, False, True, False, False]
    monkeypatch.setattr(track_module, "mark_cuts", lambda frames: zip(frames, marks))
    tracker = Tracker()
    found = track(frames(5), tracker, keep_flow=True)
    assert tracker.restarts == [2] and found["shots"].tolist() == [0, 2]
    np.testing.assert_array_equal(found["flow_valid"].any(axis=(1, 2, 3)), [True, False, True, True])
    tracker = Tracker()
    assert track(frames(5), tracker, find_cuts=False)["shots"].tolist() == [0] and not tracker.restarts


def test_tracking_can_stop_early():
    tracker = Tracker(unseen=range(9))
    found = track(frames(9), tracker, mask_side=8, stop=lambda seen: len(seen) > 3 and not any(seen))
    assert tracker.count == 3 and all(len(found[key]) == 4 for key in found.keys() - {"shots"})


def test_no_frames():
    found = track(frames(0), Tracker(), mask_side=8, keep_flow=True)
    assert found["landmarks_2d"].shape == (0, 33, 3) and found["masks"].shape == (0, 8, 8)
