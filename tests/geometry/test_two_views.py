import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.geometry.two_views import in_first_frame, kabsch, pixels_in_first_frame, rays, rotation_between

SIZE = np.array([480, 640])


@pytest.fixture
def views():
    """400 rays of two views, 40 % of them wrong, and the rotation between them."""
    rng = np.random.default_rng(0)
    turn = Rotation.from_euler("yxz", [9, -4, 3], degrees=True).as_matrix()
    first = rays(rng.uniform(0, 1, (400, 2)) * SIZE[::-1], 500.0, SIZE)
    second = first @ turn.T
    second[:160] = rays(rng.uniform(0, 1, (160, 2)) * SIZE[::-1], 500.0, SIZE)
    return first, second, turn


def test_the_rotation_is_found_among_wrong_matches(views):
    first, second, turn = views
    found, agree = rotation_between(first, second, 0.003, np.random.default_rng(0))
    np.testing.assert_allclose(found, turn, atol=1e-6)
    assert agree[160:].all() and agree[:160].mean() < 0.05


def test_least_squares_with_weights(views):
    first, second, turn = views
    weight = (np.arange(400) >= 160).astype(float)
    np.testing.assert_allclose(kabsch(first, second, weight), turn, atol=1e-9)
    assert not np.allclose(kabsch(first, second, np.ones(400)), turn, atol=1e-3)


def test_rays_go_through_their_pixels():
    np.testing.assert_allclose(rays(np.array([320, 240]), 500.0, SIZE), [0, 0, 1])
    ray = rays(np.array([420.0, 140.0]), 500.0, SIZE)
    np.testing.assert_allclose(ray[:2] / ray[2] * 500, [100, -100])


def test_a_turning_camera_is_undone():
    turn = Rotation.from_euler("y", [[0.0], [10.0]], degrees=True).as_matrix()
    position = np.array([[0, 0, 0], [1.0, 0, 0]])
    still = np.array([[0.5, 0.1, 4.0]])
    seen = (still - position[:, None]) @ np.swapaxes(turn, -1, -2)
    np.testing.assert_allclose(in_first_frame(seen, turn, position), np.stack([still, still]))

    seen = still @ np.swapaxes(turn, -1, -2)
    pixels = seen[..., :2] / seen[..., 2:] * 500 + SIZE[::-1] / 2
    undone = pixels_in_first_frame(pixels, turn, 500.0, SIZE)
    np.testing.assert_allclose(undone[1], undone[0])
