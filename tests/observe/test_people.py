import dataclasses

import numpy as np
import pytest

from hpof_jax.observe.identities import identify
from hpof_jax.observe.people import PeopleTracker
from tests.observe.test_person import GREEN, HEIGHT, RED, SIZE, WIDTH, FakeBlazePose, standing

BLUE = (40, 40, 200)


class Net(FakeBlazePose):
    """As in the test of one person; whoever is named first hides others who are near. Masks are full."""

    def _people(self, image):
        people = list(super()._people(image))
        return [p for i, p in enumerate(people) if all(abs(p[0].x - q[0].x) > 0.2 * SIZE for q in people[:i])]

    def landmarks(self, image, region):
        return dataclasses.replace(
            super().landmarks(image, region), mask_logits=np.ones((256, 256), np.float32)
        )


def run(play, frames, cuts=()):
    """The tracklets and the people, {x at each frame} of each, of a play as in the test of one person."""
    tracker = PeopleTracker(net=Net(play))
    for number in range(frames):
        if number in cuts:
            tracker.restart()
        tracker(np.full((HEIGHT, WIDTH, 3), number, np.uint8))
    people, doubts = identify(tracker.tracklets, 30.0, cuts)
    places = [
        {
            tracklet.start + i: round(region.x)
            for tracklet in person
            for i, region in enumerate(tracklet.regions)
        }
        for person in people
    ]
    return tracker.tracklets, places, doubts


def test_everybody_is_followed():
    play = {"a": (RED, standing(150)), "b": (GREEN, standing(450)), "c": (BLUE, standing(750))}
    tracklets, people, doubts = run(play, 20)
    assert people == [dict.fromkeys(range(20), x) for x in (150, 450, 750)]
    assert len(tracklets) == 3 and not doubts


def test_who_crosses_keeps_their_identity():
    there, back = list(range(150, 750, 8)), list(range(745, 145, -8))
    play = {"front": (RED, there), "behind": (GREEN, back)}
    _, people, doubts = run(play, len(there))
    assert len(people) == 2 and not doubts
    for places, path, hidden in zip(people, (there, back), (0, 12)):
        assert all(places[frame] == path[frame] for frame in places)
        assert len(places) >= len(path) - hidden


def test_who_leaves_and_comes_back_is_the_same_person():
    leaves = [*range(300, 0, -15), *[None] * 70, *range(15, 300, 15)]
    play = {"stays": (RED, standing(600, len(leaves))), "leaves": (GREEN, leaves)}
    _, people, _ = run(play, len(leaves))
    assert len(people) == 2
    stays, leaver = sorted(people, key=lambda places: places[0], reverse=True)
    assert set(stays.values()) == {600}
    assert min(leaver) == 0 and max(leaver) == len(leaves) - 1


def test_a_stranger_does_not_continue_a_track():
    leaves = [*range(300, 0, -15)]
    play = {"a": (RED, leaves), "b": (GREEN, [*[None] * 60, *range(15, 300, 15)])}
    _, people, _ = run(play, 79)
    assert [(min(places), places[min(places)]) for places in people][0] == (0, 300)
    assert len(people) == 2 and max(people[0]) < 25 and min(people[1]) >= 60


def test_who_is_who_is_doubtful_among_people_who_look_alike():
    # Both go behind somebody and come out on either side.
    one = [*range(150, 400, 10), *[None] * 30, *range(400, 150, -10)]
    other = [*range(750, 500, -10), *[None] * 30, *range(500, 750, 10)]
    alike = run({"a": (RED, one), "b": (RED, other)}, len(one))
    different = run({"a": (RED, one), "b": (GREEN, other)}, len(one))
    assert len(different[1]) == 2 and not different[2]
    owners = [{"a" if one[f] == x else "b" for f, x in places.items()} for places in alike[1]]
    assert all(len(names) == 1 for names in owners) or alike[2], "a change of owner is told"


def test_masks_and_flow_are_kept_frame_by_frame():
    play = {"a": (RED, [300, 302, 304, 306]), "b": (GREEN, [None, None, None, 700])}
    tracker = PeopleTracker(net=Net(play), mask_side=16, keep_flow=True)
    for number in range(4):
        tracker(np.full((HEIGHT, WIDTH, 3), number, np.uint8))
    (one,) = tracker.tracklets
    assert {len(entries) for entries in vars(one).values() if isinstance(entries, list)} == {4}
    assert one.masks[0].shape == (16, 16) and one.mask_to_frame[0].shape == (2, 3)
    assert [valid.any() for valid in one.flow_valid] == [False, True, True, True]
    one.forget(3)
    assert len(one) == len(one.flow) == len(one.masks) == 1 and one.stop == 1


def test_after_a_cut_everybody_is_looked_for_again():
    play = {"a": (RED, [*standing(150, 8), *standing(600, 8)])}
    tracklets, people, _ = run(play, 16, cuts=(8,))
    assert [tracklet.ended for tracklet in tracklets] == ["cut", ""]
    assert people == [dict.fromkeys(range(8), 150) | dict.fromkeys(range(8, 16), 600)]


@pytest.mark.parametrize("frames", [0, 3])
def test_nobody(frames):
    assert run({}, frames) == ([], [], [])
