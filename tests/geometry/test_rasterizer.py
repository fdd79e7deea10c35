import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.rasterizer import all_pairs, random_points
from hpof_jax import load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.geometry import zbuffer
from hpof_jax.geometry.rasterizer import soft_silhouette

pytestmark = pytest.mark.slow

UP = np.array([[0, 2, 1]])  # front-facing if the corners are clockwise in the picture, where y is down


def silhouette(points, faces, size, sigma=0.0):
    return np.asarray(soft_silhouette(np.float32(points), faces, size, sigma))


def test_a_pixels_value_is_its_covered_share():
    square = np.array([[1.25, 0.5], [4.0, 0.5], [4.0, 2.0], [1.25, 2.0]])
    found = silhouette(square, np.array([[0, 3, 2], [0, 2, 1]]), (3, 5))
    np.testing.assert_allclose(found, np.outer([0.5, 1, 0], [0, 0.75, 1, 1, 0]), atol=1e-6)


def reference(points, faces, size, sigma):
    """All pairs in float64, on a larger picture if there is blur."""
    rim = int(np.ceil(3 * sigma))
    height, width = size[0] + 2 * rim, size[1] + 2 * rim
    covered = jnp.minimum(all_pairs(points + rim, faces, (height, width)), 1.0)
    if not rim:
        return covered
    taps = np.exp(-0.5 * (np.arange(-rim, rim + 1) / sigma) ** 2)
    kernel = jnp.asarray(np.outer(taps, taps) / taps.sum() ** 2)
    return jax.scipy.signal.convolve2d(covered, kernel, mode="valid")


@functools.cache
def coarse_body():
    return decimate(load_body(), 400)


@pytest.mark.parametrize(
    "seed, size, sigma, scale",
    [(0, (24, 24), 0.0, 1.0), (1, (20, 31), 0.5, 1.7), (2, (33, 16), 1.0, 0.4), (3, (12, 12), 0.3, 4.0)],
)
def test_it_equals_all_pairs_of_pixel_and_face_in_double_precision(seed, size, sigma, scale):
    body, rng = coarse_body(), np.random.default_rng(seed)
    side = min(size)
    points = random_points(body, 1, side, seed)[0]
    points = np.float32(side / 2 + scale * (points - side / 2) + rng.normal(0, 0.1 * side, 2))
    weights = rng.normal(size=size)
    faces = np.asarray(body.faces)

    def picture_and_gradient(draw, points, weights):
        def total(points):
            picture = draw(points, faces, size, sigma)
            return jnp.sum(weights * picture), picture

        gradient, picture = jax.jit(jax.grad(total, has_aux=True))(points)
        return np.asarray(picture), np.asarray(gradient)

    value, gradient = picture_and_gradient(soft_silhouette, points, np.float32(weights))
    with jax.enable_x64(True):
        expected, expected_gradient = picture_and_gradient(reference, np.float64(points), weights)
    assert np.abs(value - expected).max() < 1e-5
    assert np.linalg.norm(gradient - expected_gradient) < 1e-4 * np.linalg.norm(expected_gradient)


def test_the_gradient_agrees_with_finite_differences():
    body, size = coarse_body(), (18, 22)
    points, faces = random_points(body, 2, 18, 5), np.asarray(body.faces)
    weights = np.random.default_rng(0).normal(size=(2, *size))
    with jax.enable_x64(True):
        total = jax.jit(lambda p: jnp.sum(weights * soft_silhouette(p, faces, size, 0.7)))
        points = jnp.asarray(points, jnp.float64)
        gradient = jax.jit(jax.grad(total))(points)
        for seed in range(5):
            step = 1e-6 * np.random.default_rng(seed).normal(size=points.shape)
            slope = total(points + step) - total(points - step)
            np.testing.assert_allclose(2 * np.sum(gradient * step), slope, rtol=1e-4)


@pytest.mark.parametrize("side", [64, 128, 224])
def test_the_silhouette_above_one_half_has_the_z_buffers_area(side):
    body = load_body()
    faces = np.asarray(body.faces)
    points = random_points(body, 2, side, seed=7)
    hard = sum(zbuffer.rasterize(p, np.ones(len(p)), faces, (side, side)).mask.sum() for p in points)
    soft = np.sum(np.asarray(soft_silhouette(points, faces, (side, side))) > 0.5)
    assert abs(soft / hard - 1) < 0.03


@jax.jit
def of_two_triangles(corners):
    """The silhouette of corners (4, 2) in 6 x 9 pixels, and the gradient of one with blur."""
    faces = np.array([[0, 2, 1], [0, 3, 2]])
    blurred = jax.grad(lambda corners: soft_silhouette(corners, faces, (6, 9), 0.5).sum())
    return soft_silhouette(corners, faces, (6, 9), 0.0), blurred(corners)


@pytest.mark.parametrize(
    "corners, covered",
    [
        ([(-1e4, -1e4), (3e4, -1e4), (-1e4, 3e4)], np.ones((6, 9))),  # larger than the picture
        ([(-50, -50), (4.5, -50), (4.5, 50), (-50, 50)], np.tile([1, 1, 1, 1, 0.5, 0, 0, 0, 0], (6, 1))),
        ([(4.5, -50), (50, -50), (50, 50), (4.5, 50)], np.tile([0, 0, 0, 0, 0.5, 1, 1, 1, 1], (6, 1))),
        ([(-9, 2), (90, 2), (90, 3.5), (-9, 3.5)], np.tile([[0], [0], [1], [0.5], [0], [0]], (1, 9))),
        ([(20, 0), (30, 0), (30, 6), (20, 6)], np.zeros((6, 9))),  # beside, above, below, on the left
        ([(0, -9), (9, -9), (9, -1), (0, -1)], np.zeros((6, 9))),
        ([(0, 7), (9, 7), (9, 9), (0, 9)], np.zeros((6, 9))),
        ([(-9, 0), (-1, 0), (-1, 6), (-9, 6)], np.zeros((6, 9))),
        ([(1, 1), (8, 5), (1, 1)], np.zeros((6, 9))),  # without area
        ([(3, 3), (3, 3), (3, 3)], np.zeros((6, 9))),
        ([(1, 1), (8, 1), (np.nan, 5)], np.zeros((6, 9))),  # behind the camera
        ([(1, 1), (8, 1), (4, np.inf)], np.zeros((6, 9))),
    ],
)
def test_faces_of_any_size_and_place(corners, covered):
    corners = [*corners, *corners[-1:]][:4]  # for a triangle, the second face has no area
    found, gradient = of_two_triangles(np.float32(corners))
    np.testing.assert_allclose(found, covered, atol=1e-5)
    assert np.isfinite(gradient).all()


def test_layers_are_not_counted_twice():
    triangle = np.array([(1, 1), (7, 1), (1, 5.0)])
    once = silhouette(triangle, UP, (6, 9))
    twice = silhouette(np.concatenate([triangle, triangle]), np.concatenate([UP, UP + 3]), (6, 9))
    np.testing.assert_allclose(twice, np.minimum(2 * once, 1), atol=1e-6)


def test_back_faces_are_not_drawn_and_an_inverted_closed_mesh_looks_alike():
    triangle = np.array([(1, 1), (7, 1), (1, 5.0)])
    assert not silhouette(triangle, UP[:, ::-1], (6, 9)).any()
    body = coarse_body()
    points, faces = random_points(body, 1, 24)[0], np.asarray(body.faces)
    np.testing.assert_allclose(
        silhouette(points, faces[:, ::-1], (24, 24)), silhouette(points, faces, (24, 24)), atol=0.3
    )


def test_edges_of_three_faces():
    points = np.array([(1, 1), (1, 5), (4, 2), (7, 4), (5, 1.0)])
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    one_by_one = sum(silhouette(points, face[None], (6, 9)) for face in faces)
    np.testing.assert_allclose(silhouette(points, faces, (6, 9)), np.minimum(one_by_one, 1), atol=1e-6)


def test_any_leading_axes_transformations_and_traced_faces():
    body = coarse_body()
    points, faces, size = random_points(body, 6, 16).reshape(2, 3, -1, 2), np.asarray(body.faces), (16, 20)

    def draw(points, faces):
        picture = soft_silhouette(points, faces, size)
        return jnp.sum(picture**2), picture

    both = jax.grad(draw, has_aux=True)
    slope, expected = both(points, faces)
    assert expected.shape == (2, 3, 16, 20) and expected.dtype == jnp.float32
    for found_slope, found in (
        jax.jit(lambda points: both(points, faces))(points[1, 2]),
        jax.tree.map(lambda x: x[2], jax.jit(jax.vmap(lambda points: both(points, faces)))(points[1])),
        jax.tree.map(lambda x: x[1, 2], jax.jit(both)(points, faces)),  # traced faces
    ):
        np.testing.assert_allclose(found, expected[1, 2], atol=1e-6)
        np.testing.assert_allclose(found_slope, slope[1, 2], atol=1e-5)
    assert soft_silhouette(jnp.asarray(points, jnp.bfloat16), faces, size).dtype == jnp.float32
