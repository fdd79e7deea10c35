import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR, SMPL_MIRROR
from hpof_jax.picture_fit import load_statistics, moved


def test_a_shift_in_depth_follows_the_line_of_sight():
    correction = np.zeros((1, 25, 3), np.float32)
    correction[0, 24] = 0.01, -0.02, 0.05
    pelvis = np.array([[1.0, 0.5, 4.0]], np.float32)
    rotations, place = moved(np.zeros((1, 24, 3), np.float32), pelvis, correction)
    np.testing.assert_allclose(rotations[0], np.tile(np.eye(3), (24, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(place, 1.05 * pelvis + np.array([[0.04, -0.08, 0.0]]), atol=1e-6)


def test_the_statistics_are_plausible_and_the_same_left_and_right():
    found = load_statistics()
    np.testing.assert_allclose(found.offsets[BLAZEPOSE_MIRROR] * (-1, 1, 1), found.offsets, atol=1e-6)
    assert 0.005 < np.linalg.norm(found.offsets, axis=-1).mean() < 0.06
    assert found.sigmas.shape == (len(found.edges) - 1, 33) and np.all(np.diff(found.edges) > 0)
    assert 0.01 < found.sigmas[-1].mean() < found.sigmas[0].mean() < 0.3, "what is visible is more exact"
    covariance = found.factor @ found.factor.T
    deviations = np.sqrt(np.diagonal(covariance)).reshape(25, 3)
    np.testing.assert_allclose(deviations[SMPL_MIRROR], deviations[:24], rtol=1e-3)
    assert 0.05 < deviations[:24].mean() < 0.3
