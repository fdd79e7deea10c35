"""Speed of the fitting head, and of its solver against the dense normal equations.

    python -m benchmarks.fitting_head --json fitting_head.json

The model with and without the fitting head, forward on a batch and on one video, and forward and backward on a batch
of training. One step of the solver stands beside one that makes the dense Jacobian, 165 x 75 a frame, and solves the
normal equations by conjugate gradients. All ways take turns in one process.
"""

import argparse
import statistics

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.inference import observations
from benchmarks.program import program
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.cli import positive_int
from hpof_jax.models.build import hpof, init_params
from hpof_jax.models.fitting_head import CARRIERS
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.normal_equations import Linearisation, Prior, Residuals, map_step
from hpof_jax.timing import interleaved

SIZES = {"batch": (32, 81), "one video": (1, 512), "training": (8, 64)}
SOLVER_FRAMES = 512
ITERATIONS = 24  # of conjugate gradients


def models(steps: int) -> dict:
    """(size, name) -> a call."""
    body, ways = load_body(), {}
    for name, fit_steps in (("without", 0), ("with", steps)):
        model = hpof(fit_steps=fit_steps)
        params = init_params(model, body, 0)

        def predict(params, body, *arrays, model=model):
            return model.apply({"params": params}, make_inputs(*arrays), body)

        def loss(*arguments, predict=predict):
            _, rotations, cam = predict(*arguments)
            return jnp.sum(rotations**2) + jnp.sum(cam**2)

        for size, shape in SIZES.items():
            act = jax.jit(jax.grad(loss) if size == "training" else predict)
            arguments = (params, body, *observations(*shape))
            ways[size, name] = lambda act=act, arguments=arguments: act(*arguments)
    return ways


def solvers() -> dict:
    """Name -> a call of one step for `SOLVER_FRAMES` frames."""
    rng = np.random.default_rng(0)
    joints, landmarks = len(SMPL_PARENTS), len(CARRIERS)

    def draw(*shape, low=-1.0):
        return jnp.asarray(rng.uniform(low, 1.0, (*shape, SOLVER_FRAMES)), jnp.float32)

    linear = Linearisation(
        draw(3, joints), draw(3, landmarks), draw(2, landmarks), draw(landmarks, low=0.5), draw(3, 3)
    )
    residuals = Residuals(
        draw(2, landmarks), draw(3, landmarks), draw(landmarks, low=0.5), draw(2, landmarks, low=0.5)
    )
    prior = Prior(draw(joints, low=0.5), draw(3, low=0.5), draw(3, joints), draw(3))
    size = 3 * joints + 3
    jacobian = jnp.asarray(rng.normal(size=(SOLVER_FRAMES, 5 * landmarks, size)), jnp.float32)
    weights, targets = jnp.abs(jacobian[..., 0]), jacobian[..., 1]
    tree = jax.jit(lambda *args: map_step(SMPL_PARENTS, CARRIERS, *args))
    return {
        "along the tree": lambda: tree(linear, residuals, prior),
        "dense": lambda: _dense(jacobian, weights, targets),
    }


@jax.jit
def _dense(jacobian, weights, targets):
    transposed = jnp.swapaxes(jacobian, -1, -2)
    matrix = (transposed * weights[:, None]) @ jacobian + jnp.eye(jacobian.shape[-1])
    right = (transposed @ (weights * targets)[..., None])[..., 0]
    inverse = 1.0 / jnp.diagonal(matrix, axis1=1, axis2=2)

    def iterate(carry, _):
        x, residual, direction, product = carry
        image = jnp.sum(matrix * direction[:, None], axis=-1)
        length = product / jnp.maximum(jnp.sum(direction * image, axis=-1, keepdims=True), 1e-20)
        x, residual = x + length * direction, residual - length * image
        new = jnp.sum(residual * inverse * residual, axis=-1, keepdims=True)
        return (x, residual, inverse * residual + new / jnp.maximum(product, 1e-20) * direction, new), None

    start = inverse * right
    carry = jnp.zeros_like(right), right, start, jnp.sum(right * start, axis=-1, keepdims=True)
    return jax.lax.scan(iterate, carry, length=ITERATIONS)[0][0]


def measure(steps: int, rounds: int) -> dict:
    """Frames per second and microseconds of CPU time a frame."""
    report = {"device": jax.devices()[0].device_kind, "steps": steps}
    for ways, frames in ((models(steps), None), (solvers(), SOLVER_FRAMES)):
        times = interleaved(ways, rounds)
        for way, spent in times.items():
            count = frames or int(np.prod(SIZES[way[0]]))
            wall, cpu = (statistics.median(spent[clock]) for clock in ("wall", "cpu"))
            name = way if frames else f"{way[0]}, {way[1]} fitting head"
            report[name] = {"frames_per_second": count / wall, "cpu_microseconds": 1e6 * cpu / count}
    return report


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=positive_int, default=2, help="Gauss-Newton steps")
    parser.add_argument("--rounds", type=positive_int, default=7)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    report = measure(options.steps, options.rounds)
    print(f"{report['device']:34}{'frames/s':>10}{'CPU us/frame':>14}")
    for name, row in report.items():
        if isinstance(row, dict):
            print(f"{name:34}{row['frames_per_second']:10,.0f}{row['cpu_microseconds']:14.1f}")
    return report


if __name__ == "__main__":
    main()
