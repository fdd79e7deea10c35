"""Fixtures of the benchmarks' tests: the body, and a batch without errors."""

import pytest

from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.stream import StreamOptions, batch_maker
from hpof_jax.body import load_body


@pytest.fixture(scope="session")
def body():
    return load_body()


@pytest.fixture(scope="session")
def perfect(body):
    """Eight clips of 24 frames, observed by a simulated detector without noise."""
    return batch_maker({"synthetic": 1.0}, StreamOptions(8, 24, noise=DetectorNoise.none(), body=body))(0)
