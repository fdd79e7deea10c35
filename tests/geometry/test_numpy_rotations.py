import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.geometry import numpy_rotations as rotations


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_matrices_are_scipys(dtype, tolerance):
    axis_angle = np.concatenate([np.zeros((1, 3)), np.random.default_rng(0).normal(0, 2, (49, 3))])
    matrices = rotations.to_matrix(axis_angle.reshape(5, 10, 3).astype(dtype))
    assert matrices.dtype == dtype and matrices.shape == (5, 10, 3, 3)
    expected = Rotation.from_rotvec(axis_angle).as_matrix().reshape(matrices.shape)
    np.testing.assert_allclose(matrices, expected, atol=tolerance)


@pytest.mark.parametrize(
    "wrong", [np.diag([1.0, 1, -1]), 1.1 * np.eye(3), np.full((3, 3), np.nan), np.diag([np.inf, 1, 1])]
)
def test_what_is_no_rotation(wrong):
    right = rotations.to_matrix(np.random.default_rng(0).normal(size=(4, 3)))
    assert rotations.are_rotations(right)
    assert not rotations.are_rotations(np.concatenate([right, wrong[None]]))


def test_composition_applies_the_last_rotation_first():
    turned = rotations.compose(rotations.about(1, np.full((2, 3), 0.4)), rotations.about(0, 0.3))
    assert turned.shape == (2, 3, 3)
    expected = Rotation.from_euler("YX", [0.4, 0.3]).as_rotvec()
    np.testing.assert_allclose(turned, np.broadcast_to(expected, turned.shape), atol=1e-12)


def test_quaternions_agree_with_scipy():
    rng = np.random.default_rng(0)
    axis_angle = np.concatenate(
        [np.zeros((1, 3)), [[np.pi, 0, 0]], rng.normal(0, 1.2, (50, 3)), rng.normal(0, 1e-9, (5, 3))]
    )
    other = rng.normal(0, 1, (57, 3))
    product = rotations.multiply(rotations.to_quaternion(axis_angle), rotations.to_quaternion(other))
    expected = Rotation.from_rotvec(axis_angle) * Rotation.from_rotvec(other)
    back = Rotation.from_rotvec(rotations.to_axis_angle(product))
    assert (back * expected.inv()).magnitude().max() < 1e-6
    np.testing.assert_allclose(
        (
            Rotation.from_rotvec(rotations.to_axis_angle(rotations.to_quaternion(axis_angle)))
            * Rotation.from_rotvec(axis_angle).inv()
        ).magnitude(),
        0,
        atol=1e-6,
    )
