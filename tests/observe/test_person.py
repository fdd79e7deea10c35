import dataclasses

import cv2
import numpy as np
import pytest

from hpof_jax import downloads
from hpof_jax.errors import UserError
from hpof_jax.observe import person
from hpof_jax.observe.blazepose import Pose, Region, overlap
from hpof_jax.observe.person import PersonTracker, colour_distance, torso_colours
from hpof_jax.observe.video import read_video

RED, GREEN = (200, 40, 40), (40, 200, 40)
SIZE, HEIGHT, WIDTH = 200.0, 300, 900
BODY = np.random.default_rng(0).uniform(-0.3, 0.3, (33, 2))
BODY[[11, 12, 23, 24]] = (0.1, -0.25), (-0.1, -0.25), (0.08, 0), (-0.08, 0)


class FakeBlazePose:
    """Sees the people of a play: {name: (colours, [x of each frame, or None])}, with their size at the end if it is
    not SIZE. A frame's number is its pixels' value.
    """

    def __init__(self, play):
        self.play = play

    def _people(self, image):
        number = int(image[0, 0, 0])
        for colours, places, *size in self.play.values():
            if number < len(places) and places[number] is not None:
                yield Region(float(places[number]), HEIGHT / 2, *(size or [SIZE]), 0.0), colours

    def detect(self, image, square):
        x, _, side = square
        return [region for region, _ in self._people(image) if abs(region.x - x) < side / 2]

    def landmarks(self, image, region):
        """Like the network: whoever stands nearest to the region's middle, if anybody is near."""
        people = sorted(self._people(image), key=lambda found: abs(found[0].x - region.x))
        seen = bool(people) and overlap(people[0][0], region) > 0.3
        there, colours = people[0] if seen else (region, (0, 0, 0))
        points = BODY * there.size + (there.x, there.y)
        return Pose(
            landmarks_2d=np.column_stack([points, np.ones(33)]).astype(np.float32),
            landmarks_3d=np.zeros((33, 3), np.float32),
            score=1.0 if seen else 0.1,
            region=there,
            crop=np.full((256, 256, 3), colours, np.uint8),
            to_frame=region.to_frame(),
            mask_logits=np.zeros((256, 256), np.float32),
        )


@pytest.fixture
def follow(monkeypatch):
    """Runs a tracker over a play and returns the x of whom it follows, None where nobody is."""

    def follow(play, frames, **options):
        monkeypatch.setattr(person, "BlazePose", lambda model, threads: FakeBlazePose(play))
        tracker = PersonTracker(**options)
        poses = [tracker(np.full((HEIGHT, WIDTH, 3), number, np.uint8)) for number in range(frames)]
        return [None if pose is None else round(pose.region.x) for pose in poses]

    return follow


def standing(x, frames=20):
    return [x] * frames


@pytest.mark.parametrize("choice, x", [("leftmost", 150), (1, 150), ("2", 450), (3, 750), (4, None)])
def test_choice_counts_from_the_left(follow, choice, x):
    play = {"b": (RED, standing(450)), "a": (GREEN, standing(150)), "c": (RED, standing(750))}
    assert follow(play, 20, person=choice) == [x] * 20


def test_largest(follow, monkeypatch):
    real = FakeBlazePose._people
    monkeypatch.setattr(
        FakeBlazePose,
        "_people",
        lambda self, image: [
            (r._replace(size=SIZE * (1 if r.x < 400 else 1.3)), c) for r, c in real(self, image)
        ],
    )
    play = {"small": (RED, standing(150)), "large": (GREEN, standing(600))}
    assert follow(play, 5, person="largest") == [600] * 5


def test_choice_waits_for_somebody_to_come(follow):
    play = {"a": (RED, standing(150)), "b": (GREEN, [None] * 7 + standing(700, 13))}
    assert follow(play, 20, person=2) == [None] * 7 + [700] * 13


def test_track_follows_a_walk_past_somebody_else(follow):
    walk = list(range(150, 750, 10))
    play = {"walker": (RED, walk), "other": (GREEN, standing(453, 60))}
    assert follow(play, 60, person=1) == walk


def test_who_is_covered_by_somebody_else_is_a_gap(follow, monkeypatch):
    real = FakeBlazePose._people

    def visible(people):  # nobody who is near to somebody named before them
        return [p for i, p in enumerate(people) if all(abs(p[0].x - q[0].x) > 70 for q in people[:i])]

    monkeypatch.setattr(FakeBlazePose, "_people", lambda self, image: visible(list(real(self, image))))
    walk = list(range(150, 750, 10))
    play = {"other": (GREEN, standing(455, 60)), "walker": (RED, walk)}
    assert follow(play, 60, person=1) == [None if abs(x - 455) <= 70 else x for x in walk]
    front = {"walker": (RED, walk), "other": (GREEN, standing(455, 60))}
    assert follow(front, 60, person=1) == walk
    followed = follow(front, 60, person=2)
    assert set(followed) == {455, None} and followed[0] == followed[-1] == 455


def test_who_leaves_is_a_gap_and_nobody_else(follow):
    play = {"a": (RED, standing(150, 10)), "b": (GREEN, standing(300, 90))}
    assert follow(play, 90, person=1) == [150] * 10 + [None] * 80


def test_who_comes_back_is_found_again(follow):
    places = standing(150, 10) + [None] * 15 + standing(230, 10)
    play = {"a": (RED, places), "b": (GREEN, standing(420, 35))}
    assert follow(play, 35, person=1) == places


@pytest.mark.parametrize("choice, after", [("largest", 700), ("leftmost", 150), (2, 700)])
def test_the_person_is_chosen_anew_in_each_shot(monkeypatch, choice, after):
    real = FakeBlazePose._people
    grown = lambda self, image: [  # noqa: E731
        (region._replace(size=1.3 * SIZE if region.x == 700 else SIZE), colours)
        for region, colours in real(self, image)
    ]
    monkeypatch.setattr(FakeBlazePose, "_people", grown)
    play = {
        "a": (RED, standing(450, 6)),
        "b": (GREEN, [None] * 6 + standing(150, 6)),
        "c": (RED, [None] * 6 + standing(700, 6)),
    }
    monkeypatch.setattr(person, "BlazePose", lambda model, threads: FakeBlazePose(play))
    tracker = PersonTracker(person=choice)
    followed = []
    for number in range(12):
        if number == 6:
            tracker.restart()
        pose = tracker(np.full((HEIGHT, WIDTH, 3), number, np.uint8))
        followed.append(None if pose is None else round(pose.region.x))
    assert followed == [None if choice == 2 else 450] * 6 + [after] * 6


def test_who_was_last_seen_small_is_found_again_later(follow):
    play = {"small": (RED, standing(150, 10)), "near": (RED, [None] * 20 + standing(160, 130), 3 * SIZE)}
    found = follow(play, 150, person=1)
    assert found[10:40] == [None] * 30 and found[-30:] == [160] * 30


def test_somebody_alike_but_far_is_refused(follow):
    play = {"a": (RED, standing(150, 10)), "double": (RED, [None] * 10 + standing(700, 10))}
    assert follow(play, 20, person=1) == [150] * 10 + [None] * 10


@pytest.mark.parametrize(
    ("colours", "x", "size", "told"),
    [(RED, 480, 200, True), (GREEN, 480, 200, False), (RED, 404, 400, False)],
)
def test_somebody_alike_who_is_close_is_told(monkeypatch, colours, x, size, told):
    play = {"a": (RED, standing(400, 30)), "b": (colours, [*[None] * 5, *standing(x, 25)], size)}
    monkeypatch.setattr(person, "BlazePose", lambda model, threads: FakeBlazePose(play))
    tracker = PersonTracker(person=1)
    for number in range(30):
        tracker(np.full((HEIGHT, WIDTH, 3), number, np.uint8))
    assert bool(tracker.doubts) == told and all(5 <= frame < 30 for frame in tracker.doubts)


def test_scenery_that_the_detector_does_not_confirm_is_nobody(follow, monkeypatch):
    real = FakeBlazePose.detect
    monkeypatch.setattr(
        FakeBlazePose,
        "detect",
        lambda self, image, square: real(self, image, square) if square[2] > 1.2 * SIZE else [],
    )
    assert follow({"a": (RED, standing(150))}, 5) == [None] * 5


def test_wrong_choices(monkeypatch):
    monkeypatch.setattr(person, "BlazePose", lambda model, threads: None)
    for choice in ("tallest", "-1", -1, 0, "0", 1.5, True, "²"):
        with pytest.raises(UserError, match="is unknown: give 'largest'"):
            PersonTracker(person=choice)
    with pytest.raises(UserError, match="'full' or 'heavy'"):
        PersonTracker(landmark_model="lite")


def test_colours_tell_people_apart():
    def colours(colour):
        net = FakeBlazePose({"a": (colour, [450])})
        return torso_colours(net.landmarks(np.zeros((HEIGHT, WIDTH, 3), np.uint8), Region(450, 150, SIZE, 0)))

    assert colours(RED).sum() == pytest.approx(1, abs=1e-5)
    assert colour_distance(colours(RED), colours(RED)) < 1e-3
    assert colour_distance(colours(RED), colours((180, 45, 40))) < colour_distance(
        colours(RED), colours(GREEN)
    )


def test_torso_outside_the_picture_has_no_colours():
    pose = FakeBlazePose({}).landmarks(np.zeros((HEIGHT, WIDTH, 3), np.uint8), Region(0, 0, SIZE, 0))
    away = dataclasses.replace(pose, landmarks_2d=pose.landmarks_2d + 5000)
    assert torso_colours(away).sum() == 0
    assert colour_distance(torso_colours(away), torso_colours(pose)) == person.UNKNOWN_COLOURS


@pytest.fixture(scope="module")
def sample_frames():
    frames, _ = read_video(downloads.fetch("sample_video"), max_frames=72)
    return list(frames)[66:]


@pytest.mark.network
@pytest.mark.parametrize("choice, left, right", [(1, 400, 850), (2, 1200, 1550)])
def test_real_people_are_told_apart(sample_frames, choice, left, right):
    tracker = PersonTracker(person=choice)
    for frame in sample_frames:
        pose = tracker(frame)
        points, world = pose.landmarks_2d, pose.landmarks_3d
        assert pose.score > 0.9
        assert left < points[:, 0].min() and points[:, 0].max() < right
        assert points[0, 1] < points[[23, 24], 1].min() < points[[27, 28], 1].min()  # nose, hips, ankles
        assert world[0, 1] < -0.4 and world[[27, 28], 1].min() > 0.4  # metres, y down, about the hips
        assert 0.03 < (pose.mask > 127).mean() < 0.3  # of the region's square


@pytest.mark.network
def test_real_landmarks_turn_with_the_image(sample_frames):
    frame = sample_frames[0]
    upright = PersonTracker(person=1)(frame)
    lying = PersonTracker(person="largest")
    turned = cv2.rotate(frame[:, :1000], cv2.ROTATE_90_CLOCKWISE)
    net = lying._net
    x, y, size, angle = upright.region
    pose = net.landmarks(turned, Region(frame.shape[0] - y, x, size, angle + np.pi / 2))
    expected = np.column_stack([frame.shape[0] - upright.landmarks_2d[:, 1], upright.landmarks_2d[:, 0]])
    assert np.abs(pose.landmarks_2d[:, :2] - expected).mean() < 0.02 * size
    world = upright.landmarks_3d
    assert np.abs(pose.landmarks_3d - np.column_stack([-world[:, 1], world[:, 0], world[:, 2]])).mean() < 0.05
