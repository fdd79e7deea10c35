import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body import forward, load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.body.model import keypoints
from hpof_jax.geometry import zbuffer
from hpof_jax.geometry.rotations import axis_angle_to_matrix


def test_a_coarse_body_moves_and_looks_like_the_whole_one():
    body = load_body()
    coarse = decimate(body, 2000)
    assert 900 < coarse.skinning.shape[1] < 1100 and 1900 < len(coarse.faces) <= 2000
    rng = np.random.default_rng(0)
    size, overlaps = (128, 128), []
    pose = jnp.asarray(rng.normal(scale=0.3, size=(4, 24, 3))).at[:, 0].set(jnp.array([np.pi, 0, 0]))
    betas, transl = jnp.asarray(rng.normal(size=(4, 10))), jnp.array([0, 0.1, 3.0])
    pictures = []
    for model in (body, coarse):
        vertices, joints = jax.jit(forward)(model, betas, pose[:, 0], pose[:, 1:], transl)
        masks = [
            zbuffer.rasterize(zbuffer.project(v, 147.0, size), v[:, 2], np.asarray(model.faces), size).mask
            for v in np.asarray(vertices)
        ]
        pictures.append((vertices, joints, np.stack(masks)))
    (vertices, joints, whole), (few, same_joints, rough) = pictures
    overlaps = (whole & rough).sum((1, 2)) / (whole | rough).sum((1, 2))
    assert overlaps.min() > 0.95
    np.testing.assert_allclose(joints, same_joints, atol=1e-6)
    distance = np.linalg.norm(few[0][:, None] - vertices[0][None], axis=-1).min(axis=1)
    assert distance.max() < 1e-5, "every vertex is one of the whole body's"


def test_its_landmarks_are_the_whole_bodys():
    body = load_body()
    coarse = decimate(body, 600)
    rotations = jax.jit(axis_angle_to_matrix)(jnp.asarray(np.random.default_rng(1).normal(size=(24, 3))))
    landmarks = jax.jit(keypoints)
    for got, want in zip(
        landmarks(coarse, coarse.landmarks, jnp.ones(10), rotations),
        landmarks(body, body.landmarks, jnp.ones(10), rotations),
    ):
        np.testing.assert_array_equal(got, want)
