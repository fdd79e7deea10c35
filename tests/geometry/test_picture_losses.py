import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from hpof_jax import load_body
from hpof_jax.body import forward
from hpof_jax.geometry import camera, picture_losses, zbuffer
from hpof_jax.geometry.flow import between_boxes, rendered_flow
from hpof_jax.geometry.zbuffer import visible_vertices
from hpof_jax.training.losses import masked_sum

RNG = np.random.default_rng(0)


def robust(difference, eps):
    return np.sqrt((difference**2).sum(-1) + eps**2) - eps


def test_silhouette_is_one_minus_the_soft_intersection_over_union():
    pred, target, known = RNG.uniform(size=(3, 2, 5, 8, 8)).astype(np.float32)
    both = (known * pred * target).sum((-1, -2))
    either = (known * (pred + target - pred * target)).sum((-1, -2))
    found = jax.jit(picture_losses.silhouette)(pred, target, known)
    assert found.shape == (2, 5)
    np.testing.assert_allclose(found, 1 - both / either, atol=1e-3)
    mask = np.round(target)
    np.testing.assert_allclose(picture_losses.silhouette(mask, mask, known), 0.0, atol=1e-6)
    np.testing.assert_allclose(picture_losses.silhouette(1 - mask, mask, known), 1.0, atol=1e-3)
    nothing = np.zeros_like(mask)
    value, gradient = jax.value_and_grad(lambda x: picture_losses.silhouette(x, nothing, nothing).sum())(
        nothing
    )
    assert value == 0.0 and np.isfinite(gradient).all()


SIDE = 64


@pytest.fixture(scope="module")
def moving():
    """Three frames of the free body: points in the boxes, visibility, and the exact flow between the boxes."""
    body = load_body()
    pose = np.zeros((3, 23, 3), np.float32)
    pose[:, 15, 2] = [-1.2, -1.0, -0.8]  # the left arm goes up
    pose[:, 0, 0] = [-0.2, -0.35, -0.5]  # and the left leg
    orient = np.broadcast_to(np.float32([np.pi, 0, 0]), (3, 3))  # facing the camera, y down
    vertices, _ = jax.jit(forward)(body, np.zeros(10, np.float32), orient, pose)
    vertices = np.asarray(vertices) + np.float32([[[0, 0, 4]], [[0.04, 0, 4]], [[0.08, -0.02, 4]]])
    points = np.stack([zbuffer.project(frame, 900.0, (720, 720)) for frame in vertices])
    low, high = points.min(1), points.max(1)
    box = np.concatenate([(low + high) / 2 + [[3, 0], [-2, 4], [0, 1]], [[480], [500], [490]]], axis=-1)
    points = np.float32((np.asarray(camera.to_box(points, box)) + 1) * (SIDE / 2))
    depth, still = vertices[..., 2], np.zeros((2, 2, SIDE, SIDE, 2), np.float32)
    ends = np.stack([box[:-1], box[1:]], axis=1)
    background = np.asarray(between_boxes(still, ends, ends[:, ::-1]))
    flow, valid, _ = rendered_flow(points, depth, np.asarray(body.faces), (SIDE, SIDE), background)
    drawn = [
        zbuffer.rasterize(p * 4, d, body.faces, (SIDE * 4, SIDE * 4)).mask for p, d in zip(points, depth)
    ]
    return {
        "points": points,
        "silhouettes": np.float32(drawn).reshape(3, SIDE, 4, SIDE, 4).mean((2, 4)),
        "flow": flow,
        "valid": valid,
        "visible": np.stack(
            [visible_vertices(p * 4, d, body.faces, (SIDE * 4, SIDE * 4)) for p, d in zip(points, depth)]
        ),
    }


def mean(terms):
    total, count = masked_sum(*terms)
    return total / jnp.maximum(count, 1.0)


def test_bodies_that_move_with_the_flow_cost_little(moving):
    silhouettes, points = moving["silhouettes"], moving["points"]
    on_body = np.stack([silhouettes[:-1], silhouettes[1:]], axis=1) > 0.5

    @jax.jit
    def both(silhouettes, points, flow):
        return (
            mean(picture_losses.flow_silhouette(silhouettes, flow, moving["valid"])),
            mean(picture_losses.vertex_flow(points, flow, moving["valid"] & on_body, moving["visible"])),
        )

    floor = both(silhouettes, points, moving["flow"])
    assert floor[0] < 0.015 and floor[1] < 0.001
    frozen = [np.broadcast_to(array[:1], array.shape) for array in (silhouettes, points)]
    jumped = np.roll(silhouettes, 3, axis=-1), points + np.float32([3, 0])
    jumping = [np.stack([a[0], b[1], a[2]]) for a, b in zip((silhouettes, points), jumped)]
    for wrong in (frozen, jumping):
        found = both(*wrong, moving["flow"])
        assert found[0] > 0.05 and found[1] > 0.4
    # An error that is the same in every frame costs nothing.
    assert both(*frozen, np.zeros_like(moving["flow"])) == (0.0, 0.0)


def test_flow_terms_are_the_written_formulas(moving):
    silhouettes, points = (
        moving["silhouettes"],
        moving["points"] + RNG.normal(size=(3, 1, 2)).astype(np.float32),
    )
    valid, visible = moving["valid"], moving["visible"]
    flow = moving["flow"] * valid[..., None]
    errors, counted = jax.jit(picture_losses.flow_silhouette)(silhouettes[None], flow[None], valid[None])
    assert errors.shape == (1, 2, 2, SIDE, SIDE)
    np.testing.assert_array_equal(counted[0], valid)
    moves, counts = jax.jit(picture_losses.vertex_flow)(points[None], flow[None], valid[None], visible[None])
    assert moves.shape == counts.shape == (1, 2, 2, points.shape[1])

    def look_up(image, x, y):
        return map_coordinates(image, [y, x], order=1, mode="grid-constant")

    row, column = np.indices((SIDE, SIDE))
    for pair, way, a, b in [(0, 0, 0, 1), (1, 1, 2, 1)]:
        dx, dy = np.moveaxis(flow[pair, way], -1, 0)
        expected = np.abs(look_up(silhouettes[b], column + dx, row + dy) - silhouettes[a])
        np.testing.assert_allclose(errors[0, pair, way], expected, atol=1e-4)
        x, y = points[a].T - 0.5
        all_valid = look_up(np.float32(valid[pair, way]), x, y) > 0.999
        np.testing.assert_array_equal(counts[0, pair, way], visible[a] & visible[b] & all_valid)
        found = np.stack([look_up(dx, x, y), look_up(dy, x, y)], axis=-1)
        np.testing.assert_allclose(moves[0, pair, way], robust(points[b] - points[a] - found, 2.0), atol=1e-4)


def test_invalid_flow_reaches_no_gradient(moving):
    flow = np.where(moving["valid"][..., None], moving["flow"], np.nan)

    def total(silhouettes, points):
        return mean(picture_losses.flow_silhouette(silhouettes, flow, moving["valid"])) + mean(
            picture_losses.vertex_flow(points, flow, moving["valid"], moving["visible"])
        )

    value, gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(
        moving["silhouettes"], moving["points"] + np.float32([[[0, 0]], [[2, 0]], [[0, 0]]])
    )
    assert np.isfinite(value) and all(np.isfinite(gradient).all() for gradient in gradients)
    to_silhouettes, to_points = gradients
    # The middle frame is 2 px too far to the right: the gradient moves its points back, along x only.
    visible = np.abs(to_points[1]).sum(-1) > 0
    assert visible.sum() > 1000 and (to_points[1][visible][:, 0] > 0).mean() > 0.95
    assert np.abs(to_silhouettes).max() > 0


def test_what_lies_in_the_frame():
    box = np.array([[[32.0, 32.0, 64.0], [0.0, 60.0, 64.0]]], np.float32)
    inside = picture_losses.in_frame(box, np.array([[64.0, 64.0]], np.float32), 4)
    np.testing.assert_array_equal(inside[0, 0], 1.0)
    np.testing.assert_array_equal(inside[0, 1], [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
