import dataclasses

import jax
import numpy as np
import pytest

from data_pipelines.simulate.camera import CameraRange, film, landmarks
from hpof_jax.body.files import load_body
from hpof_jax.geometry.camera import default_focal_length, project

CLIPS, FRAMES = 8, 24
TRIPOD = CameraRange(follow_share=0.0, handheld_share=0.0, close_share=0.0)
shoot = jax.jit(film)


@pytest.fixture(scope="module")
def body():
    return load_body()


def motion():
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.3, (CLIPS, 1, 24, 3)) + 0.02 * rng.normal(size=(CLIPS, FRAMES, 24, 3)).cumsum(1)
    walk = np.arange(FRAMES)[:, None] / 30 * rng.normal(0, 1, (CLIPS, 1, 3)) * [1, 0, 1]
    betas = rng.normal(size=(CLIPS, 10)).clip(-2, 2)
    return tuple(np.asarray(a, np.float32) for a in (pose, walk + [3, 1, -2], betas))


def test_the_ground_truth_is_the_motion_in_the_camera_frame(body):
    ground_truth, points = shoot(jax.random.key(0), body, *motion(), CameraRange())
    placed, _ = landmarks(body, ground_truth["pose"], ground_truth["betas"], ground_truth["transl"])
    np.testing.assert_allclose(points, placed, atol=1e-4)


def test_a_tripod_shows_the_path_as_it_is_and_the_whole_person(body):
    pose, transl, betas = motion()
    ground_truth, points = shoot(jax.random.key(0), body, pose, transl, betas, TRIPOD)
    step = np.linalg.norm(np.diff(ground_truth["transl"], axis=1), axis=-1)
    np.testing.assert_allclose(step, np.linalg.norm(np.diff(transl, axis=1), axis=-1), atol=1e-4)
    height, width = np.moveaxis(np.asarray(ground_truth["image_size"]), -1, 0)
    pixels = project(
        points, ground_truth["true_focal_length"][:, None, None], ground_truth["image_size"][:, None, None]
    )
    x, y = np.moveaxis(np.asarray(pixels), -1, 0)
    assert np.all((x > 0) & (x < width[:, None, None]) & (y > 0) & (y < height[:, None, None]))
    assert np.min(points[..., 2]) >= TRIPOD.near - 1e-3


def test_a_panning_camera_keeps_the_person_at_one_place_in_the_picture(body):
    pose, transl, betas = motion()
    transl = transl + np.float32([0, 0, 4]) * (np.arange(FRAMES, dtype=np.float32) / FRAMES)[:, None]

    def spread(camera):
        ground_truth, _ = shoot(jax.random.key(3), body, pose, transl, betas, camera)
        return np.ptp(
            np.arctan2(ground_truth["transl"][..., 0], ground_truth["transl"][..., 2]), axis=1
        ).mean()

    still, following = spread(TRIPOD), spread(dataclasses.replace(TRIPOD, follow_share=1.0))
    assert following < 0.25 * still


def test_focal_lengths_are_those_of_real_cameras_and_some_are_known(body):
    keys = ("image_size", "true_focal_length", "focal_length")
    shots = [shoot(jax.random.key(number), body, *motion(), CameraRange())[0] for number in range(50)]
    size, true, given = (np.concatenate([shot[key] for shot in shots]) for key in keys)
    ratio = true / np.hypot(*size.T)
    assert 0.6 - 1e-6 <= ratio.min() < 0.61 and 1.0 < ratio.max() <= 1.1 + 1e-6
    assert abs(np.median(ratio) - 0.75) < 0.03
    assert np.mean((ratio > 0.62) & (ratio < 0.9)) > 0.75
    known = given == true
    assert 0.2 < known.mean() < 0.4
    np.testing.assert_allclose(given[~known], default_focal_length(size)[~known], rtol=1e-6)
