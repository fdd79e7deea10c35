import jax
import numpy as np

from hpof_jax.body import load_body
from hpof_jax.body.mirror import mirror_observations, mirror_rotations
from hpof_jax.body.model import keypoints
from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR
from hpof_jax.geometry.rotations import axis_angle_to_matrix


def make_batch():
    rng = np.random.default_rng(0)
    batch = {
        "landmarks_2d": rng.uniform(0, 1, (2, 3, 33, 3)).astype(np.float32) * np.float32([640, 480, 1]),
        "landmarks_3d": rng.normal(0, 0.3, (2, 3, 33, 3)).astype(np.float32),
        "seen": np.array([[True, True, False], [True, True, True]]),
        "image_size": np.float32([[480, 640], [480, 640]]),
        "focal_length": np.float32([600, 700]),
    }
    for key in ("landmarks_2d", "landmarks_3d"):
        batch[key] *= batch["seen"][..., None, None]
    return batch


def test_the_left_wrist_becomes_the_right_one_at_the_other_side_of_the_picture():
    batch = make_batch()
    mirrored = mirror_observations(batch)
    left, right = 15, 16
    seen = batch["seen"]
    before, after = batch["landmarks_2d"][seen][:, left], mirrored["landmarks_2d"][seen][:, right]
    np.testing.assert_allclose(after, np.stack([640 - before[:, 0], before[:, 1], before[:, 2]], axis=1))
    assert not mirrored["landmarks_2d"][~seen].any() and not mirrored["landmarks_3d"][~seen].any()
    assert mirrored["focal_length"] is batch["focal_length"]


def test_twice_is_nothing_in_numpy_and_in_jax():
    batch = make_batch()
    for function in (mirror_observations, jax.jit(mirror_observations)):
        once = function(batch)
        assert isinstance(once["landmarks_2d"], np.ndarray if function is mirror_observations else jax.Array)
        assert once["landmarks_2d"].dtype == once["landmarks_3d"].dtype == np.float32
        for key, value in function(once).items():
            np.testing.assert_allclose(value, batch[key], atol=1e-4)


def test_mirrored_rotations_pose_the_mirrored_body():
    """But for the free body's own asymmetry of some millimetres."""
    body = load_body()
    pose = np.random.default_rng(0).normal(0, 0.3, (4, 24, 3)).astype(np.float32)
    rotations = np.asarray(axis_angle_to_matrix(pose))
    landmarks = jax.jit(
        lambda rotations: keypoints(body, body.landmarks, np.zeros((4, 10), np.float32), rotations)[0]
    )
    points, mirrored = (np.asarray(landmarks(r)) for r in (rotations, mirror_rotations(rotations)))
    np.testing.assert_allclose(mirrored, points[:, BLAZEPOSE_MIRROR] * [-1, 1, 1], atol=0.02)
