"""The reference from four made-up cameras, on a made-up motion."""

import numpy as np
import pytest

from benchmarks import multiview

PAIRS = np.array([[0, 1], [2, 3]])
FPS = 60.0


def look_at_origin(yaw: float) -> multiview.Camera:
    """A camera 3 m from the origin, 1.5 m up, turned to it."""
    position = np.array([3 * np.cos(yaw), 3 * np.sin(yaw), 1.5])
    z = -position / np.linalg.norm(position)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    intrinsics = np.array([[1600.0, 0, 540], [0, 1600.0, 960], [0, 0, 1]])
    return multiview.Camera(intrinsics, np.array([-0.05, 0.13, 1e-3, 1e-3]), rotation, -rotation @ position)


@pytest.fixture
def cameras():
    return [look_at_origin(yaw) for yaw in (0.3, 1.6, 3.3, 4.9)]


@pytest.fixture
def joints():
    """(40, 4, 3) metres: two pairs of a left and a right joint, swinging slowly."""
    time = np.arange(40) / FPS
    rest = np.array([[0.2, 0.1, 0.4], [-0.2, 0.1, 0.4], [0.1, -0.1, -0.3], [-0.1, 0.0, -0.3]])
    swing = 0.1 * np.sin(2 * np.pi * time[:, None] + np.arange(4))
    return rest + swing[..., None] * [0.3, 1.0, 0.5]


def observe(cameras, joints):
    pixels = np.stack([camera.project(joints) for camera in cameras])
    return np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], axis=-1)


def test_clean_views_give_the_joints(cameras, joints):
    reference = multiview.reconstruct(cameras, observe(cameras, joints), PAIRS, FPS)
    np.testing.assert_allclose(reference.raw, joints, atol=1e-4)
    assert not reference.swapped.any() and reference.used.all()
    np.testing.assert_allclose(reference.offsets, 0, atol=0.1)


def test_a_view_that_swaps_left_and_right_is_put_right(cameras, joints):
    landmarks = observe(cameras, joints)
    landmarks[1, 10:25, :2] = landmarks[1, 10:25, 1::-1]
    reference = multiview.reconstruct(cameras, landmarks, PAIRS, FPS)
    np.testing.assert_allclose(reference.raw, joints, atol=2e-3)
    expected = np.zeros((4, 40, 4), bool)
    expected[1, 10:25, :2] = True
    np.testing.assert_array_equal(reference.swapped, expected)


def test_an_outlier_view_is_left_out(cameras, joints):
    landmarks = observe(cameras, joints)
    landmarks[2, :8, 3, :2] += 150
    reference = multiview.reconstruct(cameras, landmarks, PAIRS, FPS)
    np.testing.assert_allclose(reference.raw, joints, atol=2e-3)
    assert not reference.used[2, :8, 3].any() and reference.used[2, 8:].all()


def test_a_shifted_principal_point_costs_less_after_its_correction(cameras, joints):
    landmarks = observe([cameras[0].shifted(np.array([12.0, -8.0])), *cameras[1:]], joints)
    reference = multiview.reconstruct(cameras, landmarks, PAIRS, FPS)
    uncorrected = np.linalg.norm(
        landmarks[..., :2] - np.stack([camera.project(joints) for camera in cameras]), axis=-1
    )
    assert np.median(reference.residual[0]) < 0.25 * np.median(uncorrected[0])


def test_qualisys_lengths_axes_and_lens(tmp_path):
    path = tmp_path / "calib.xml"
    rotation = " ".join(f'r{i}{j}="{float(i == j)}"' for i in (1, 2, 3) for j in (1, 2, 3))
    path.write_text(
        f'<calibration><cameras><camera><transform {rotation} x="1000" y="0" z="2000"/>'
        '<intrinsic focalLengthU="64000" focalLengthV="64000" centerPointU="32000" centerPointV="64000" '
        'radialDistortion1="0" radialDistortion2="0" tangentalDistortion1="0" tangentalDistortion2="0"/>'
        "</camera></cameras></calibration>"
    )
    (camera,) = multiview.read_qualisys(path)
    # The camera is 2 m above the point (1, 0, 0) and looks down; world y points up in its picture.
    np.testing.assert_allclose(camera.to_camera(np.array([1.0, 0, 0])), [0, 0, 2], atol=1e-9)
    np.testing.assert_allclose(camera.project(np.array([1.2, 0.2, 0.0])), [600, 900], atol=1e-6)
