import cv2
import numpy as np
import pytest

from hpof_jax.observe.background import BackgroundTracker

NOBODY: list[np.ndarray] = []


@pytest.fixture(scope="module")
def wall():
    noise = np.random.default_rng(0).uniform(0, 255, (90, 160)).astype(np.float32)
    return cv2.cvtColor(cv2.resize(noise, (960, 540)).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def moved(picture, x, y):
    return cv2.warpAffine(
        picture, np.float32([[1, 0, x], [0, 1, y]]), picture.shape[1::-1], borderMode=cv2.BORDER_WRAP
    )


def test_points_keep_their_numbers_and_move_with_the_background(wall):
    tracker = BackgroundTracker()
    for number in range(4):
        tracker(moved(wall, 3 * number, -2 * number), NOBODY)
    background = tracker.background()

    assert len(background) == 4
    (ids, points), (last_ids, last_points) = background.frame(0), background.frame(3)
    _, rows, last_rows = np.intersect1d(ids, last_ids, return_indices=True)
    assert len(rows) > 30
    shift = last_points[last_rows] - points[rows]
    np.testing.assert_allclose(np.median(shift, axis=0), (9, -6), atol=0.1)
    assert np.mean(np.abs(shift - (9, -6)).max(axis=1) < 0.5) > 0.9


def test_no_point_lies_on_a_person(wall):
    person = np.zeros((33, 3), np.float32)
    person[:, 0] = np.linspace(300, 400, 33)
    person[:, 1] = np.linspace(100, 500, 33)
    tracker = BackgroundTracker()
    for number in range(3):
        tracker(wall, [person + (8 * number, 0, 0)])
        _, points = tracker.background().frame(number)
        distance = np.linalg.norm(points[:, None] - (person + (8 * number, 0, 0))[None, :, :2], axis=-1)
        assert len(points) > 30
        assert distance.min() > 30


def test_no_point_is_followed_across_a_cut(wall):
    tracker = BackgroundTracker()
    for cut in (False, False, True):
        tracker(wall, NOBODY, cut)
    background = tracker.background()
    assert np.intersect1d(background.frame(0)[0], background.frame(1)[0]).size
    assert not np.intersect1d(background.frame(1)[0], background.frame(2)[0]).size


def test_a_picture_without_corners_has_no_points():
    tracker = BackgroundTracker()
    for _ in range(3):
        tracker(np.full((120, 160, 3), 90, np.uint8), NOBODY)
    assert tracker.background().points.shape == (0, 2)


def test_nothing_observed_is_empty():
    assert len(BackgroundTracker().background()) == 0
