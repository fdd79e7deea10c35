import dataclasses

import jax
import numpy as np
import pytest

from data_pipelines.simulate.detector import DetectorNoise, _smooth_mixing, detect
from hpof_jax.body.files import load_body
from hpof_jax.body.model import keypoints
from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR

CLIPS, FRAMES = 8, 24
FOCAL, SIZE = np.full(CLIPS, 1500.0, np.float32), np.tile(np.float32([1080, 1920]), (CLIPS, 1))
run = jax.jit(detect)


@pytest.fixture(scope="module")
def points():
    """A T-pose that faces the camera, four metres away."""
    body = load_body()
    upright = np.broadcast_to(np.eye(3, dtype=np.float32), (24, 3, 3)).copy()
    upright[0] = np.diag([1, -1, -1])
    place = np.float32([0, 0, 4])
    landmarks, _ = keypoints(body, body.landmarks, np.zeros(10, np.float32), upright, place)
    return np.broadcast_to(landmarks, (CLIPS, FRAMES, 33, 3))


def observe(points, key=0, **changes):
    noise = dataclasses.replace(DetectorNoise.none(), **changes)
    return jax.tree.map(np.asarray, run(jax.random.key(key), points, FOCAL, SIZE, noise))


def test_a_left_right_swap_affects_2d_and_3d_and_keeps_the_visibility(points):
    true, seen = observe(points), observe(points, swap_rate=0.05, swap_frames=(5, 10))
    for name in ("landmarks_2d", "landmarks_3d"):
        kept = np.all(seen[name] == true[name], axis=-1)
        swapped = np.all(seen[name] == true[name][:, :, BLAZEPOSE_MIRROR], axis=-1)
        assert np.all(kept | swapped)
        assert np.all(kept[:, :, :11])
        assert 0.1 < np.mean(~kept[:, :, 11:]) < 0.6
        if name == "landmarks_2d":
            moved = ~kept
        else:
            np.testing.assert_array_equal(moved, ~kept)
    assert np.all(seen["landmarks_2d"][..., 2] == 1)
    arms, legs = moved[:, :, 11], moved[:, :, 25]
    assert (arms & legs).any() and (arms & ~legs).any() and (legs & ~arms).any()


def test_a_dropout_leaves_whole_frames_unseen(points):
    seen = observe(points, dropout_rate=0.05, dropout_frames=(2, 3))
    assert 0.02 < np.mean(~seen["seen"]) < 0.4
    for name in ("landmarks_2d", "landmarks_3d"):
        assert np.all(seen[name][~seen["seen"]] == 0)
        assert np.all(np.any(seen[name][seen["seen"]] != 0, axis=-1).any(-1))


def test_a_lost_limb_is_off_in_2d_and_3d_and_less_visible(points):
    true, seen = (
        observe(points),
        observe(points, lost_rate=0.02, lost_frames=(20, 20), lost_offset=0.5, lost_fall=2000.0),
    )
    off_2d = np.linalg.norm(seen["landmarks_2d"] - true["landmarks_2d"], axis=-1) > 1
    off_3d = np.linalg.norm(seen["landmarks_3d"] - true["landmarks_3d"], axis=-1) > 1e-3
    assert 0.01 < off_2d[:, :, 11:].mean() < 0.3
    assert not off_2d[:, :, :13].any()
    assert (off_2d <= off_3d).all()
    assert seen["landmarks_2d"][off_2d][:, 2].max() < 0.2


def test_a_person_outside_the_frame_is_not_seen(points):
    assert observe(points, min_in_frame=0.3)["seen"].all()
    assert not observe(points + np.float32([9, 0, 0]), min_in_frame=0.3)["seen"].any()


def test_landmarks_outside_the_frame_and_behind_the_body_are_less_visible(points):
    seen = observe(points + np.float32([2.6, 0, 0]), visibility_logit=4.0, truncation_fall=6.0)
    visibility = seen["landmarks_2d"][0, 0, :, 2]
    assert visibility[15] < 0.5 < visibility[16]  # the left hand is beyond the frame's right edge
    behind = points.copy()
    behind[:, :, 15] = points[:, :, [11, 12, 23, 24]].mean(2) + np.float32([0, 0, 0.3])
    visibility = observe(behind, visibility_logit=4.0, occlusion_fall=6.0)["landmarks_2d"][0, 0, :, 2]
    assert visibility[15] < 0.2 and visibility[16] > 0.9


def test_the_depth_slope_scales_depth_alone(points):
    true, seen = observe(points)["landmarks_3d"], observe(points, depth_slope=(0.5, 0.5))["landmarks_3d"]
    np.testing.assert_allclose(seen, true * [1, 1, 0.5], atol=1e-5)


def test_every_body_has_the_average_size(points):
    sizes = []
    for factor in (0.7, 1.0, 1.3):
        seen = observe(points * np.float32(factor), average_size=1.0)["landmarks_3d"][0, 0]
        legs = np.linalg.norm(seen[[25, 26, 27, 28]] - seen[[23, 24, 25, 26]], axis=-1).sum() / 2
        sizes.append(legs + np.linalg.norm(seen[[11, 12]], axis=-1).mean())
    np.testing.assert_allclose(sizes, 1.28, atol=1e-3)


def test_3d_landmarks_at_the_edge_of_the_frame_are_those_of_a_centred_person(points):
    points = points - points[:, :, 23:25].mean(2, keepdims=True) + np.float32([0, 0, 4])
    centred = observe(points, crop_view=1.0)["landmarks_3d"]
    np.testing.assert_allclose(centred, observe(points)["landmarks_3d"], atol=2e-3)
    turn = np.deg2rad(20)
    rotation = np.float32([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    aside = points @ rotation.T
    np.testing.assert_allclose(observe(aside, crop_view=1.0)["landmarks_3d"], centred, atol=2e-3)


def test_the_hip_bias_is_constant_in_a_clip_and_moves_the_hips_alone(points):
    error = (
        observe(points, hip_bias=0.05, severity=(1.0, 1.0))["landmarks_2d"] - observe(points)["landmarks_2d"]
    )
    assert np.all(error[:, :, [i for i in range(33) if i not in (23, 24)]] == 0)
    hips = error[:, :, 23, :2]
    np.testing.assert_allclose(hips, np.broadcast_to(hips[:, :1], hips.shape), atol=1e-3)
    assert 5 < np.abs(hips).mean() < 40


def test_drift_is_smooth_and_of_unit_variance():
    mix = _smooth_mixing(200, 20.0)
    np.testing.assert_allclose(np.sum(mix**2, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(np.sum(mix[100] * mix[120]), 0.4834, atol=1e-3)  # (1 + sqrt 3) exp(-sqrt 3)
    np.testing.assert_allclose(mix, np.tril(mix))
