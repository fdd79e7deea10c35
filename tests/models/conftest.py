"""A tiny model with parameters as if it had been trained, and made-up clips for it."""

import jax
import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.models.build import hpof, init_params
from hpof_jax.models.inputs import Inputs, make_inputs

prepare = jax.jit(make_inputs)


@pytest.fixture(scope="session")
def body():
    return load_body()


@pytest.fixture(scope="session")
def model():
    return hpof(channels=32, dilations=(1, 3), hidden=8)


@pytest.fixture(scope="session")
def initial(model, body):
    return init_params(model, body, 0)


@pytest.fixture(scope="session")
def disturb():
    """`disturb(params)`: the same with noise, because fresh models ignore most of their input."""

    def disturb(params):
        rng = np.random.default_rng(1)
        return jax.tree.map(lambda x: np.asarray(x + 0.05 * rng.normal(size=x.shape), np.float32), params)

    return disturb


@pytest.fixture(scope="session")
def params(initial, disturb):
    return disturb(initial)


@pytest.fixture(scope="session")
def observe():
    """`observe(frames)`: the inputs of two made-up clips, in which about every tenth frame is unseen."""

    def observe(frames: int) -> Inputs:
        rng = np.random.default_rng(0)
        points = rng.uniform(100, 500, (2, frames, 33, 2)), rng.uniform(0.5, 1, (2, frames, 33, 1))
        return prepare(
            np.concatenate(points, axis=-1, dtype=np.float32),
            rng.normal(0, 0.3, (2, frames, 33, 3)).astype(np.float32),
            rng.uniform(size=(2, frames)) > 0.1,
            np.ones((2, frames), bool),
            np.full((2, 2), 720.0, np.float32),
            np.full(2, 1000.0, np.float32),
        )

    return observe
