import numpy as np

from benchmarks.right_landmarks import replaced, true_landmarks


def test_a_perfect_detector_sees_the_true_landmarks(body, perfect):
    true = true_landmarks(body, perfect)
    seen = perfect["seen"]
    error_2d = np.abs(true["landmarks_2d"] - perfect["landmarks_2d"][..., :2])[seen]
    assert np.max(error_2d) < 0.1
    np.testing.assert_allclose(true["landmarks_3d"][seen], perfect["landmarks_3d"][seen], atol=1e-4)


def test_only_the_named_landmarks_of_seen_frames_are_replaced():
    batch = {
        "seen": np.array([[True, False]]),
        "landmarks_2d": np.full((1, 2, 33, 3), 0.5, np.float32),
        "landmarks_3d": np.full((1, 2, 33, 3), 0.5, np.float32),
    }
    true = {"landmarks_2d": np.ones((1, 2, 33, 2)), "landmarks_3d": np.ones((1, 2, 33, 3))}
    found = replaced(batch, true, ["landmarks_2d"])
    assert np.all(found["landmarks_2d"][0, 0, :, :2] == 1) and np.all(found["landmarks_2d"][0, 1, :, :2] == 0)
    assert np.all(found["landmarks_2d"][..., 2] == 0.5), "visibilities stay the detector's"
    assert np.all(found["landmarks_3d"] == 0.5) and np.all(batch["landmarks_2d"] == 0.5)
