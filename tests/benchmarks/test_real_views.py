import types

import numpy as np
import pytest

from benchmarks import real_views
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS

FRAMES = 40


@pytest.fixture
def joints():
    """A made-up person's limb joints (T, 12, 3) before a camera, swaying slowly."""
    rest = np.random.default_rng(0).normal(0, 0.3, (1, 12, 3)) + (0, 0, 4)
    return np.float32(rest + 0.05 * np.sin(np.arange(FRAMES) / 8)[:, None, None])


def view_of(landmarks_3d, seen=None):
    seen = np.ones(len(landmarks_3d), bool) if seen is None else seen
    return types.SimpleNamespace(
        landmarks_3d=landmarks_3d, landmarks_2d=np.zeros((len(seen), 33, 3)), seen=seen, fps=np.float32(60)
    )


def test_the_reference_itself_has_no_error_wherever_it_stands(joints):
    seen = np.arange(FRAMES) < 30
    found = real_views.score(joints + np.float32([0.3, 0, 1]), joints, view_of(joints, seen))
    assert tuple(found) == real_views.FIGURES and found["seen"] == 75
    assert all(found[key] == pytest.approx(0, abs=0.01) for key in real_views.FIGURES[:-1])


def test_each_error_shows_in_its_figure(joints):
    view = view_of(joints)
    larger = real_views.score(1.2 * joints, joints, view)
    assert larger["pa_mpjpe"] < 0.1 and larger["n_mpjpe"] < 0.1 and larger["mpjpe"] > 30
    about_z = np.float32([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    tilted = real_views.score(joints @ about_z.T, joints, view)
    assert tilted["pa_mpjpe"] < 0.1 and tilted["n_mpjpe"] > 30 and 0 < tilted["tilt"] < 37
    jitter = np.random.default_rng(1).normal(0, 0.01, joints.shape)
    shaky = real_views.score(np.float32(joints + jitter), joints, view)
    assert shaky["accel"] > 10 and shaky["accel_si"] == pytest.approx(3.6 * shaky["accel"], rel=1e-3)


def test_unseen_frames_are_interpolated_before_smoothing(joints):
    landmarks = np.zeros((FRAMES, 33, 3), np.float32)
    landmarks[:, BLAZEPOSE_LIMBS] = joints
    landmarks[15:18] = 100
    view = view_of(landmarks, ~np.isin(np.arange(FRAMES), (15, 16, 17)))
    np.testing.assert_allclose(real_views.smoothed_blazepose(view), joints, atol=5e-3)


def test_the_limbs_alone_are_replaced_by_the_reference(joints):
    view, pixels = view_of(np.full((FRAMES, 33, 3), 7.0, np.float32)), np.full((FRAMES, 12, 2), 5.0)
    real_views.replace_limbs(view, pixels, joints, ["3d"])
    limbs = view.landmarks_3d[:, BLAZEPOSE_LIMBS]
    np.testing.assert_allclose(limbs[:, real_views.HIPS].mean(1), 0, atol=1e-5)
    assert np.all(np.delete(view.landmarks_3d, BLAZEPOSE_LIMBS, axis=1) == 7)
    assert not view.landmarks_2d.any()
    real_views.replace_limbs(view, pixels, joints, ["2d"])
    assert np.all(view.landmarks_2d[:, BLAZEPOSE_LIMBS, :2] == 5) and not view.landmarks_2d[..., 2].any()
