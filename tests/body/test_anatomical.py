"""Anatomical joint centres: formulas on a hand-made pelvis, the body's mean shape, other shapes and poses."""

import dataclasses

import numpy as np
import pytest

from hpof_jax.body import keypoint_basis, keypoints, load_body
from hpof_jax.body.anatomical import (
    ANATOMICAL_CENTRES,
    SMPL_LANDMARKS,
    anatomical_basis,
    bell_hips,
    carrier,
    centres_of_landmarks,
    harrington_hips,
    landmarks_of_shapes,
    rab_shoulders,
)
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError
from hpof_jax.geometry.numpy_rotations import to_matrix


def posed(body, betas, pose):
    points, joints = keypoints(
        body, keypoint_basis(body, "anatomical12"), betas, to_matrix(pose).astype(np.float32)
    )
    named = dict(zip(ANATOMICAL_CENTRES, np.asarray(points), strict=True))
    return named, dict(zip(SMPL_JOINTS, np.asarray(joints), strict=True))


def test_regressions_on_a_hand_made_pelvis():
    """x forwards, y up, z right: 240 mm wide and 150 mm deep."""
    pelvis = [np.array(place) for place in ([0.15, 1, 0.12], [0.15, 1, -0.12], [0, 1, 0.05], [0, 1, -0.05])]
    right, left = harrington_hips(*pelvis)
    np.testing.assert_allclose(
        right, [0.15 - 0.24 * 0.15 - 0.0099, 1 - 0.3 * 0.24 - 0.0109, 0.33 * 0.24 + 0.0073]
    )
    np.testing.assert_allclose(left, right * [1, 1, -1])
    right, left = bell_hips(*pelvis)
    np.testing.assert_allclose(right, [0.15 - 0.19 * 0.24, 1 - 0.3 * 0.24, 0.36 * 0.24])
    acromia = np.array([0, 1.4, 0.2]), np.array([0, 1.4, -0.2])
    right, left = rab_shoulders(*acromia, np.array([0, 0.9, 0]))
    np.testing.assert_allclose(right, [0, 1.4 - 0.17 * 0.4, 0.2])
    np.testing.assert_allclose(left, right * [1, 1, -1])


def test_the_mean_body_is_symmetric_and_human():
    centres, joints = posed(load_body(), np.zeros(10, np.float32), np.zeros((24, 3)))
    for name in ANATOMICAL_CENTRES:
        side, part = name.split("_")
        other = centres[f"{'right' if side == 'left' else 'left'}_{part}"]
        np.testing.assert_allclose(centres[name], other * [-1, 1, 1], atol=0.006)
        assert (centres[name][0] > 0) == (side == "left")
        assert np.linalg.norm(centres[name] - joints[name]) < 0.04
    thigh = np.linalg.norm(centres["left_hip"] - centres["left_knee"])
    shank = np.linalg.norm(centres["left_knee"] - centres["left_ankle"])
    assert 0.36 < thigh < 0.45 and 0.36 < shank < 0.45  # of 1.70 m


def test_linear_in_betas_to_a_millimetre_on_average():
    body = load_body()
    basis = anatomical_basis(body)
    betas = np.random.default_rng(0).normal(size=(20, 10)).astype(np.float32)
    exact = centres_of_landmarks(landmarks_of_shapes(body, betas))
    still = np.broadcast_to(np.eye(3, dtype=np.float32), (20, 24, 3, 3))
    found, _ = keypoints(body, basis, betas, still)
    for k, name in enumerate(ANATOMICAL_CENTRES):
        error = np.linalg.norm(found[:, k] - exact[name], axis=-1)
        assert error.mean() < 1e-3 and error.max() < 6e-3, name


def test_centres_move_rigidly_with_their_segment():
    body, pose = load_body(), np.random.default_rng(1).normal(scale=0.5, size=(24, 3))
    rest, rest_joints = posed(body, np.zeros(10, np.float32), np.zeros((24, 3)))
    moved, moved_joints = posed(body, np.zeros(10, np.float32), pose)
    for name in ANATOMICAL_CENTRES:
        above = carrier(name)
        before = np.linalg.norm(rest[name] - rest_joints[above])
        assert np.linalg.norm(moved[name] - moved_joints[above]) == pytest.approx(before, abs=1e-5)


def test_published_vertices_of_smpl():
    """A stand-in for SMPL: the free body, reordered so that its landmarks have the numbers of SMPL's."""
    body = load_body()
    template, order = np.asarray(body.v_template), np.arange(6890)
    places = landmarks_of_shapes(body, np.zeros((1, 10)))
    for name, pair in SMPL_LANDMARKS.items():
        for side, vertex in zip(("left", "right"), pair):
            same = np.linalg.norm(template[order] - places[name, side], axis=1).argmin()
            order[[vertex, same]] = order[[same, vertex]]
    basis = np.asarray(body.basis).reshape(11, 3, -1)[:, :, order].reshape(11, -1)
    smpl = dataclasses.replace(body, basis=basis, name="SMPL_NEUTRAL")
    found, expected = (np.asarray(anatomical_basis(one).blend[0]).reshape(12, 3) for one in (smpl, body))
    distances = np.linalg.norm(found - expected, axis=1)
    assert distances.max() < 0.05  # the ASIS is on the skin, and there is one PSIS for both sides
    legs = [k for k, name in enumerate(ANATOMICAL_CENTRES) if name.endswith(("knee", "ankle"))]
    assert distances[legs].max() < 0.015


def test_another_order_of_vertices_is_refused():
    body = load_body()
    rolled = dataclasses.replace(body, name="smpl")
    with pytest.raises(UserError, match="far from its joints"):
        anatomical_basis(rolled)
    with pytest.raises(UserError, match="unknown"):
        anatomical_basis(dataclasses.replace(body, basis=body.basis[:, :-3]))
