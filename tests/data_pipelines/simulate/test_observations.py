import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.simulate.camera import landmarks
from data_pipelines.simulate.detector import DetectorNoise, detect
from data_pipelines.simulate.observations import simulate
from hpof_jax.body.files import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR
from hpof_jax.geometry.camera import project

CLIPS, FRAMES = 8, 24


@pytest.fixture(scope="module")
def body():
    return load_body()


def motion(spread=0.3, clips=CLIPS):
    rng = np.random.default_rng(0)
    pose = rng.normal(0, spread, (clips, 1, 24, 3)) + 0.02 * rng.normal(size=(clips, FRAMES, 24, 3)).cumsum(1)
    walk = np.arange(FRAMES)[:, None] / 30 * rng.normal(0, 1, (clips, 1, 3)) * [1, 0, 1]
    betas = rng.normal(size=(clips, 10)).clip(-2, 2)
    return tuple(np.asarray(a, np.float32) for a in (pose, walk + [3, 1, -2], betas))


def true_landmarks(body, batch):
    return landmarks(body, batch["pose"], batch["betas"], batch["transl"])[0]


@pytest.fixture(scope="module")
def perfect(body):
    return simulate(jax.random.key(0), body, *motion(), DetectorNoise.none())


def test_without_noise_the_observations_are_the_projected_ground_truth(body, perfect):
    points = true_landmarks(body, perfect)
    pixels = project(
        points, perfect["true_focal_length"][:, None, None], perfect["image_size"][:, None, None]
    )
    np.testing.assert_allclose(perfect["landmarks_2d"][..., :2], pixels, atol=2e-2, rtol=1e-5)
    np.testing.assert_array_equal(perfect["landmarks_2d"][..., 2], 1)
    middle = (points[:, :, 23:24] + points[:, :, 24:25]) / 2
    np.testing.assert_allclose(perfect["landmarks_3d"], points - middle, atol=1e-5)
    assert perfect["seen"].all()


def test_the_result_depends_on_the_key(body):
    args = (body, *motion())
    first, again, other = (simulate(jax.random.key(k), *args) for k in (1, 1, 2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.allclose(first["landmarks_2d"], other["landmarks_2d"])
    assert not np.allclose(first["pose"][:, :, 0], other["pose"][:, :, 0])
    np.testing.assert_array_equal(first["pose"][:, :, 1:], args[1][:, :, 1:])


def test_mirrored_landmarks_give_mirrored_observations(body, perfect):
    points = true_landmarks(body, perfect)
    flipped = points[:, :, BLAZEPOSE_MIRROR] * jnp.array([-1.0, 1.0, 1.0])
    seen = jax.jit(detect)(
        jax.random.key(0), flipped, perfect["true_focal_length"], perfect["image_size"], DetectorNoise.none()
    )
    width = np.asarray(perfect["image_size"])[:, 1, None, None]
    expected = np.asarray(perfect["landmarks_2d"])[:, :, BLAZEPOSE_MIRROR]
    np.testing.assert_allclose(seen["landmarks_2d"][..., 0], width - expected[..., 0], atol=2e-2)
    np.testing.assert_allclose(seen["landmarks_2d"][..., 1], expected[..., 1], atol=2e-2)
    expected = np.asarray(perfect["landmarks_3d"])[:, :, BLAZEPOSE_MIRROR] * [-1, 1, 1]
    np.testing.assert_allclose(seen["landmarks_3d"], expected, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_extreme_motion_gives_finite_numbers(body, scale):
    pose, transl, betas = motion(clips=CLIPS)
    pose = np.full_like(pose, np.pi * scale)
    transl = transl * 1e3 * scale
    batch = simulate(jax.random.key(0), body, pose, transl, betas * 4)
    for name, value in batch.items():
        assert np.isfinite(value).all(), name
