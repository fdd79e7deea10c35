import numpy as np
import pytest

from benchmarks.identities import JOINTS, LANDMARKS, idf1, score
from hpof_jax.observe.clip import Observations

FRAMES, HEIGHT = 60, 100.0
BODY = np.random.default_rng(0).uniform(-20, 20, (24, 2))
BODY[:2, 1] = -HEIGHT / 2, HEIGHT / 2


def joints_at(x):
    """(T, 24, 2) px of somebody at each x."""
    return BODY + np.stack([x, np.full(len(x), 100.0)], axis=1)[:, None]


def observed(joints, frames):
    """What is observed of somebody in these frames."""
    landmarks = np.zeros((frames.stop - frames.start, 33, 3), np.float32)
    landmarks[:, LANDMARKS, :2] = joints[frames, JOINTS]
    return Observations(
        landmarks_2d=landmarks,
        landmarks_3d=np.zeros_like(landmarks),
        seen=np.ones(len(landmarks), bool),
        image_size=np.float32([200, 400]),
        focal_length=np.float32(400),
        fps=np.float32(30),
        first_frame=frames.start,
    )


@pytest.fixture
def crossing():
    """Two people who cross: (2, T, 24, 2)."""
    x = np.linspace(50.0, 350.0, FRAMES)
    return np.stack([joints_at(x), joints_at(x[::-1])])


def test_a_perfect_result(crossing):
    counts = score(
        crossing, np.ones((2, FRAMES), bool), [observed(one, slice(0, FRAMES)) for one in crossing]
    )
    assert (
        counts["crossings"] == 1 and counts["returns"] == counts["switches"] == counts["changed_owner"] == 0
    )
    assert idf1(counts) == 1


def test_an_exchange_at_the_crossing(crossing):
    exchanged = crossing.copy()
    exchanged[:, FRAMES // 2 :] = exchanged[::-1, FRAMES // 2 :]
    counts = score(
        crossing, np.ones((2, FRAMES), bool), [observed(one, slice(0, FRAMES)) for one in exchanged]
    )
    assert counts["switches"] == counts["changed_owner"] == 2
    assert idf1(counts) == pytest.approx(0.5, abs=0.1)


def test_a_new_number_after_a_return(crossing):
    visible = np.ones((2, FRAMES), bool)
    visible[0, 20:40] = False
    people = [observed(crossing[0], slice(0, 20)), observed(crossing[0], slice(40, FRAMES))]
    counts = score(crossing, visible, [*people, observed(crossing[1], slice(0, FRAMES))])
    assert (counts["returns"], counts["switches"], counts["changed_owner"]) == (1, 1, 0)
    assert idf1(counts) == pytest.approx(160 / 200)


def test_who_is_missed_and_who_is_made_up(crossing):
    nobody = score(crossing, np.ones((2, FRAMES), bool), [])
    assert idf1(nobody) == 0 and nobody["switches"] == 0
    elsewhere = observed(crossing[0] + 500, slice(0, FRAMES))
    people = [*(observed(one, slice(0, FRAMES)) for one in crossing), elsewhere]
    assert idf1(score(crossing, np.ones((2, FRAMES), bool), people)) == pytest.approx(4 / 5)


def test_what_is_observed_of_the_hidden_is_no_error(crossing):
    visible = np.ones((2, FRAMES), bool)
    visible[0, :10] = False
    counts = score(crossing, visible, [observed(one, slice(0, FRAMES)) for one in crossing])
    assert idf1(counts) == 1
