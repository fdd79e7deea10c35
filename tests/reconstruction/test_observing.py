import types

import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.observe import clip
from hpof_jax.reconstruction import observing
from hpof_jax.reconstruction.settings import Settings
from tests.reconstruction.conftest import observed, three_people

pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.fixture
def show(monkeypatch):
    """Sets what is observed in place of a video; returns the options that the observer was given."""

    def show(*people):
        asked = {}
        monkeypatch.setattr(clip, "observe", lambda video, **options: asked.update(options) or people[0])
        monkeypatch.setattr(observing, "observe_everybody", lambda *args, **options: list(people))
        return asked

    return show


def test_the_log_says_what_the_result_depends_on(show, caplog):
    seen = np.arange(50) >= 48
    show(observed(seen, shots=np.array([0, 15]), doubts=[30, 33]))
    with caplog.at_level("INFO"):
        (person,) = observing.observe("clip.mp4", Settings(min_seen=0, fov=90.0))
    assert person.focal_length == pytest.approx(640) and person.focal_length_source == "given"
    assert [message.partition(": the body may")[0] for message in caplog.messages] == [
        "The person is seen in 4 % of 50 frames.",
        "From 1.00 to 1.10 s somebody who looks alike is close to the person",
        "The video has 1 cut(s), at 0.50 s.",
        "The focal length is 640 pixels, as given.",
    ]
    with pytest.raises(UserError, match="seen in only 2 of 50 frames, less than 10 %: "):
        observing.observe("clip.mp4", Settings())


def test_of_everybody_those_are_left_out_who_are_hardly_seen(show, caplog):
    show(*three_people())
    with caplog.at_level("INFO"):
        people = observing.observe("clip.mp4", Settings(person="all"))
    assert [person.first_frame for person in people] == [0, 7]
    assert (
        "Person 1 is seen in 100 % of the frames from 0.00 to 0.63 s, around x = 292 pixels." in caplog.text
    )
    assert "Person 2 cannot be told from others after 0.87 s" in caplog.text
    assert "People who are seen in too few frames and are left out: 1." in caplog.messages
    show(three_people()[2])
    with pytest.raises(UserError, match="Each of the 1 people is seen in less than 100 % "):
        observing.observe("clip.mp4", Settings(person="all", min_seen=1))


@pytest.mark.parametrize(
    ("refine", "kept"), [("off", (False, False)), ("fast", (True, False)), ("full", (True, True))]
)
def test_a_fit_needs_masks_and_flow(show, refine, kept):
    asked = show(observed(np.ones(3, bool)))
    observing.observe("clip.mp4", Settings(refine=refine, person=2))
    assert (asked["keep_masks"], asked["keep_flow"]) == kept and asked["person"] == 2


def test_image_features_are_of_the_frames_that_were_observed(show, monkeypatch):
    class Extractor:
        def of_people(self, frames, people):
            self.frames, self.people = list(frames), len(people)
            return people

    def read_video(video, **part):
        assert part["start"] == 2.0
        return iter(range(50)), types.SimpleNamespace(frame_count=50)

    monkeypatch.setattr(observing, "read_video", read_video)
    show(observed(np.ones(50, bool)))
    extractor = Extractor()
    observing.observe("clip.mp4", Settings(start=2.0), extractor)
    assert extractor.frames == [*range(50)] and extractor.people == 1
