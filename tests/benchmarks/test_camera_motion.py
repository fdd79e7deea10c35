import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.camera_motion import measure, observations, true_camera
from hpof_jax.errors import UserError
from hpof_jax.observe import camera_motion

FRAMES = 20


def clip():
    """Somebody who walks 2 m along x, 4 m in front of a camera that pans and moves."""
    steps = np.linspace(0, 1, FRAMES)[:, None]
    turns = Rotation.from_euler("y", 20 * steps, degrees=True).as_matrix() @ np.diag([1.0, -1.0, -1.0])
    places = np.array([0.0, 1.0, 4.0]) + steps * (0.5, 0, 0)
    path = steps * (2.0, 0, 0) + (0, 1, 0)
    joints = np.einsum("tij,tj->ti", turns, path - places)
    shift = -np.einsum("tij,tj->ti", turns, places)
    return {
        "joints": np.tile(joints[:, None], (1, 24, 1)),
        "world_to_camera": np.concatenate([turns, shift[..., None]], axis=2),
        "seen": np.ones(FRAMES, bool),
    }


def test_the_true_camera_has_no_error_and_a_static_one_has():
    made = clip()
    turns, places = true_camera(made)
    np.testing.assert_allclose(turns[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(places[-1]), 0.5)
    camera = camera_motion.static(FRAMES)
    found = measure(made, camera, made["joints"][:, 0])
    assert found["length"] == pytest.approx(2)
    assert found["path_true"] == pytest.approx(0, abs=1e-9) and found["turn_true"] == pytest.approx(
        0, abs=1e-5
    )
    assert found["path_found"] == found["path_static"] > 0.05
    assert found["turn_static"] == pytest.approx(10, rel=0.01)


def test_a_clip_without_background_is_refused():
    with pytest.raises(UserError, match="render it with --camera-motion"):
        observations(clip())
