import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body import forward, load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.geometry import camera, zbuffer
from hpof_jax.geometry.visibility import front_facing, in_front, vertex_normals

CORNERS = np.array(
    [[10.2, 5.1], [20.7, 70.3], [90.4, 33.9]]
)  # counter-clockwise in the picture, where y is down


def test_a_triangle_is_seen_from_its_front():
    for xp in (np, jnp):
        a, b, c = xp.asarray(CORNERS)
        assert front_facing(a, b, c) and front_facing(b, c, a)
        assert not front_facing(a, c, b)
        assert not front_facing(a, b, (a + b) / 2 * xp.nan)
        assert not front_facing(a, a, b)  # edge-on


def test_vertex_normals_point_outwards_and_have_length_one():
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 5, 5]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    normals = vertex_normals(corners, faces)
    np.testing.assert_allclose(normals[0], -np.ones(3) / np.sqrt(3))  # three faces of the same area
    np.testing.assert_allclose(np.linalg.norm(normals[:4], axis=-1), 1)
    assert not normals[4].any()  # no face has it


def test_vertices_in_front_are_nearly_those_that_the_z_buffer_shows():
    """A body with its arms crossed before its trunk."""
    body = decimate(load_body())
    pose = np.zeros((23, 3), np.float32)
    pose[15], pose[16] = [0, -1.4, -0.6], [0, 1.4, 0.6]
    vertices, _ = jax.jit(forward)(
        body, np.zeros(10), np.float32([np.pi, 0, 0]), pose, np.float32([0, 0.2, 3])
    )
    points = np.asarray(jax.jit(camera.project)(vertices, 90.0, np.array([64, 64])))
    depth, faces = np.asarray(vertices[:, 2]), np.asarray(body.faces)
    exact = zbuffer.visible_vertices(points * 4, depth, faces, (256, 256))
    in_front_ = jax.jit(in_front, static_argnums=3)
    rough = np.asarray(in_front_(points[None], depth[None], faces, 64))[0]
    assert 0.3 < exact.mean() < 0.6 and (rough == exact).mean() > 0.85
    assert exact[rough].mean() > 0.8
