import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.observe.background import Background
from hpof_jax.observe.camera_motion import solve, static

FOCAL_LENGTH, IMAGE_SIZE = 800.0, np.array([540, 960])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def seen(rotations, rng, noise=0.3, wrong=0.0, blind=(), shots=(0,)):
    """What a camera at a fixed place with these rotations (T, 3, 3) sees of points all around it."""
    directions = rng.normal(size=(4000, 3))
    points, ids, counts = [], [], []
    shift = rng.normal(0, 30, (len(directions), 2)) * (rng.random(len(directions)) < wrong)[:, None]
    for number, rotation in enumerate(rotations):
        there = directions @ rotation.T
        pixels = there[:, :2] / np.maximum(there[:, 2:], 1e-3) * FOCAL_LENGTH + IMAGE_SIZE[::-1] / 2
        inside = (there[:, 2] > 0.1) & np.all((pixels > 0) & (pixels < IMAGE_SIZE[::-1]), axis=1)
        rows = np.flatnonzero(inside & (number not in blind))[:120]
        points.append((pixels + number * shift)[rows] + rng.normal(0, noise, (len(rows), 2)))
        # After a blind frame, points are new ones.
        ids.append(rows + 10000 * sum(b < number for b in blind))
        counts.append(len(rows))
    starts = np.cumsum([0, *counts])
    return Background(
        np.concatenate(points).astype(np.float32),
        np.concatenate(ids).astype(np.int32),
        starts,
        np.array(shots),
    )


def degrees(a, b):
    return np.degrees(Rotation.from_matrix(a @ np.swapaxes(b, -1, -2)).magnitude())


def pan(frames, degrees_a_frame=0.6):
    yaw = np.arange(frames) * degrees_a_frame
    shake = np.sin(np.arange(frames)[:, None] / (3.0, 4.0)) * 0.4
    return Rotation.from_euler("yxz", np.column_stack([yaw, shake]), degrees=True).as_matrix()


def test_a_pan_of_half_a_turn_is_found_to_a_fraction_of_a_degree(rng):
    rotations = pan(300)
    found = solve(seen(rotations, rng), FOCAL_LENGTH, IMAGE_SIZE, 30)
    assert found.kinds == ("rotating",)
    assert found.solved.all()
    assert degrees(found.rotations, rotations @ rotations[0].T).max() < 0.5


def test_a_tripod_is_exactly_the_identity(rng):
    still = np.tile(np.eye(3), (60, 1, 1))
    found = solve(seen(still, rng, noise=0.2), FOCAL_LENGTH, IMAGE_SIZE, 30)
    assert found.kinds == ("static",)
    np.testing.assert_array_equal(found.rotations, still)


def test_a_tripod_stays_static_while_the_points_drift(rng):
    frames, count = 1200, 60
    drift = np.cumsum(rng.normal(0, 0.03, (frames, count, 2)), axis=0)
    points = rng.uniform(0, 1, (count, 2)) * IMAGE_SIZE[::-1] + drift
    ids = np.tile(np.arange(count, dtype=np.int32), frames)
    background = Background(
        points.reshape(-1, 2).astype(np.float32), ids, count * np.arange(frames + 1), np.array([0])
    )
    assert solve(background, FOCAL_LENGTH, IMAGE_SIZE, 30).kinds == ("static",)


def test_points_that_move_by_themselves_are_left_out(rng):
    rotations = pan(60)
    found = solve(seen(rotations, rng, wrong=0.4), FOCAL_LENGTH, IMAGE_SIZE, 30)
    assert found.kinds == ("rotating",)
    assert degrees(found.rotations, rotations @ rotations[0].T).max() < 0.4


def test_a_static_camera_stays_static_where_points_move_by_themselves(rng):
    still = np.tile(np.eye(3), (60, 1, 1))
    assert solve(seen(still, rng, noise=0.2, wrong=0.3), FOCAL_LENGTH, IMAGE_SIZE, 30).kinds == ("static",)


def test_a_short_gap_is_bridged_at_constant_speed(rng):
    rotations = Rotation.from_euler("y", 0.5 * np.arange(60)[:, None], degrees=True).as_matrix()
    found = solve(seen(rotations, rng, blind=(30, 31)), FOCAL_LENGTH, IMAGE_SIZE, 30)
    assert found.kinds == ("rotating",)
    assert np.flatnonzero(~found.solved).tolist() == [30, 31, 32]
    assert degrees(found.rotations, rotations).max() < 0.5


def test_after_a_long_gap_the_shot_is_unknown_and_a_sentence_says_why(rng):
    found = solve(seen(pan(60), rng, blind=range(20, 40)), FOCAL_LENGTH, IMAGE_SIZE, 30)
    assert found.kinds == ("unknown",)
    assert "cannot be followed in 21 frames" in found.reasons[0]
    assert not found.solved.any()
    np.testing.assert_array_equal(found.rotations, static(60).rotations)


def test_each_shot_begins_anew(rng):
    rotations = pan(60)
    shots = np.concatenate([rotations[:30], np.tile(np.eye(3), (30, 1, 1))])
    background = seen(shots, rng, noise=0.2, shots=(0, 30))
    background.ids[background.starts[30] :] += 5000
    found = solve(background, FOCAL_LENGTH, IMAGE_SIZE, 30)
    assert found.kinds == ("rotating", "static")
    np.testing.assert_array_equal(found.rotations[30:], np.tile(np.eye(3), (30, 1, 1)))

    later = found.part(10, 50)
    assert (later.shots, later.kinds) == ((0, 20), ("rotating", "static"))
    np.testing.assert_array_equal(later.rotations, found.rotations[10:50])
    assert found.part(35, 50).kinds == ("static",)


@pytest.mark.parametrize(("frames", "kind"), [(1, "static"), (5, "unknown")])
def test_no_points_at_all(frames, kind):
    nothing = Background(
        np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.zeros(frames + 1, int), np.array([0])
    )
    found = solve(nothing, FOCAL_LENGTH, IMAGE_SIZE, 30)
    assert len(found) == frames
    assert found.kinds == (kind,)
    assert ("too few points" in found.reasons[0]) == (kind == "unknown")
