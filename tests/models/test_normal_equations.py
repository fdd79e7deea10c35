import jax
import numpy as np
import pytest

from hpof_jax.models.normal_equations import FREE, Linearisation, Prior, Residuals, map_step

# A small tree with two branches at two joints, and a joint without a landmark.
PARENTS, CARRIERS = (-1, 0, 0, 1, 2, 2, 3), (0, 1, 2, 2, 4, 5, 6, 6)
JOINTS, LANDMARKS, FRAMES = len(PARENTS), len(CARRIERS), 3
TURNS = 3 * JOINTS

step = jax.jit(map_step, static_argnums=(0, 1))
value = jax.jit(lambda linear, residuals, prior, bars: _value(linear, residuals, prior, bars))
gradient = jax.jit(jax.grad(lambda linear, *args: _value(linear, *args), argnums=(1, 2)))


def _value(linear, residuals, prior, bars):
    turns, camera = map_step(PARENTS, CARRIERS, linear, residuals, prior)
    return (turns * bars[0]).sum() + (camera * bars[1]).sum()


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=(*shape, FRAMES))

    def positive(*shape):
        return rng.uniform(0.5, 2.0, size=(*shape, FRAMES))

    linear = Linearisation(
        normal(3, JOINTS), normal(3, LANDMARKS), normal(2, LANDMARKS), positive(LANDMARKS), normal(3, 3)
    )
    residuals = Residuals(
        normal(2, LANDMARKS), normal(3, LANDMARKS), positive(LANDMARKS), positive(2, LANDMARKS)
    )
    prior = Prior(positive(JOINTS), positive(3), normal(3, JOINTS), normal(3))
    return linear, residuals, prior


def dense(linear, residuals, prior, frame):
    """The Jacobian (5 K, 3 J + 6), with the 3D landmarks' common translation last, and precisions and targets."""
    linear, residuals, prior = jax.tree.map(lambda x: np.asarray(x)[..., frame], (linear, residuals, prior))
    places = np.zeros((JOINTS, 3))
    for joint in range(1, JOINTS):
        places[joint] = places[PARENTS[joint]] + linear.bones[:, joint]
    to_2d, to_3d = np.zeros((2, LANDMARKS, TURNS + 6)), np.zeros((3, LANDMARKS, TURNS + 6))
    for k, carrier in enumerate(CARRIERS):
        point, moved = places[carrier] + linear.arms[:, k], np.zeros((3, TURNS + 6))
        joint = carrier
        while joint >= 0:
            moved[:, joint:TURNS:JOINTS] = np.cross(np.eye(3), point - places[joint]).T
            joint = PARENTS[joint]
        to_3d[:, k] = moved
        to_3d[:, k, -3:] = np.eye(3)
        moved[:, TURNS : TURNS + 3] = linear.camera
        (a, b), zoom = linear.rays[:, k], linear.zoom[k]
        to_2d[:, k] = zoom * np.array([[1, 0, -a], [0, 1, -b]]) @ moved
    across, depth = residuals.precision_3d
    precisions = [residuals.precision_2d, residuals.precision_2d, across, across, depth]
    jacobian = np.concatenate([to_2d, to_3d]).reshape(-1, TURNS + 6)
    targets = np.concatenate([residuals.landmarks_2d, residuals.landmarks_3d]).ravel()
    own = np.concatenate([np.tile(prior.pose, 3), prior.camera, np.full(3, FREE)])
    mean = -np.concatenate([prior.turned.ravel(), prior.moved, np.zeros(3)])
    return jacobian, np.ravel(precisions), targets, own, mean


def solution(*problem, frame):
    jacobian, precisions, targets, own, mean = dense(*problem, frame)
    matrix = jacobian.T @ (precisions[:, None] * jacobian) + np.diag(own)
    return np.linalg.solve(matrix, jacobian.T @ (precisions * targets) + own * mean)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-4)])
def test_it_is_the_solution_of_the_dense_normal_equations(problem, dtype, tolerance):
    with jax.enable_x64(dtype is np.float64):
        turns, camera = step(PARENTS, CARRIERS, *jax.tree.map(dtype, problem))
    for frame in range(FRAMES):
        expected = solution(*problem, frame=frame)
        np.testing.assert_allclose(turns[..., frame].ravel(), expected[:TURNS], atol=tolerance)
        np.testing.assert_allclose(camera[:, frame], expected[TURNS : TURNS + 3], atol=tolerance)


def test_the_jacobian_is_that_of_the_posed_landmarks(problem):
    """The dense Jacobian above, which the solver is held to, against turned points."""
    jacobian = dense(*problem, 0)[0].reshape(5, LANDMARKS, -1)[2:]
    bones, arms = (np.asarray(x)[..., 0].T for x in problem[0][:2])

    def posed(turns):
        """Points of the body after small turns (J, 3) about camera axes, each on top of its ancestors'."""
        world, places = [], []
        for joint, parent in enumerate(PARENTS):
            x, y, z = turns[joint]
            small = np.eye(3) + np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            world.append(small if parent < 0 else world[parent] @ small)
            places.append(np.zeros(3) if parent < 0 else places[parent] + world[parent] @ bones[joint])
        return np.array([places[j] + world[j] @ arms[k] for k, j in enumerate(CARRIERS)]).T

    for unknown in range(TURNS):
        turns = np.zeros((3, JOINTS))
        turns.flat[unknown] = 1e-5
        numeric = (posed(turns.T) - posed(-turns.T)) / 2e-5
        np.testing.assert_allclose(jacobian[..., unknown], numeric, atol=1e-8)


def test_the_gradient_is_the_implicit_one(problem):
    rng = np.random.default_rng(1)
    bars = rng.normal(size=(3, JOINTS, FRAMES)), rng.normal(size=(3, FRAMES))
    with jax.enable_x64(True):
        found = jax.tree.leaves(gradient(*problem, bars))
        leaves, structure = jax.tree.flatten(problem[1:])
        for index, leaf in enumerate(leaves):
            direction = rng.normal(size=leaf.shape)

            def moved(amount, index=index, leaf=leaf, direction=direction):
                changed = [*leaves[:index], leaf + amount * direction, *leaves[index + 1 :]]
                return float(value(problem[0], *jax.tree.unflatten(structure, changed), bars))

            numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5
            np.testing.assert_allclose(np.sum(found[index] * direction), numeric, rtol=1e-6, atol=1e-9)


def test_without_landmarks_the_prior_alone_counts(problem):
    linear, residuals, prior = problem
    unseen = residuals._replace(
        precision_2d=np.zeros((LANDMARKS, FRAMES)), precision_3d=np.zeros((2, LANDMARKS, FRAMES))
    )
    turns, camera = step(PARENTS, CARRIERS, *jax.tree.map(np.float32, (linear, unseen, prior)))
    np.testing.assert_allclose(turns, -prior.turned, atol=1e-5)
    np.testing.assert_allclose(camera, -prior.moved, atol=1e-5)


def test_carriers_out_of_order(problem):
    with pytest.raises(ValueError, match="ascending"):
        map_step(PARENTS, CARRIERS[::-1], *problem)
