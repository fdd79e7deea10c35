"""One body over one picture."""

import jax
import numpy as np
import pytest

from hpof_jax.body import forward, load_body
from hpof_jax.geometry import zbuffer
from hpof_jax.visualize import draw
from hpof_jax.visualize.draw import render_mesh, render_silhouette, render_skeleton

HEIGHT, WIDTH, FOCAL = 90, 120, 150.0


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def posed(body):
    """Vertices and joints of a body in its rest pose that faces the camera."""
    upright, transl = np.array([np.pi, 0, 0], np.float32), np.array([0, 0.2, 3.5], np.float32)
    posed = jax.jit(forward)(body, np.zeros(10, np.float32), upright, np.zeros((23, 3), np.float32), transl)
    return [np.asarray(points) for points in posed]


@pytest.fixture(scope="module")
def vertices(posed):
    return posed[0]


def test_the_mesh_covers_its_exact_area_and_leaves_the_rest_untouched(body, vertices):
    faces = np.asarray(body.faces)
    frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    before = frame.copy()
    drawn = render_mesh(frame, vertices, faces, FOCAL, alpha=1.0)
    np.testing.assert_array_equal(frame, before)

    fine = 8
    points = zbuffer.project(vertices, fine * FOCAL, (fine * HEIGHT, fine * WIDTH))
    mask = zbuffer.rasterize(points, vertices[:, 2], faces, (fine * HEIGHT, fine * WIDTH)).mask
    covered = mask.reshape(HEIGHT, fine, WIDTH, fine).mean(axis=(1, 3))
    np.testing.assert_array_equal(drawn[covered == 0], frame[covered == 0])
    # Over white and over black: what differs is what the body leaves uncovered.
    white, black = (render_mesh(np.full_like(frame, c), vertices, faces, FOCAL, alpha=1.0) for c in (255, 0))
    coverage = 1.0 - (white.astype(float) - black).mean(axis=-1) / 255.0
    assert coverage.sum() == pytest.approx(covered.sum(), rel=0.02)
    assert np.abs(coverage - covered).max() < 0.5  # two samples a side against eight
    assert ((coverage > 0.1) & (coverage < 0.9)).sum() > 50  # the edges are soft


def test_opacity_mixes_the_frame_and_the_body(body, vertices):
    faces = np.asarray(body.faces)
    frame = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    full, half, none = (
        render_mesh(frame, vertices, faces, FOCAL, alpha=a).astype(int) for a in (1.0, 0.5, 0.0)
    )
    np.testing.assert_array_equal(none, frame)
    np.testing.assert_allclose(half, (full + frame) / 2, atol=1.0)


def test_what_looks_at_the_light_is_brighter():
    step = np.array(
        [[-1.0, -1, 3], [-1, 1, 3], [0, 1, 3], [0, -1, 3], [0, -1, 3], [0, 1, 3], [1, 1, 7], [1, -1, 7]]
    )
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    drawn = render_mesh(
        np.zeros((100, 100, 3), np.uint8), step, faces, 100.0, color=(200, 100, 50), alpha=1.0
    )
    facing, turned = drawn[50, 35].astype(float), drawn[50, 53].astype(float)
    assert facing[0] > 1.5 * turned[0] > 0
    np.testing.assert_allclose(facing / facing[0], [1, 0.5, 0.25], atol=0.02)


def test_a_body_that_is_not_in_view_leaves_the_frame_as_it_was(body, vertices):
    frame, faces = np.full((HEIGHT, WIDTH, 3), 60, np.uint8), np.asarray(body.faces)
    for shift in ([0, 0, -10], [30, 0, 0], [0, 0, -3.5]):
        drawn = render_mesh(frame, vertices + shift, faces, FOCAL)
        assert drawn.shape == frame.shape
        if shift != [0, 0, -3.5]:  # the last one stands in the camera: anything but an error
            np.testing.assert_array_equal(drawn, frame)


def test_the_silhouette_tints_the_area_and_draws_its_outline(body, vertices):
    frame = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    drawn = render_silhouette(frame, vertices, np.asarray(body.faces), FOCAL, color=(255, 0, 0), alpha=0.5)
    np.testing.assert_array_equal(drawn[45, 60], [178, 50, 50])  # the chest is tinted by half
    np.testing.assert_array_equal(drawn[:, :10], frame[:, :10])
    outline = (np.abs(drawn - np.array([255, 0, 0])) < 60).all(axis=-1)
    assert 100 < outline.sum() < 1000


def test_the_skeleton_shows_the_sides_in_their_colours(posed):
    frame = np.zeros((400, 400, 3), np.uint8)
    drawn = render_skeleton(frame, posed[1], 500.0)
    left, right = ((drawn == color).all(axis=-1) for color in (draw.LEFT, draw.RIGHT))
    assert left.sum() == pytest.approx(right.sum(), rel=0.1) and left.sum() > 500
    # The body faces the camera: its left is at the right of the picture.
    assert np.flatnonzero(left.any(axis=0)).min() > 195 and np.flatnonzero(right.any(axis=0)).max() < 205
    guess = render_skeleton(frame, posed[1], 500.0, seen=False)
    assert guess.any() and (np.ptp(guess.astype(int), axis=-1) == 0).all()
    behind = render_skeleton(frame, posed[1] - [0, 0, 10], 500.0)
    assert not behind.any()


def test_the_colour_of_flow_is_its_direction_and_saturation_its_speed():
    flow = np.array([[0, 0], [5, 0], [-10, 0], [20, 0], [0, 10]], np.float32)
    colors = draw.flow_colors(flow, fastest=10.0)
    want = [[255, 255, 255], [255, 127.5, 127.5], [0, 255, 255], [255, 0, 0], [127.5, 255, 0]]
    np.testing.assert_allclose(colors, want, atol=0.5)
    wheel = draw.flow_wheel(40)
    assert wheel.shape == (40, 40, 4) and wheel[20, 20, 3] == 255 and wheel[0, 0, 3] == 0


def test_labels_are_light_on_dark_and_are_cut_at_the_edge():
    label = draw.label("frame 12, 0.40 s", 20)
    assert 20 < label.shape[0] < 50 and label[..., 0].max() == 255
    image = np.full((60, 80, 3), 255, np.uint8)
    draw.paste(image, label, 40, 40)
    assert (image[:40] == 255).all() and image[45:, 45:].min() < 120
