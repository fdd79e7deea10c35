import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.geometry import rotations

AXES = Rotation.random(200, random_state=0).as_rotvec()
ANGLES = [0.0, 1e-7, 1e-4, 1.0, np.pi - 1e-4, np.pi]


def test_matrices_are_scipys():
    matrices = rotations.axis_angle_to_matrix(jnp.asarray(AXES, jnp.float32))
    np.testing.assert_allclose(matrices, Rotation.from_rotvec(AXES).as_matrix(), atol=1e-6)


@pytest.mark.parametrize("angle", ANGLES)
def test_there_and_back(angle):
    axis = AXES / np.linalg.norm(AXES, axis=-1, keepdims=True)
    matrices = rotations.axis_angle_to_matrix(jnp.asarray(axis * angle, jnp.float32))
    again = rotations.axis_angle_to_matrix(rotations.matrix_to_axis_angle(matrices))
    np.testing.assert_allclose(again, matrices, atol=2e-6)
    np.testing.assert_allclose(
        rotations.sixd_to_matrix(rotations.matrix_to_sixd(matrices)), matrices, atol=2e-6
    )


@pytest.mark.parametrize("angle", ANGLES)
def test_gradients_are_finite(angle):
    vector = jnp.array([angle, 0.0, 0.0])
    assert np.isfinite(jax.jacobian(rotations.axis_angle_to_matrix)(vector)).all()
    assert np.isfinite(jax.hessian(lambda v: rotations.axis_angle_to_matrix(v).sum())(vector)).all()
    matrix = rotations.axis_angle_to_matrix(vector)
    assert np.isfinite(jax.jacobian(rotations.matrix_to_axis_angle)(matrix)).all()


def test_sixd_is_a_rotation_for_any_input():
    sixd = jnp.asarray(np.random.default_rng(0).normal(size=(500, 6)), jnp.float32)
    matrices = rotations.sixd_to_matrix(sixd)
    np.testing.assert_allclose(
        matrices @ jnp.swapaxes(matrices, -1, -2), np.tile(np.eye(3), (500, 1, 1)), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0, atol=1e-5)


def test_geodesic_angle():
    a = rotations.axis_angle_to_matrix(jnp.array([0.3, 0.0, 0.0]))
    b = rotations.axis_angle_to_matrix(jnp.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(rotations.geodesic_angle(a, b), 0.7, atol=1e-6)
