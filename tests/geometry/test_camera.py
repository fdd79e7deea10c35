import jax.numpy as jnp
import numpy as np

from hpof_jax.geometry import camera

SIZE = jnp.array([720.0, 1280.0])


def test_the_principal_point_is_the_middle_of_the_frame():
    np.testing.assert_allclose(camera.project(jnp.array([0.0, 0.0, 3.0]), 1000.0, SIZE), [640, 360])
    np.testing.assert_allclose(camera.project(jnp.array([0.3, -0.6, 3.0]), 1000.0, SIZE), [740, 160])


def test_a_point_behind_the_camera_projects_to_something_finite():
    assert np.isfinite(camera.project(jnp.array([0.3, 0.1, -2.0]), 1000.0, SIZE)).all()


def test_cam_and_translation_are_each_others_inverse():
    rng = np.random.default_rng(0)
    cam = jnp.asarray(np.stack([rng.uniform(0.3, 2, 50), *rng.normal(0, 0.3, (2, 50))], axis=-1), jnp.float32)
    box = jnp.asarray(
        np.stack([*rng.uniform(100, 900, (2, 50)), rng.uniform(80, 700, 50)], axis=-1), jnp.float32
    )
    translation = camera.cam_to_translation(cam, box, jnp.full(50, 1400.0), SIZE)
    np.testing.assert_allclose(
        camera.translation_to_cam(translation, box, jnp.full(50, 1400.0), SIZE), cam, rtol=2e-4, atol=1e-4
    )


def test_cam_is_weak_perspective_in_the_box():
    """A small body placed by `cam_to_translation` projects to s (x + tx) in box coordinates."""
    cam, box = jnp.array([0.9, 0.2, -0.1]), jnp.array([500.0, 300.0, 400.0])
    point = jnp.array([0.03, 0.02, 0.0])
    placed = point + camera.cam_to_translation(cam, box, 1400.0, SIZE)
    seen = camera.to_box(camera.project(placed, 1400.0, SIZE)[None], box)[0]
    np.testing.assert_allclose(seen, cam[0] * (point[:2] + cam[1:]), atol=1e-5)


def test_box_leaves_out_invisible_keypoints():
    keypoints = jnp.array(
        [[10, 20, 1], [110, 20, 1], [110, 220, 1], [10, 220, 1], [900, 900, 0.1]], jnp.float32
    )
    np.testing.assert_allclose(camera.box_from_keypoints(keypoints), [60, 120, 200 * camera.BOX_MARGIN])


def test_the_box_spans_minus_one_to_one():
    corners, box = jnp.array([[60.0, 10.0], [140.0, 90.0], [100.0, 50.0]]), jnp.array([100.0, 50.0, 80.0])
    np.testing.assert_allclose(camera.to_box(corners, box), [[-1, -1], [1, 1], [0, 0]], atol=1e-6)


def test_the_default_focal_length_is_a_phones():
    np.testing.assert_allclose(camera.default_focal_length(jnp.array([3.0, 4.0])), 3.75)
    np.testing.assert_allclose(
        camera.default_focal_length(jnp.array([[3.0, 4.0], [720.0, 1280.0]])), [3.75, 1101.454], rtol=1e-5
    )


def test_the_field_of_view_is_horizontal():
    focal_length = camera.focal_length_of_fov(90.0, 1280)
    np.testing.assert_allclose(focal_length, 640.0)
    edge = camera.project(jnp.array([1.0, 0.0, 1.0]), focal_length, SIZE)
    np.testing.assert_allclose(edge, [1280, 360], rtol=1e-6)


def test_look_at_body():
    zero = jnp.zeros(())
    np.testing.assert_allclose(camera.look_at_body(zero, zero, zero), np.diag([1, -1, -1]), atol=1e-6)
    head = jnp.array([0.0, 1.0, 0.0])
    from_above = camera.look_at_body(zero, jnp.array(0.5), zero) @ head
    assert from_above[2] < 0, "seen from above, the head is nearer to the camera"
    left_hand = jnp.array([1.0, 0.0, 0.0])
    assert (camera.look_at_body(zero, zero, zero) @ left_hand)[0] > 0, (
        "the left hand of a facing body is on the right"
    )
