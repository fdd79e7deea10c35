import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.geometry.bundle import Sightings, adjust, errors, locate, triangulate

CAMERAS, POINTS, TOLERANCE = 6, 60, 0.003


@pytest.fixture(scope="module")
def scene():
    """Exact sightings of points around 5 m away by cameras that turn and move by 1 m; their poses and inverse depths."""
    rng = np.random.default_rng(0)
    steps = np.linspace(0, 1, CAMERAS)[:, None]
    rotations = Rotation.from_euler("yx", steps * (-9, 3), degrees=True).as_matrix()
    positions = steps * np.array([1.0, 0.1, 0.2])
    points = rng.uniform([-2, -1, 3], [2, 1, 7], (POINTS, 3))
    seen = np.einsum("kij,kpj->kpi", rotations, points - positions[:, None])
    seen /= np.linalg.norm(seen, axis=-1, keepdims=True)
    camera, point = np.indices((CAMERAS, POINTS)).reshape(2, -1)
    first = np.zeros(POINTS, int)
    sightings = Sightings(camera, point, seen.reshape(-1, 3), first, seen[0])
    return sightings, rotations, positions, 1 / np.linalg.norm(points, axis=1)


def test_cameras_and_points_are_found_up_to_scale_from_a_rough_guess(scene):
    sightings, rotations, positions, depths = scene
    rng = np.random.default_rng(1)
    wrong = Rotation.from_rotvec(
        rng.normal(0, 0.02, (CAMERAS, 3)) * (np.arange(CAMERAS) > 0)[:, None]
    ).as_matrix()
    guess = positions + rng.normal(0, 0.1, positions.shape) * (np.arange(CAMERAS) > 0)[:, None]
    found, places, inverse = adjust(sightings, wrong @ rotations, guess, TOLERANCE)
    assert errors(sightings, found, places, inverse).max() < 2e-4
    scale = (places * positions).sum() / (places**2).sum()
    np.testing.assert_allclose(scale * places, positions, atol=0.01)
    np.testing.assert_allclose(inverse / scale, depths, rtol=0.05)
    assert np.degrees(Rotation.from_matrix(found @ np.swapaxes(rotations, 1, 2)).magnitude()).max() < 0.05


def test_wrong_sightings_hardly_count(scene):
    sightings, rotations, positions, _ = scene
    ray = sightings.ray.copy()
    ray[::9] += np.random.default_rng(2).normal(0, 0.2, ray[::9].shape)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    wrong = dataclasses.replace(sightings, ray=ray)
    found, places, _ = adjust(wrong, rotations, positions * 1.1, TOLERANCE)
    scale = (places * positions).sum() / (places**2).sum()
    np.testing.assert_allclose(scale * places, positions, atol=0.02)


def test_known_cameras_give_the_depths_and_known_points_the_cameras(scene):
    sightings, rotations, positions, depths = scene
    np.testing.assert_allclose(triangulate(sightings, rotations, positions), depths, atol=1e-6)

    turned = Rotation.from_rotvec(np.full((CAMERAS, 3), 0.02)).as_matrix() @ rotations
    firsts = rotations[:1], positions[:1]
    found, places = locate(sightings, turned, positions + 0.1, *firsts, depths, TOLERANCE)
    np.testing.assert_allclose(places, positions, atol=0.005)
    np.testing.assert_allclose(found, rotations, atol=0.002)


def test_no_error_where_the_poses_are_right(scene):
    assert errors(*scene).max() < 1e-9
