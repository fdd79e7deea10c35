import cv2
import numpy as np
import pytest

from hpof_jax.observe.shots import mark_cuts
from hpof_jax.observe.video import read_video

HEIGHT, WIDTH = 144, 256


def scene(seed):
    """A wide random picture, (200, 800, 3)."""
    rng, picture = np.random.default_rng(seed), np.zeros((200, 800, 3))
    for columns, strength in ((4, 1.0), (12, 0.7), (40, 0.4)):
        noise = rng.normal(size=(columns // 4 + 2, columns, 3))
        picture += strength * cv2.resize(noise, (800, 200), interpolation=cv2.INTER_CUBIC)
    return 255 * (picture - picture.min()) / np.ptp(picture)


def view(picture, x=0, y=20, light=1.0):
    """What a camera sees that looks at a part of a scene."""
    part = picture[int(y) : int(y) + HEIGHT, int(x) : int(x) + WIDTH]
    return np.uint8(np.clip(light * part, 0, 255))


def cuts(frames):
    return [number for number, (_, cut) in enumerate(mark_cuts(frames)) if cut]


@pytest.mark.parametrize("seed", range(4))
def test_cuts_between_scenes_are_found(seed):
    first, second, third = (scene(3 * seed + number) for number in range(3))
    frames = [view(first, x) for x in range(8)] + [view(second, 9 * x) for x in range(5)]
    frames += [view(third)] * 4 + [view(first, 100 + x) for x in range(6)]
    assert cuts(frames) == [8, 13, 17]


def test_the_frames_are_given_on():
    frames = [view(scene(0), x) for x in range(7)]
    given = [frame for frame, _ in mark_cuts(iter(frames))]
    assert all(a is b for a, b in zip(given, frames, strict=True))
    assert cuts([]) == [] and cuts(frames[:1]) == []


SHAKE = np.random.default_rng(0).normal(size=(30, 2)).clip(-3, 3) * (12, 8)
LIGHTS = {
    "a flash": [1, 1, 1, 1, 1, 6, 1, 1, 1, 1, 1],
    "a longer flash": [1, 1, 1, 1, 1, 6, 6, 1, 1, 1, 1],
    "lights that go on": [0.4] * 6 + [1.2] * 6,
    "lights that go off": [1.2] * 6 + [0.4] * 6,
    "an exposure that drifts": np.linspace(0.3, 1.2, 12),
}
MOTIONS = {
    "a pan": [(20 * step, 20) for step in range(25)],
    "a whip pan": [(x, 20) for x in (0, 0, 0, 0, 30, 90, 170, 250, 330, 400, 450, 470, 470, 470)],
    "a hand that shakes": SHAKE + (200, 26),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LIGHTS)
def test_light_is_no_cut(name, seed):
    assert cuts([view(scene(seed), light=light) for light in LIGHTS[name]]) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MOTIONS)
def test_motion_is_no_cut(name, seed):
    picture = scene(seed)
    assert cuts([view(picture, *place) for place in MOTIONS[name]]) == []


def test_somebody_who_runs_past_the_camera_is_no_cut():
    background, person, frames = scene(0), view(scene(1)), []
    for x in range(-100, 300, 25):
        frame = view(background)
        frame[:, max(x, 0) : max(x + 100, 0)] = person[:, : max(min(x + 100, WIDTH) - max(x, 0), 0)]
        frames.append(frame)
    assert cuts(frames) == []


def test_plain_frames_have_no_cut():
    dark, noise = (
        np.full((HEIGHT, WIDTH, 3), 20, np.uint8),
        np.random.default_rng(0).normal(0, 2, (9, 1, 1, 3)),
    )
    assert cuts([np.uint8(dark + shade) for shade in noise]) == []
    assert cuts([np.zeros((4, 3, 3), np.uint8)] * 5) == []


@pytest.mark.network
def test_the_sample_video_has_no_cut():
    from hpof_jax import downloads

    assert cuts(read_video(downloads.fetch("sample_video"))[0]) == []
