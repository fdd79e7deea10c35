import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.geometry import rotations

AXES = Rotation.random(200, random_state=0).as_rotvec()
ANGLES = [0.0, 1e-7, 1e-4, 1.0, np.pi - 1e-4, np.pi]


def test_matrices_agree_with_scipy():
    matrices = jax.jit(rotations.axis_angle_to_matrix)(jnp.asarray(AXES, jnp.float32))
    np.testing.assert_allclose(matrices, Rotation.from_rotvec(AXES).as_matrix(), atol=1e-6)


@jax.jit
def there_and_back(axis_angle):
    matrices = rotations.axis_angle_to_matrix(axis_angle)
    through_axis_angle = rotations.axis_angle_to_matrix(rotations.matrix_to_axis_angle(matrices))
    through_sixd = rotations.sixd_to_matrix(rotations.matrix_to_sixd(matrices))
    return matrices, through_axis_angle, through_sixd


@pytest.mark.parametrize("angle", ANGLES)
def test_there_and_back(angle):
    axis = AXES / np.linalg.norm(AXES, axis=-1, keepdims=True)
    matrices, *again = there_and_back(jnp.asarray(axis * angle, jnp.float32))
    for found in again:
        np.testing.assert_allclose(found, matrices, atol=2e-6)


@jax.jit
@jax.vmap
def derivatives(vector):
    matrix = rotations.axis_angle_to_matrix(vector)
    return {
        "to_matrix": jax.jacobian(rotations.axis_angle_to_matrix)(vector),
        "to_matrix, second": jax.hessian(lambda v: rotations.axis_angle_to_matrix(v).sum())(vector),
        "to_axis_angle": jax.jacobian(rotations.matrix_to_axis_angle)(matrix),
    }


def test_gradients_are_finite():
    for name, values in derivatives(jnp.array([[angle, 0.0, 0.0] for angle in ANGLES])).items():
        for angle, value in zip(ANGLES, values, strict=True):
            assert np.isfinite(value).all(), f"{name} at {angle}"


def test_sixd_is_a_rotation_for_any_input():
    sixd = jnp.asarray(np.random.default_rng(0).normal(size=(500, 6)), jnp.float32)
    matrices = np.asarray(jax.jit(rotations.sixd_to_matrix)(sixd))
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, -1, -2), np.tile(np.eye(3), (500, 1, 1)), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0, atol=1e-5)
