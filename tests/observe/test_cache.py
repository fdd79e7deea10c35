import logging

import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.observe import cache
from hpof_jax.observe.cache import observe_cached
from hpof_jax.observe.clip import Observations


@pytest.fixture
def observed(tmp_path, monkeypatch):
    """A video and an empty cache; the list tells what was observed, and with which person."""
    calls = []

    def observe(video, person="largest", progress=True, focal_length=None, net=None):
        calls.append((video.name, person))
        return Observations(
            landmarks_2d=np.random.default_rng(0).normal(size=(40, 33, 3)).astype(np.float32),
            landmarks_3d=np.zeros((40, 33, 3), np.float32),
            seen=np.ones(40, bool),
            image_size=np.float32([60, 80]),
            focal_length=np.float32(75),
            fps=np.float32(30),
        )

    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "observe", observe)
    (tmp_path / "a.mp4").write_text("a video")
    return tmp_path / "a.mp4", calls


def test_a_video_is_observed_once(observed, caplog):
    video, calls = observed
    with caplog.at_level(logging.INFO, logger="absl"):
        first, again = observe_cached(video), observe_cached(str(video), person="largest", progress=False)
    assert calls == [("a.mp4", "largest")] and "Observing" in caplog.text
    np.testing.assert_array_equal(first.landmarks_2d, again.landmarks_2d)


def test_content_options_and_code_count_and_the_name_does_not(observed, monkeypatch):
    video, calls = observed
    observe_cached(video)
    observe_cached(video.rename(video.with_name("b.mp4")))
    assert len(calls) == 1
    video.write_text("another video")
    observe_cached(video)
    observe_cached(video, person=2)
    assert calls[1:] == [("a.mp4", "largest"), ("a.mp4", 2)]
    monkeypatch.setattr(cache, "_code", lambda: "other code")
    observe_cached(video)
    assert len(calls) == 4


@pytest.mark.parametrize(
    "damage", [lambda b: b[:300], lambda b: b"", lambda b: b[:2000] + bytes(500) + b[2500:]]
)
def test_a_damaged_entry_is_made_again(observed, tmp_path, damage):
    video, calls = observed
    observe_cached(video)
    (stored,) = (tmp_path / "cache" / "observations").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(damage(whole))
    observe_cached(video)
    assert len(calls) == 2 and len(stored.read_bytes()) == len(whole)
    assert [*stored.parent.iterdir()] == [stored]


def test_a_cache_that_cannot_be_written_is_not_used(observed, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file in the folder's place")
    video, calls = observed
    assert len(observe_cached(video)) == 40 and len(calls) == 1
    assert "are not kept" in caplog.text


def test_a_missing_video_ends_in_one_sentence(observed, tmp_path):
    with pytest.raises(UserError, match="nowhere.mp4 cannot be read"):
        observe_cached(tmp_path / "nowhere.mp4")
