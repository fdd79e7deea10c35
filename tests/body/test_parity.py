"""The layer agrees with an independent one, the NumPy SMPL of body-models, on the same file."""

import jax
import numpy as np
import pytest
from body_models.smpl.numpy import SMPL

from hpof_jax.body import forward, load_body
from hpof_jax.body.skeletons import SMPL_PARENTS

VERTICES = 400


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A random SMPL-format file of a person's size, with everything that SMPL has."""
    rng = np.random.default_rng(0)
    arrays = dict(
        v_template=rng.normal(scale=0.4, size=(VERTICES, 3)),
        shapedirs=rng.normal(scale=0.02, size=(VERTICES, 3, 10)),
        posedirs=rng.normal(scale=0.005, size=(VERTICES, 3, 207)),
        J_regressor=rng.dirichlet(np.full(VERTICES, 0.02), 24),
        weights=rng.dirichlet(np.full(24, 0.1), VERTICES),
        kintree_table=np.stack([np.array(SMPL_PARENTS).astype(np.uint32), np.arange(24, dtype=np.uint32)]),
        f=rng.integers(0, VERTICES, (500, 3), dtype=np.uint32),
        landmark_regressor=rng.dirichlet(np.ones(VERTICES), 33),
    )
    path = tmp_path_factory.mktemp("body") / "SMPL_NEUTRAL.npz"
    np.savez(path, **arrays)
    return path


def test_vertices_and_joints_agree_with_body_models(file):
    ours, theirs = load_body(file), SMPL(model_path=file)
    rng = np.random.default_rng(1)
    bodies = 64
    betas = rng.normal(scale=2, size=(bodies, 10)).astype(np.float32)
    axes = rng.normal(size=(bodies, 24, 3))
    angles = rng.uniform(0, np.pi, (bodies, 24, 1))
    angles[:8] = np.pi  # some exactly pi
    pose = (angles * axes / np.linalg.norm(axes, axis=-1, keepdims=True)).astype(np.float32)
    transl = rng.normal(size=(bodies, 3)).astype(np.float32)

    vertices, joints = jax.jit(forward)(ours, betas, pose[:, 0], pose[:, 1:], transl)
    known = dict(pelvis_rotation=pose[:, 0], shape=betas, global_translation=transl)
    want = theirs.forward_vertices(pose[:, 1:], **known)
    want_joints = theirs.forward_skeleton(pose[:, 1:], **known)[..., :3, 3]
    assert np.ptp(want) > 2, "the comparison is of bodies, not of points"
    np.testing.assert_allclose(vertices, want, atol=1e-5)
    np.testing.assert_allclose(joints, want_joints, atol=1e-5)
