import os

import numpy as np
import pytest

from hpof_jax.observe import blazepose
from hpof_jax.observe.blazepose import BlazePose, Region, overlap


@pytest.fixture
def net(monkeypatch):
    """A BlazePose whose networks give what the test puts into `net.outputs`, and keep their inputs."""

    class Network:
        def __init__(self, name, threads):
            self.outputs, self.shown = None, None

        def __call__(self, image):
            self.shown = image
            return self.outputs

    monkeypatch.setattr(blazepose, "_Network", Network)
    return BlazePose()


def landmark_outputs(points, world=None, heatmaps=None):
    """The landmark network's outputs for (39, 2) points in pixels of its input."""
    values = np.zeros((39, 5), np.float32)
    values[:, :2] = points
    values[:, 3] = 2.0
    world = np.zeros((39, 3), np.float32) if world is None else world
    heatmaps = np.full((64, 64, 39), -9.0, np.float32) if heatmaps is None else heatmaps
    mask = np.full((256, 256, 1), -9.0, np.float32)
    return [values.ravel(), np.array([0.75], np.float32), mask, heatmaps, world.ravel()]


def test_landmarks_come_back_in_the_pixels_of_the_image(net):
    generator = np.random.default_rng(0)
    points = generator.uniform(60, 200, (39, 2))
    points[33], points[34] = (
        (128, 128),
        (128, 40),
    )  # mid-hip in the middle, the rim of the body straight above
    net._landmarks.outputs = landmark_outputs(points)
    image = np.zeros((600, 800, 3), np.uint8)
    pose = net.landmarks(image, Region(400, 300, 512, 0.0))
    np.testing.assert_allclose(pose.landmarks_2d[:, :2], 2 * points[:33] + (400 - 256, 300 - 256), atol=1e-3)
    np.testing.assert_allclose(pose.landmarks_2d[:, 2], 1 / (1 + np.exp(-2.0)), atol=1e-6)
    np.testing.assert_allclose(pose.region, (400, 300, 2.5 * 2 * 88, 0), atol=1e-3)
    assert pose.score == 0.75
    assert pose.mask.shape == (256, 256) and pose.mask.max() == 0


@pytest.mark.parametrize("degrees", [0, 90, -60, 180])
def test_a_turned_region_turns_landmarks_back_into_the_image(net, degrees):
    """The network sees the body upright: its up is the region's up, in 2D and in 3D alike."""
    angle = np.radians(degrees)
    points = np.full((39, 2), 128.0)
    points[0] = points[34] = (128, 28)  # the nose, 100 px above the hip in the crop
    world = np.zeros((39, 3), np.float32)
    world[0] = (0, -0.6, -0.1)
    world += (0.2, 0.1, 0.05)  # the network's own origin is only near the mid-hip
    net._landmarks.outputs = landmark_outputs(points, world)
    pose = net.landmarks(np.zeros((400, 400, 3), np.uint8), Region(200, 180, 256, angle))
    up = np.array([np.sin(angle), -np.cos(angle)])  # clockwise on the screen, y down
    np.testing.assert_allclose(pose.landmarks_2d[0, :2], (200, 180) + 100 * up, atol=1e-3)
    np.testing.assert_allclose(pose.landmarks_3d[0], [*(0.6 * up), -0.1], atol=1e-6)
    np.testing.assert_allclose(pose.landmarks_3d[[23, 24]].mean(0), 0, atol=1e-6)
    assert np.isclose(np.exp(1j * pose.region.angle), np.exp(1j * angle))


def test_networks_are_shown_the_region_upright(net):
    image = np.zeros((300, 400, 3), np.uint8)
    image[140:160, 120:140] = (
        255  # left of the region's middle (200, 150), where its top is when turned by -90 degrees
    )
    net._landmarks.outputs = landmark_outputs(np.full((39, 2), 128.0))
    net.landmarks(image, Region(200, 150, 200, -np.pi / 2))
    rows, columns = np.nonzero(net._landmarks.shown[..., 0] > 0.5)
    assert abs(columns.mean() + 0.5 - 128) < 1 and rows.mean() < 64


def test_detections_of_one_body_are_one(net):
    raw, logits = np.zeros((2254, 12), np.float32), np.full((2254, 1), -9.0, np.float32)
    anchors = blazepose._anchors()
    near, far = 28 * 2 * 10 + 20, 28 * 2 * 10 + 40
    for index, score in (
        (near, 3.0),
        (near + 1, 2.0),
        (far, 1.0),
    ):  # two anchors of one cell, and another cell
        raw[index, 4:8] = (0, 0, 0, -20)
        logits[index] = score
    net._detector.outputs = [raw, logits]
    found = net.detect(np.zeros((100, 200, 3), np.uint8), (100, 50, 200))
    scale = 200 / 224  # the image is as wide as the detector's square, and lies in its middle
    expected = [(*(anchors[i] * 200 - (0, 50)), 2.5 * 20 * scale, 0) for i in (near, far)]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    moved = net.detect(np.zeros((100, 200, 3), np.uint8), (50, 50, 20))
    np.testing.assert_allclose(moved[0][:2], anchors[near] * 20 + 40, atol=1e-3)


def test_refinement_is_the_centre_of_mass_of_the_heat_map():
    generator = np.random.default_rng(1)
    heatmaps = generator.normal(0, 3, (64, 64, 39)).astype(np.float32)
    heatmaps[..., :5] = -9  # nowhere sure
    points = generator.uniform(-0.05, 1.05, (39, 2))
    expected = points.copy()
    for k, (x, y) in enumerate(points):
        column, row = int(np.floor(64 * x)), int(np.floor(64 * y))
        if not (0 <= column < 64 and 0 <= row < 64):
            continue
        cells = [(r, c) for r in range(row - 3, row + 4) for c in range(column - 3, column + 4)]
        cells = [(r, c) for r, c in cells if 0 <= r < 64 and 0 <= c < 64]
        weights = np.array([1 / (1 + np.exp(-heatmaps[r, c, k])) for r, c in cells])
        if weights.max() >= 0.5:
            expected[k] = (weights @ np.array(cells))[::-1] / weights.sum() / 64
    assert np.any(expected != points)
    np.testing.assert_allclose(blazepose._refine(points, heatmaps), expected, atol=1e-6)


def test_overlap():
    assert overlap(Region(5, 5, 10, 0), Region(5, 5, 10, 1)) == 1
    assert overlap(Region(5, 5, 10, 0), Region(10, 5, 10, 0)) == pytest.approx(1 / 3)
    assert overlap(Region(5, 5, 10, 0), Region(50, 5, 10, 0)) == 0


def test_info_lines_of_litert_are_not_shown(capfd):
    with blazepose._without_info():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nERROR: no such file\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "ERROR: no such file\nafterwards\n"
