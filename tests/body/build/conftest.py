"""The shipped free body as float64 arrays, and its joints and landmarks by name."""

import numpy as np
import pytest

from hpof_jax.body.files import FREE_BODY
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS


@pytest.fixture(scope="session")
def body():
    with np.load(FREE_BODY, allow_pickle=False) as file:
        return {
            key: file[key].astype(np.float64) if file[key].dtype == np.float32 else file[key] for key in file
        }


@pytest.fixture(scope="session")
def joints(body):
    return dict(zip(SMPL_JOINTS, body["J_regressor"] @ body["v_template"], strict=True))


@pytest.fixture(scope="session")
def landmarks(body):
    return dict(zip(BLAZEPOSE_LANDMARKS, body["landmark_regressor"] @ body["v_template"], strict=True))
