import jax
import numpy as np

from hpof_jax.geometry.vectors import normalise, safe_norm


def test_norms_are_numpys_with_gradients_that_are_finite_at_zero():
    vectors = np.float32([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0], [1e-5, 0.0, 0.0]])
    length, gradient = jax.vmap(jax.value_and_grad(safe_norm))(vectors)
    np.testing.assert_allclose(length, np.linalg.norm(vectors, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.6, 0, 0.8], [0, 0, 0], [1, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(normalise(vectors), [[0.6, 0, 0.8], [0, 0, 0], [1, 0, 0]], rtol=1e-6)
    assert np.isfinite(jax.vmap(jax.jacobian(normalise))(vectors)).all()
