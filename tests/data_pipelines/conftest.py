import numpy as np
import pytest

from data_pipelines import scene
from data_pipelines.simulate import CameraRange
from data_pipelines.synthetic import sample_poses
from hpof_jax.body.files import load_body

FRAMES = 12


@pytest.fixture(scope="session")
def shots():
    """A motion in the world, and shots of it: one by a camera on a tripod, one by a hand."""
    pose, transl = (array[0] for array in sample_poses(np.random.default_rng(0), FRAMES, 1))
    betas = np.linspace(-1, 1, 10)
    made = {
        name: scene.shoot(np.random.default_rng(1), load_body(), pose, transl, betas, CameraRange(**options))
        for name, options in {
            "tripod": dict(handheld_share=0.0, follow_share=0.0),
            "hand": dict(handheld_share=1.0, handheld=4.0),
        }.items()
    }
    return pose, transl, betas, made
