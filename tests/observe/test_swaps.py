import numpy as np
import pytest

from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, BLAZEPOSE_MIRROR
from hpof_jax.observe.swaps import ARMS, LEGS, undo_swaps

FRAMES = 120
EVERYBODY_SEEN = np.ones(FRAMES, bool)


def walk(frames=FRAMES, turns=0.0, seed=0):
    """Somebody walks across the picture, turning round `turns` times on the way; a little jitter."""
    height = {
        "ankle": 0.8,
        "heel": 0.85,
        "foot": 0.85,
        "knee": 0.4,
        "hip": 0.0,
        "shoulder": -0.5,
        "elbow": -0.2,
    }
    aside = {"shoulder": 0.18, "elbow": 0.22, "hip": 0.1, "knee": 0.1, "ankle": 0.1, "heel": 0.1, "foot": 0.1}
    reach = {"ankle": 0.4, "heel": 0.4, "foot": 0.4, "knee": 0.2, "hip": 0.0, "shoulder": 0.0, "elbow": -0.15}
    time = np.arange(frames)
    swing, facing = np.sin(time / 5), np.pi / 2 + 2 * np.pi * turns * time / frames  # from the side, at first
    body = np.zeros((frames, len(BLAZEPOSE_LANDMARKS), 3))
    for index, name in enumerate(BLAZEPOSE_LANDMARKS):
        side, _, part = name.partition("_")
        part, hand = part.split("_")[0], (-0.05, 0.22, -0.3) if index >= 15 else (-0.7, 0.06, 0.0)
        sign = {"left": 1, "right": -1}.get(side, 0)
        up, out, far = height.get(part, hand[0]), aside.get(part, hand[1]), reach.get(part, hand[2])
        forward = sign * far * swing + 0.1 * (index in (0, 31, 32))
        across = np.full(frames, sign * out)
        body[:, index] = np.stack(
            [
                across * np.cos(facing) + forward * np.sin(facing),
                np.full(frames, up),
                across * np.sin(facing) - forward * np.cos(facing),
            ],
            axis=-1,
        )
    noise = np.random.default_rng(seed).normal(0, 0.005, (2, *body.shape))
    picture = (
        400 * (body + noise[0])[..., :2] + np.stack([300 + 4.0 * time, np.full(frames, 500.0)], -1)[:, None]
    )
    visibility = np.full((*picture.shape[:2], 1), 0.9)
    return np.concatenate([picture, visibility], -1).astype(np.float32), (body + noise[1]).astype(np.float32)


def exchange(points, frames, landmarks):
    points = points.copy()
    points[frames, landmarks] = points[frames, BLAZEPOSE_MIRROR[landmarks]]
    return points


BOTH = np.arange(len(BLAZEPOSE_LANDMARKS))


@pytest.mark.parametrize(
    "landmarks, groups", [(LEGS, [True, False]), (np.arange(23), [False, True]), (BOTH, [True, True])]
)
@pytest.mark.parametrize("start, stop", [(40, 60), (70, 71), (0, 25), (100, FRAMES)])
def test_a_swap_is_found_and_undone_exactly(landmarks, groups, start, stop):
    points_2d, points_3d = walk()
    where = np.s_[np.arange(start, stop)[:, None]]
    found = undo_swaps(
        exchange(points_2d, where, landmarks), exchange(points_3d, where, landmarks), EVERYBODY_SEEN
    )
    np.testing.assert_array_equal(found[0], points_2d)
    np.testing.assert_array_equal(found[1], points_3d)
    expected = np.zeros((FRAMES, 2), bool)
    expected[start:stop] = groups
    np.testing.assert_array_equal(found[2], expected)


@pytest.mark.parametrize("turns", [0.0, 1.0, -2.0])
def test_crossing_legs_and_turning_round_are_no_swaps(turns):
    points_2d, points_3d = walk(turns=turns)
    left, right = (BLAZEPOSE_LANDMARKS.index(name) for name in ("left_ankle", "right_ankle"))
    order = np.sign(points_2d[:, left, 0] - points_2d[:, right, 0])
    assert np.count_nonzero(np.diff(order)) >= 3  # the legs do cross
    for got, given in zip(undo_swaps(points_2d, points_3d, EVERYBODY_SEEN), (points_2d, points_3d, False)):
        np.testing.assert_array_equal(got, np.broadcast_to(given, got.shape))


def test_of_two_stretches_the_longer_one_is_right():
    points_2d, points_3d = walk()
    where = np.arange(30, FRAMES)[:, None]
    wrong_2d, wrong_3d = (exchange(points, where, BOTH) for points in (points_2d, points_3d))
    _, _, swapped = undo_swaps(wrong_2d, wrong_3d, EVERYBODY_SEEN)
    np.testing.assert_array_equal(swapped, np.repeat(np.arange(FRAMES)[:, None] < 30, 2, axis=1))


def test_nothing_is_compared_across_a_cut():
    first, second = walk(), walk(seed=1)
    points = [np.concatenate([one[:60], two[60:]]) for one, two in zip(first, second)]
    cut = np.arange(60, FRAMES)[:, None]
    swapped_there = [exchange(array, cut, BOTH) for array in points]  # all of the second shot
    alone = [
        undo_swaps(*(a[part] for a in swapped_there), EVERYBODY_SEEN[part])[2]
        for part in (slice(60), slice(60, None))
    ]
    _, _, swapped = undo_swaps(*swapped_there, EVERYBODY_SEEN, np.array([0, 60]))
    np.testing.assert_array_equal(swapped, np.concatenate(alone))
    assert not swapped.any() and undo_swaps(*swapped_there, EVERYBODY_SEEN)[2].any()


def test_unseen_frames_stay_and_do_not_hide_a_swap():
    points_2d, points_3d = walk()
    seen = EVERYBODY_SEEN.copy()
    seen[[0, 1, 38, 39, 40, 41, 90]] = False
    points_2d, points_3d = (np.where(seen[:, None, None], points, 0) for points in (points_2d, points_3d))
    where = np.arange(40, 60)[:, None]
    found = undo_swaps(exchange(points_2d, where, BOTH), exchange(points_3d, where, BOTH), seen)
    np.testing.assert_array_equal(found[0], points_2d)
    np.testing.assert_array_equal(found[1], points_3d)
    np.testing.assert_array_equal(np.flatnonzero(found[2][:, 0]), np.arange(42, 60))


@pytest.mark.parametrize("frames, seen", [(1, True), (1, False), (9, False)])
def test_nothing_to_compare_with(frames, seen):
    points_2d, points_3d = (points * seen for points in walk(frames))
    found = undo_swaps(points_2d, points_3d, np.full(frames, seen))
    np.testing.assert_array_equal(found[0], points_2d)
    np.testing.assert_array_equal(found[1], points_3d)
    assert found[2].shape == (frames, 2) and not found[2].any()


def test_landmarks_all_in_one_place_give_no_nan():
    points = np.zeros((FRAMES, 33, 3), np.float32)
    with np.errstate(all="raise"):
        found = undo_swaps(points, points, EVERYBODY_SEEN)
    assert all(np.isfinite(array).all() for array in found) and not found[2].any()
    assert found[0].dtype == found[1].dtype == np.float32


def test_the_face_goes_with_the_arms():
    points_2d, points_3d = walk()
    where = np.arange(40, 60)[:, None]
    wrong = [exchange(points, where, ARMS) for points in (points_2d, points_3d)]
    found = undo_swaps(*wrong, EVERYBODY_SEEN)
    np.testing.assert_array_equal(found[0][:, ARMS], points_2d[:, ARMS])
    np.testing.assert_array_equal(found[0][40:60, 7], points_2d[40:60, 8])


def test_arms_lost_where_a_swap_ends_do_not_hide_its_end():
    points_2d, points_3d = walk()
    where = np.arange(40, 60)[:, None]
    wrong_2d, wrong_3d = (exchange(points, where, BOTH) for points in (points_2d, points_3d))
    wrong_2d[60, ARMS, :2] = points_2d[60, 0, :2]
    wrong_3d[60, ARMS] = points_3d[60, 0]
    _, _, swapped = undo_swaps(wrong_2d, wrong_3d, EVERYBODY_SEEN)
    np.testing.assert_array_equal(swapped[:, 0], swapped[:, 1])
    np.testing.assert_array_equal(np.flatnonzero(swapped[:, 0]), np.arange(40, 60))


def test_all_swapped_is_likelier_than_legs_and_arms_in_turn():
    points = walk()
    where = np.arange(40, 82)[:, None]
    wrong = [exchange(array, where, BOTH) for array in points]
    share = np.clip((np.arange(30, 50) - 30) / 20, 0, 1)[:, None, None]
    for array, true in zip(wrong, points):  # the arms change places so slowly that they could have moved so
        array[30:50, ARMS] = (1 - share) * true[30:50, ARMS] + share * true[30:50, BLAZEPOSE_MIRROR[ARMS]]
    _, _, swapped = undo_swaps(*wrong, EVERYBODY_SEEN)
    np.testing.assert_array_equal(np.flatnonzero(swapped[:, 0]), where[:, 0])
    assert swapped[50:82].all() and not swapped[82:].any()


def test_the_groups_hold_both_sides_of_every_limb():
    for group in (LEGS, ARMS):
        assert set(BLAZEPOSE_MIRROR[group]) == set(group)
