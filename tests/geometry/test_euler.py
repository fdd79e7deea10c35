"""Cardan angles, compared with SciPy's, at gimbal lock, and over time."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.geometry.euler import cardan_angles, continuous_cardan_angles, yxy_angles
from hpof_jax.geometry.numpy_rotations import to_matrix


@pytest.mark.parametrize("axes", ["".join(axes) for axes in itertools.permutations("xyz")])
def test_cardan_angles_are_scipys(axes):
    rotations = Rotation.random(40, np.random.default_rng(0))
    matrices = rotations.as_matrix().reshape(5, 8, 3, 3)
    expected = rotations.as_euler(axes.upper()).reshape(5, 8, 3)
    np.testing.assert_allclose(cardan_angles(matrices, axes), expected, atol=1e-9)


@pytest.mark.parametrize("axes", ["zxy", "yxz", "yzx"])
@pytest.mark.parametrize("second", [90, -90])
def test_at_gimbal_lock_the_third_angle_is_zero_and_the_rotation_right(axes, second):
    matrix = Rotation.from_euler(axes.upper(), [40, second, 25], degrees=True).as_matrix()
    angles = cardan_angles(matrix, axes)
    assert angles[2] == 0
    np.testing.assert_allclose(Rotation.from_euler(axes.upper(), angles).as_matrix(), matrix, atol=1e-9)


@pytest.mark.parametrize("angles", [(0.3, 1.2, -0.8), (2.0, 3.0, 1.0), (0.0, 0.0, 0.7), (0.0, np.pi, 0.7)])
def test_yxy_angles_give_the_rotation_again(angles):
    matrix = Rotation.from_euler("YXY", [angles[0], -angles[1], angles[2]]).as_matrix()
    np.testing.assert_allclose(yxy_angles(matrix), angles, atol=1e-9)


def test_angles_go_on_past_180_and_past_gimbal_lock():
    turning = np.zeros((90, 2, 3))
    turning[:, 0, 2] = np.linspace(0, 4 * np.pi, 90)  # two turns about z, the first axis
    turning[:, 1, 0] = np.linspace(0, 2.5, 90)  # past 90 degrees about x, the second axis
    angles = continuous_cardan_angles(cardan_angles(to_matrix(turning), "zxy"))
    expected = np.zeros((90, 2, 3))
    expected[:, 0, 0], expected[:, 1, 1] = turning[:, 0, 2], turning[:, 1, 0]
    np.testing.assert_allclose(angles, expected, atol=1e-9)
