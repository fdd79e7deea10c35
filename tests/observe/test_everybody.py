import cv2
import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.observe import everybody
from hpof_jax.observe.everybody import observe_everybody
from tests.observe.test_people import Net
from tests.observe.test_person import GREEN, HEIGHT, RED, WIDTH, standing


@pytest.fixture
def video(tmp_path):
    """A folder of 60 pictures; the value of each is its number."""
    for number in range(60):
        picture = np.full((HEIGHT, WIDTH, 3), number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    return tmp_path


def test_each_person_from_the_first_to_the_last_frame_that_shows_them(video):
    play = {"comes": (GREEN, [*[None] * 30, *standing(300, 30)]), "stays": (RED, standing(600, 60))}
    stays, comes = observe_everybody(video, net=Net(play), progress=False)
    assert stays.seen.all() and len(stays) == 60 and stays.first_frame == 0
    assert 30 <= comes.first_frame <= 40 and comes.first_frame + len(comes) == 60
    np.testing.assert_allclose(comes.times, np.arange(comes.first_frame, 60) / 30)
    assert comes.landmarks_2d[:, 23:25, 0].mean() == pytest.approx(300, abs=5)
    assert comes.image_size.tolist() == [HEIGHT, WIDTH] and not len(comes.doubts)


def test_everybody_shares_the_background_of_the_whole_video(video):
    play = {"comes": (GREEN, [*[None] * 30, *standing(300, 30)]), "stays": (RED, standing(600, 60))}
    people = observe_everybody(video, net=Net(play), progress=False, keep_background=True)
    assert {len(person.background) for person in people} == {60}


def test_masks_and_flow_of_each_person(video):
    gone = [*standing(300, 9), *[None] * 4, *standing(300, 12)]
    play = {"goes": (GREEN, gone), "stays": (RED, standing(600, 25))}
    kept = dict(max_frames=25, keep_masks=True, keep_flow=True)
    goes, stays = observe_everybody(video, net=Net(play), progress=False, **kept)
    assert stays.masks.shape == (25, 128, 128) and stays.flow.shape == (24, 2, 64, 64, 2)
    assert np.any(stays.masks, axis=(1, 2)).all() and np.any(stays.flow_valid, axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(np.any(goes.masks, axis=(1, 2)), goes.seen)
    assert not goes.seen.all() and not goes.mask_to_frame[~goes.seen].any()
    known = np.any(goes.flow_valid, axis=(1, 2, 3))
    assert known.any() and not known[~(goes.seen[1:] & goes.seen[:-1])].any()
    np.testing.assert_array_equal(goes.flow_box[:, 2] > 0, goes.seen)


def test_shots_count_from_the_first_frame_of_the_person(video, monkeypatch):
    monkeypatch.setattr(everybody, "mark_cuts", lambda frames: ((f, n == 40) for n, f in enumerate(frames)))
    play = {"a": (RED, [*[None] * 10, *standing(300, 50)])}
    (found,) = observe_everybody(video, net=Net(play), progress=False)
    assert found.shots.tolist() == [0, 40 - found.first_frame]


def test_nobody_ends_in_one_sentence(video):
    with pytest.raises(UserError, match="no person was found"):
        observe_everybody(video, net=Net({}), progress=False, max_frames=5)
