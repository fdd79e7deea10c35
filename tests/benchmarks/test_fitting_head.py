import jax
import numpy as np

from benchmarks import fitting_head


def test_the_dense_solver_it_is_compared_with_solves():
    rng = np.random.default_rng(0)
    jacobian, targets = rng.normal(size=(2, 9, 4)), rng.normal(size=(2, 9))
    weights = rng.uniform(0.5, 2.0, size=(2, 9))
    found = fitting_head._dense(*(x.astype(np.float32) for x in (jacobian, weights, targets)))
    for solution, rows, weight, target in zip(found, jacobian, weights, targets, strict=True):
        matrix = rows.T @ (weight[:, None] * rows) + np.eye(4)
        np.testing.assert_allclose(solution, np.linalg.solve(matrix, rows.T @ (weight * target)), atol=1e-4)


def test_both_solvers_are_measured():
    ways = fitting_head.solvers()
    assert list(ways) == ["along the tree", "dense"]
    turns, camera = jax.eval_shape(ways["along the tree"])
    frames = fitting_head.SOLVER_FRAMES
    assert turns.shape == (3, 24, frames) and camera.shape == (3, frames)
