"""Optical flow: warp, forward-backward check, flow between boxes, exact flow of a mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from hpof_jax.geometry import camera, flow, zbuffer

RNG = np.random.default_rng(0)
warp = jax.jit(flow.warp)
IMAGE = RNG.uniform(size=(2, 3, 12, 16)).astype(np.float32)


def test_warp_moves_the_next_picture_back():
    later = np.zeros((8, 10), np.float32)
    later[4, 7] = 1.0
    now = warp(later, np.broadcast_to(np.float32([2.0, 1.0]), (8, 10, 2)))  # 2 px to the right, 1 down
    np.testing.assert_array_equal(np.argwhere(now), [[3, 5]])


@pytest.mark.parametrize("far", [0.0, 1.0, 5.0, 1e6])
def test_warp_equals_scipy_and_is_zero_outside(far):
    moves = (far * np.random.default_rng(1).normal(size=(2, 3, 12, 16, 2))).astype(np.float32)
    warped = warp(IMAGE, moves)
    y, x = np.indices((12, 16))
    for index in np.ndindex(2, 3):
        place = [y + moves[index][..., 1], x + moves[index][..., 0]]
        expected = map_coordinates(IMAGE[index], place, order=1, mode="grid-constant")
        np.testing.assert_allclose(warped[index], expected, atol=2e-6)


def test_warp_has_the_gradients_of_finite_differences():
    rng = np.random.default_rng(2)
    # Targets between the pixels' centres, where bilinear interpolation is smooth; some are outside.
    moves = (rng.integers(-9, 10, (12, 16, 2)) + rng.uniform(0.2, 0.8, (12, 16, 2))).astype(np.float32)
    weights = rng.normal(size=(12, 16)).astype(np.float32)

    def value(image, moves):
        return jnp.sum(weights * warp(image, moves))

    to_image, to_moves = jax.jit(jax.grad(value, argnums=(0, 1)))(IMAGE[0, 0], moves)
    other = rng.normal(size=(12, 16)).astype(np.float32)
    np.testing.assert_allclose(
        np.sum(to_image * other), value(other, moves), rtol=1e-4
    )  # linear in the image
    for axis in (0, 1):  # and in each component of the flow
        step = np.float32(0.1) * np.eye(2, dtype=np.float32)[axis]
        numerical = weights * (warp(IMAGE[0, 0], moves + step) - warp(IMAGE[0, 0], moves - step)) / 0.2
        np.testing.assert_allclose(to_moves[..., axis], numerical, atol=1e-4)


def test_samples_lie_at_the_pixels_centres():
    points = np.array([[0.5, 0.5], [3.0, 2.5], [15.5, 11.5], [-0.6, 4.0], [8.0, 12.5]], np.float32)
    image = IMAGE[0, 0]
    expected = [image[0, 0], (image[2, 2] + image[2, 3]) / 2, image[11, 15], 0, 0]
    np.testing.assert_allclose(flow.sample(image, points), expected, atol=1e-6)


def test_occluded_pixels_are_not_consistent():
    """A block moves 6 px to the right in front of a static background."""
    forward, backward = np.zeros((2, 20, 40, 2), np.float32)
    forward[5:15, 10:20, 0], backward[5:15, 16:26, 0] = 6.0, -6.0
    covered = np.zeros((20, 40), bool)
    covered[5:15, 20:26] = True
    check = jax.jit(flow.consistency)
    np.testing.assert_array_equal(check(forward, backward), ~covered)
    uncovered = np.zeros((20, 40), bool)
    uncovered[5:15, 10:16] = True
    np.testing.assert_array_equal(check(backward, forward), ~uncovered)


def test_the_bound_grows_with_the_motion_and_targets_outside_fail():
    error = (np.linspace(0, 3, 31, dtype=np.float32) + 0.013)[:, None, None]
    forward, backward = np.zeros((2, 31, 3, 30, 2), np.float32)
    forward[..., 0], backward[..., 0] = 8.0, error - 8.0
    agrees = error**2 < 0.01 * (64 + (error - 8) ** 2) + 0.5
    inside = np.arange(30) + 0.5 + 8 <= 30
    np.testing.assert_array_equal(
        flow.consistency(forward, backward), np.broadcast_to(agrees & inside, (31, 3, 30))
    )


def test_the_common_box_is_the_smallest_around_both():
    boxes = np.abs(np.random.default_rng(3).normal(size=(2, 50, 3))).astype(np.float32) * 100
    square = np.asarray(flow.common_box(*boxes))
    low, high = (square[:, :2] + side * square[:, 2:] / 2 for side in (-1, 1))
    lows, highs = (boxes[..., :2] + side * boxes[..., 2:] / 2 for side in (-1, 1))
    assert (low <= lows.min(0) + 1e-3).all() and (high >= highs.max(0) - 1e-3).all()
    np.testing.assert_allclose(square[:, 2], (highs.max(0) - lows.min(0)).max(-1), rtol=1e-5)


def test_flow_between_boxes_is_in_each_boxs_own_pixels():
    box, next_box = np.array([[300, 200, 128], [310, 190, 160]], np.float32)
    moves = RNG.normal(size=(64, 64, 2)).astype(np.float32) * 5
    centres = np.moveaxis(np.indices((64, 64)), 0, -1)[..., ::-1].reshape(-1, 2) + 0.5
    place = centres / 64 * box[2] + box[:2] - box[2] / 2
    arrival = (camera.to_box(place + moves.reshape(-1, 2), next_box) + 1) * 32
    found = flow.between_boxes(moves, box, next_box)
    np.testing.assert_allclose(found.reshape(-1, 2), arrival - centres, atol=1e-3)
    np.testing.assert_allclose(flow.between_boxes(moves, box, box), moves / 2, atol=1e-3)


SIZE = (40, 60)
FACES = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
DEPTH = np.repeat([1.0, 2.0], 4)


def to_next(points, later, size=SIZE, **options):
    """Flow and validity from the first of two pictures to the second."""
    found, valid, _ = flow.rendered_flow(
        np.stack([points, later]), np.stack([DEPTH, DEPTH]), FACES, size, **options
    )
    return found[0, 0], valid[0, 0]


def cards(left, top, far_left=10):
    """A near card of 12 x 10 px at (left, top) in front of a far one of 30 x 24 px."""
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], float)
    return np.concatenate([corners * [12, 10] + [left, top], corners * [30, 24] + [far_left, 6]])


def test_rendered_flow_is_exact_and_marks_occlusions():
    points, later = cards(15, 10), cards(20, 12, far_left=9)
    found, valid = to_next(points, later)
    near, far, covered, hidden = np.zeros((4, *SIZE), bool)
    near[10:20, 15:27] = True
    far[6:30, 10:40] = True
    far &= ~near
    covered[12:22, 21:33] = True  # by the near card, in the far card's pixels of the first picture
    hidden[6:30, 9] = True  # of the background, by the far card
    np.testing.assert_allclose(found[near], np.broadcast_to([5, 2], (near.sum(), 2)), atol=1e-4)
    np.testing.assert_allclose(found[far], np.broadcast_to([-1, 0], (far.sum(), 2)), atol=1e-4)
    assert not found[~near & ~far].any()
    np.testing.assert_array_equal(valid, ~(far & covered) & ~hidden)


def test_a_single_frame_has_a_mask_and_no_flow():
    found, valid, masks = flow.rendered_flow(cards(15, 10)[None], DEPTH[None], FACES, SIZE)
    assert found.shape == (0, 2, *SIZE, 2) and valid.shape == (0, 2, *SIZE) and masks.sum() > 10


def test_rendered_flow_of_a_clip_goes_both_ways():
    path = np.stack([cards(15 + 3 * t, 10, far_left=10 - t) for t in range(3)])
    found, valid, masks = flow.rendered_flow(path, np.stack([DEPTH] * 3), FACES, SIZE)
    assert found.shape == (2, 2, *SIZE, 2) and valid.shape == (2, 2, *SIZE)
    for pair in range(2):
        ways = (pair, pair + 1), (pair + 1, pair)
        for way, (here, there) in enumerate(ways):
            one = to_next(path[here], path[there])
            np.testing.assert_array_equal(found[pair, way], one[0])
            np.testing.assert_array_equal(valid[pair, way], one[1])
            np.testing.assert_array_equal(masks[here], zbuffer.rasterize(path[here], DEPTH, FACES, SIZE).mask)


def test_exact_flow_warps_the_next_mask_onto_the_first():
    first, then = cards(15.3, 10.2), cards(17.8, 11.6) + [0.7, 0]
    masks = [zbuffer.rasterize(points, DEPTH, FACES, SIZE).mask for points in (first, then)]
    found, valid = to_next(first, then)
    wrong = np.abs(np.asarray(warp(masks[1].astype(np.float32), found)) - masks[0]) * valid
    rim = wrong > 0
    assert rim.sum() < 150 and rim[8:28, 12:38].sum() == 0  # nothing inside
    still = np.abs(masks[1].astype(np.float32) - masks[0]) * valid
    assert wrong.sum() <= still.sum()


def test_points_that_leave_the_picture_or_turn_away_are_not_valid():
    points = cards(15, 10)
    found, valid = to_next(points, points + [45, 0])
    body = zbuffer.rasterize(points, DEPTH, FACES, SIZE).mask
    assert (found[body][:, 0] > 44).all() and not (valid & body)[:, 15:].any() and valid[6:30, 10:15].all()
    turned = points * [-1, 1] + [50, 0]  # both cards show their backs, which are not drawn
    valid = to_next(points, turned)[1]
    np.testing.assert_array_equal(valid, ~body)


def test_the_background_flows_between_crops_at_different_places():
    box, next_box = np.array([[30, 30, 64], [34, 30, 64]], np.float32)
    still = np.asarray(flow.between_boxes(np.zeros((64, 64, 2), np.float32), box, next_box))
    points = cards(15, 10)
    found, valid = to_next(points, points - [4, 0], (64, 64), background=still)
    np.testing.assert_allclose(found, np.broadcast_to([-4, 0], found.shape), atol=1e-4)
    assert valid[:, 4:].all() and not valid[:, :4].any()
