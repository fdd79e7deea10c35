import jax
import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.body.mirror import mirror_rotations
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.flip import average_flipped, disagreement
from hpof_jax.models.hpof import Prediction

average = jax.jit(average_flipped)


def make(seed):
    rng = np.random.default_rng(seed)
    rotations = axis_angle_to_matrix(rng.normal(0, 0.5, (2, 3, 24, 3)).astype(np.float32))
    return Prediction(
        rng.normal(size=(2, 1, 10)).astype(np.float32),
        np.asarray(rotations),
        rng.normal(size=(2, 3, 3)).astype(np.float32),
    )


def mirrored(prediction):
    """What a model without a preferred side predicts for the mirrored clip."""
    cam = prediction.cam * np.float32([1, -1, 1])
    return prediction._replace(rotations=mirror_rotations(prediction.rotations), cam=cam)


def test_a_model_without_a_preferred_side_stays_as_it_is():
    prediction = make(0)
    for a, b in zip(average(prediction, mirrored(prediction)), prediction, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_both_predictions_count_the_same():
    a, b = make(0), make(1)
    mean = average(a, mirrored(b))
    for x, y in zip(mean, average(b, mirrored(a)), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    np.testing.assert_allclose(mean.betas, (a.betas + b.betas) / 2, atol=1e-6)
    np.testing.assert_allclose(mean.cam, (a.cam + b.cam) / 2, atol=1e-6)
    identity = np.broadcast_to(np.eye(3), mean.rotations.shape)
    np.testing.assert_allclose(mean.rotations @ mean.rotations.swapaxes(-1, -2), identity, atol=1e-5)


def test_the_disagreement_is_the_distance_of_the_limbs():
    body, betas = load_body(), np.zeros(10, np.float32)
    rotations = np.tile(np.eye(3, dtype=np.float32), (2, 5, 24, 1, 1))
    found = disagreement(rotations, mirror_rotations(rotations), body, betas)
    np.testing.assert_allclose(found, np.zeros((2, 5)), atol=1e-6)
    bent = rotations.copy()
    bent[0, 0, SMPL_JOINTS.index("left_elbow")] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    found = np.asarray(disagreement(bent, mirror_rotations(rotations), body, betas))
    forearm = np.linalg.norm(body.J_template[20] - body.J_template[18])
    assert found[0, 0] == pytest.approx(np.sqrt(2) * forearm / 12, rel=0.1), "one of twelve joints moved"
    assert found[0, 1:].max() < 1e-6 and found[1].max() < 1e-6
