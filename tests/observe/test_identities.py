import numpy as np
import pytest

from hpof_jax.observe.blazepose import Region
from hpof_jax.observe.identities import identify
from hpof_jax.observe.people import Tracklet

BODY = np.random.default_rng(0).normal(size=(33, 3))


def tracklet(start, xs, colour, body=BODY):
    """Somebody who goes along `xs`; the distance of clothes of different colours is 1."""
    clothes = np.zeros((2, 1040), np.float32)
    clothes[:, [colour, 1024 + colour]] = 1
    return Tracklet(
        start,
        [np.zeros((33, 3))] * len(xs),
        [body] * len(xs),
        [Region(float(x), 100.0, 100.0, 0.0) for x in xs],
        clothes,
        float(len(xs)),
        "lost",
    )


def test_pieces_of_one_person_are_joined():
    one = [tracklet(0, range(0, 100, 5), 0), tracklet(25, range(125, 200, 5), 0)]
    other = [tracklet(0, range(200, 100, -5), 1), tracklet(24, range(80, 20, -5), 1)]
    people, doubts = identify([*one, *other], 30.0)
    assert people == [one, other] and not doubts


def test_clothes_decide_who_comes_back():
    before = [tracklet(0, [0] * 20, 0), tracklet(0, [60] * 20, 1)]
    after = [tracklet(200, [60] * 20, 0), tracklet(200, [0] * 20, 1)]
    people, doubts = identify([*before, *after], 30.0)
    assert people == [[before[0], after[0]], [before[1], after[1]]] and not doubts


def test_people_who_look_alike_are_told_apart_by_their_paths():
    before = [tracklet(0, range(0, 60, 3), 0), tracklet(0, range(200, 140, -3), 0)]
    after = [tracklet(24, range(72, 120, 3), 0), tracklet(24, range(128, 80, -3), 0)]
    people, _ = identify([*before, *after], 30.0)
    assert people == [[before[0], after[0]], [before[1], after[1]]]


def test_a_doubtful_track_ends_and_says_so():
    # Two people who look alike stand in one place, and come out of it after a while.
    before = [tracklet(0, [95] * 20, 0), tracklet(0, [105] * 20, 0)]
    after = [tracklet(60, [100] * 20, 0), tracklet(60, [100] * 20, 0)]
    people, doubts = identify([*before, *after], 30.0)
    assert sorted(map(len, people)) == [1, 1, 1, 1]
    assert sorted((doubt.person, doubt.frame) for doubt in doubts) == [(0, 19), (1, 19)]


def test_nobody_is_in_two_places_at_once_or_gets_across_the_picture_in_no_time():
    people, _ = identify([tracklet(0, [0] * 40, 0), tracklet(20, [10] * 40, 0)], 30.0)
    assert len(people) == 2
    people, _ = identify([tracklet(0, [0] * 20, 0), tracklet(22, [400] * 20, 0)], 30.0)
    assert len(people) == 2


@pytest.mark.parametrize("scale, people", [(1.1, 1), (1.2, 2)])
def test_other_bones_are_somebody_else(scale, people):
    pieces = [tracklet(0, [0] * 20, 0), tracklet(22, [0] * 20, 0, scale * BODY)]
    assert len(identify(pieces, 30.0)[0]) == people


def test_across_a_cut_places_do_not_count():
    pieces = [tracklet(0, [0] * 20, 0), tracklet(20, [400] * 20, 0)]
    assert len(identify(pieces, 30.0)[0]) == 2
    assert identify(pieces, 30.0, cuts=[20])[0] == [pieces] or len(identify(pieces, 30.0, cuts=[20])[0]) == 1


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_moments_are_left_out_at_every_frame_rate(fps):
    assert identify([tracklet(0, [0] * int(fps / 10), 0)], fps) == ([], [])
    assert identify([], fps) == ([], [])
