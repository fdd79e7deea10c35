"""Z-buffer: the nearest face at each pixel."""

import numpy as np
import pytest

from hpof_jax.geometry import zbuffer

SIZE = (120, 160)
FOCAL = 150.0


def uv_sphere(rings=24, sectors=32):
    """A closed unit sphere, faces counter-clockwise from outside; every face is planar between its vertices."""
    polar, around = np.arange(1, rings) * np.pi / rings, np.arange(sectors) * 2 * np.pi / sectors
    grid = np.stack(
        [
            np.outer(np.sin(polar), np.cos(around)),
            np.outer(np.sin(polar), np.sin(around)),
            np.outer(np.cos(polar), np.ones(sectors)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    vertices = np.concatenate([grid, [[0, 0, 1], [0, 0, -1]]])
    north, south, faces = len(grid), len(grid) + 1, []
    for s in range(sectors):
        e = (s + 1) % sectors
        faces.append((north, s, e))
        faces.append((south, (rings - 2) * sectors + e, (rings - 2) * sectors + s))
        for r in range(rings - 2):
            a, b = r * sectors + s, r * sectors + e
            c, d = a + sectors, b + sectors
            faces += [(a, c, d), (a, d, b)]
    return vertices, np.array(faces)


def draw(vertices, faces, focal=FOCAL, size=SIZE):
    points = zbuffer.project(vertices, focal, size)
    return zbuffer.rasterize(points, vertices[:, 2], faces, size)


def test_a_face_covers_exactly_the_pixel_centres_inside_it():
    points = np.array([[10.2, 5.1], [20.7, 70.3], [90.4, 33.9]])
    buffer = zbuffer.rasterize(points, np.ones(3), np.array([[0, 1, 2]]), SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    inside = np.ones(SIZE, bool)
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        inside &= (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) < 0
    np.testing.assert_array_equal(buffer.mask, inside)
    assert inside.sum() > 1000


def test_the_back_of_a_face_is_not_drawn():
    points = np.array([[10.2, 5.1], [20.7, 70.3], [90.4, 33.9]])
    assert not zbuffer.rasterize(points, np.ones(3), np.array([[0, 2, 1]]), SIZE).mask.any()


def test_a_sphere_covers_its_convex_outline_without_holes():
    from scipy.spatial import ConvexHull

    vertices, faces = uv_sphere()
    vertices = vertices * 0.5 + [0.2, -0.1, 2.0]
    buffer = draw(vertices, faces)
    hull = ConvexHull(zbuffer.project(vertices, FOCAL, SIZE)).volume  # of a plane figure: its area
    assert buffer.mask.sum() == pytest.approx(hull, rel=0.01)
    for line in buffer.mask[buffer.mask.any(axis=1)]:
        assert np.all(np.diff(np.flatnonzero(line)) == 1)


def test_depth_is_that_of_the_plane_seen():
    vertices = np.array([[-3.0, -3, 2], [-3, 3, 4], [3, 3, 4], [3, -3, 2]])  # z = 3 + y / 3
    buffer = draw(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    ray_y = (np.arange(SIZE[0]) + 0.5 - SIZE[0] / 2) / FOCAL
    expected = np.broadcast_to((3.0 / (1.0 - ray_y / 3.0))[:, None], SIZE)
    assert buffer.mask.mean() > 0.9
    np.testing.assert_allclose(buffer.depth[buffer.mask], expected[buffer.mask], rtol=1e-5)
    assert np.isinf(buffer.depth[~buffer.mask]).all()


def test_the_nearest_surface_wins_whatever_the_order():
    vertices, faces = uv_sphere()
    near, far = vertices * 0.2 + [0, 0, 1.5], vertices * 0.6 + [0, 0, 3.0]
    both = np.concatenate([near, far])
    for order in (np.arange(2 * len(faces)), np.arange(2 * len(faces))[::-1]):
        joined = np.concatenate([faces, faces + len(near)])[order]
        buffer = draw(both, joined)
        alone = draw(near, faces).mask
        from_near = joined[np.maximum(buffer.face, 0)].max(axis=-1) < len(near)
        np.testing.assert_array_equal(from_near & buffer.mask, alone)
        assert buffer.mask.sum() > 1.5 * alone.sum()


def test_nothing_behind_or_beside_the_camera_is_drawn():
    vertices, faces = uv_sphere()
    assert not draw(vertices * 0.5 + [0, 0, -2.0], faces).mask.any()
    assert not draw(vertices * 0.5 + [50.0, 0, 2.0], faces).mask.any()
    # Partly behind the camera: what is left stays inside the picture and in front of the camera.
    buffer = draw(vertices * [0.05, 0.05, 2.0] + [0.3, 0, 0.5], faces)
    assert (buffer.depth[buffer.mask] >= zbuffer.NEAR).all()


def test_depth_of_faces_seen_edge_on_stays_in_bounds():
    vertices, faces = uv_sphere(60, 80)
    vertices = vertices * 0.5 + [0, 0, 2.0]
    depth = draw(vertices, faces, focal=40.0).depth
    seen = depth[np.isfinite(depth)]
    assert len(seen) > 200
    assert seen.min() > 1.499 and seen.max() < 2.0
    # A vertex in the camera's own plane divides nothing by zero.
    assert not draw(vertices * [1, 1, 0.0], faces).mask.any()


def test_a_face_larger_than_the_picture_fills_it():
    vertices = np.array([[-1e4, -1e4, 2.0], [0, 3e4, 2.0], [1e4, -1e4, 2.0]])
    assert draw(vertices, np.array([[0, 1, 2]])).mask.all()


def test_interpolation_reproduces_a_linear_function():
    vertices, faces = uv_sphere()
    vertices = vertices * 0.5 + [0, 0, 2.0]
    points = zbuffer.project(vertices, FOCAL, SIZE)
    buffer = zbuffer.rasterize(points, vertices[:, 2], faces, SIZE)
    picture = zbuffer.interpolate(buffer, points, faces, points @ [0.3, -0.7] + 5.0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    error = np.abs(picture - (0.3 * x - 0.7 * y + 5.0))[buffer.mask]
    assert (
        np.quantile(error, 0.99) < 1e-3 and error.max() < 0.5
    )  # slivers at the outline have their mean value
    assert (picture[~buffer.mask] == 0).all()


def test_vertices_are_visible_unless_turned_away_or_hidden():
    polar, around = np.meshgrid(
        np.linspace(0.1, np.pi - 0.1, 20), np.arange(30) * 2 * np.pi / 30, indexing="ij"
    )
    normals = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1)
    a = (np.arange(19)[:, None] * 30 + np.arange(30)).ravel()
    b = (np.arange(19)[:, None] * 30 + (np.arange(30) + 1) % 30).ravel()
    faces = np.concatenate([np.stack([a, b, a + 30], 1), np.stack([b, b + 30, a + 30], 1)])
    vertices = normals.reshape(-1, 3) + [0, 0, 4.0]
    to_camera = -(normals.reshape(-1, 3) * vertices).sum(-1)
    points = zbuffer.project(vertices, 200.0, (256, 256))
    visible = zbuffer.visible_vertices(points, vertices[:, 2], faces, (256, 256))
    sure = np.abs(to_camera) > 0.8  # at the outline, a pixel spans more depth than the tolerance
    np.testing.assert_array_equal(visible[sure], to_camera[sure] > 0)
    assert 0 < visible.sum() < len(visible)

    card = np.array([[128, 0], [128, 256], [256, 256], [256, 0.0]])  # hides the right half
    points, depth = np.concatenate([points, card]), np.append(vertices[:, 2], [2.0] * 4)
    faces = np.concatenate([faces, np.array([[0, 1, 2], [0, 2, 3]]) + len(vertices)])
    behind = zbuffer.visible_vertices(points, depth, faces, (256, 256))[: len(vertices)]
    np.testing.assert_array_equal(behind, visible & (points[: len(vertices), 0] < 128))
