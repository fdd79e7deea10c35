import jax
import numpy as np
import pytest

from data_pipelines.render import scene
from data_pipelines.render.looks import Look, textured_body
from hpof_jax import body as bodies
from hpof_jax.body.files import load_body
from hpof_jax.geometry.camera import project

CAMERAS = ("tripod", "hand")


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_camera_stays_at_its_place_and_turns(shots, camera):
    pose, transl, _, made = shots
    shot = made[camera]
    pelvis = np.einsum("tij,tj->ti", shot.to_camera, transl - shot.camera)
    np.testing.assert_allclose(pelvis, shot.ground_truth["joints"][:, 0], atol=2e-5)
    identity = np.einsum("tij,tkj->tik", shot.to_camera, shot.to_camera)
    np.testing.assert_allclose(identity, np.tile(np.eye(3), (len(pose), 1, 1)), atol=1e-5)
    turned = np.abs(shot.to_camera - shot.to_camera[0]).max()
    assert turned > 1e-3 if camera == "hand" else turned < 1e-5


def test_the_skin_without_clothes_is_the_body_of_the_ground_truth(shots):
    _, _, betas, made = shots
    shot, body, textured = made["hand"], load_body(), textured_body()
    bare = Look(np.zeros((1, 1, 3), np.uint8), np.zeros(6890, np.float32))
    rest, normals = scene.dress(textured, bare, body, betas)
    weights = np.asarray(body.lbs_weights)[textured.vertex]
    points, cosine = scene.pose_points(shot, weights, rest, normals, np.array([0.0, 1.0, 0.0]))
    ground_truth = shot.ground_truth
    vertices, joints = jax.jit(bodies.forward)(
        body,
        ground_truth["betas"],
        ground_truth["pose"][:, 0],
        ground_truth["pose"][:, 1:],
        ground_truth["transl"],
    )
    np.testing.assert_allclose(np.moveaxis(points, 1, 2), np.asarray(vertices)[:, textured.vertex], atol=1e-4)
    np.testing.assert_allclose(shot.ground_truth["joints"], joints, atol=1e-4)
    # Light from above: some of the body faces it, some faces away.
    assert cosine.max() > 0.9 and cosine.min() < -0.9


def test_clothes_are_off_the_skin(shots):
    betas, body, textured = shots[2], load_body(), textured_body()
    loose = Look(np.zeros((1, 1, 3), np.uint8), np.full(6890, 0.02, np.float32))
    bare = Look(loose.atlas, 0 * loose.offset)
    (dressed, _), (skin, normals) = (scene.dress(textured, look, body, betas) for look in (loose, bare))
    np.testing.assert_allclose(dressed - skin, 0.02 * normals, atol=1e-6)


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_window_is_a_part_of_the_frame_around_the_person(shots, camera):
    shot = shots[3][camera]
    window, ground_truth = shot.window, shot.ground_truth
    pixels = np.asarray(
        project(ground_truth["joints"], ground_truth["true_focal_length"], ground_truth["image_size"])
    )
    height, width = window.size
    corners = window.to_frame(np.array([(0, 0), (width, height)]))
    assert (corners > -1 / window.scale).all() and (
        corners < ground_truth["image_size"][::-1] + 1 / window.scale
    ).all()
    in_frame = ((pixels > 0) & (pixels < ground_truth["image_size"][::-1])).all(axis=-1)
    in_window = ((pixels > corners[0]) & (pixels < corners[1])).all(axis=-1)
    np.testing.assert_array_equal(in_frame, in_window)
    assert in_window.mean() > 0.4 and height * width < 1.1 * scene.MAX_PIXELS and window.scale <= 1
    x, y, z = np.moveaxis(ground_truth["joints"], -1, 0)
    drawn = np.stack([x, y], axis=-1) / z[..., None] * window.focal_length + window.centre
    np.testing.assert_allclose(window.to_frame(drawn), pixels, atol=1e-2)
