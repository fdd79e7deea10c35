import logging

import pytest

from hpof_jax import progress as module
from hpof_jax.progress import progress, rate, timed


@pytest.fixture
def clock(monkeypatch):
    """A clock that each item moves on by 10 seconds."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def items(count):
        for number in range(count):
            now[0] += 10
            yield number

    return items


def test_without_a_terminal_a_line_comes_now_and_then(clock, caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        assert list(progress(clock(7), "observing", 7)) == list(range(7))
    assert caplog.messages == [
        "observing: 3 of 7 frames, 0.1 frames/s, 40 s left",
        "observing: 6 of 7 frames, 0.1 frames/s, 10 s left",
        "observing: 7 frames in 70.0 s, 0.1 frames/s",
    ]


def test_work_that_is_done_in_one_piece(clock, caplog):
    with caplog.at_level(logging.INFO, logger="absl"), timed("lifting", 7):
        list(clock(2))
    assert caplog.messages == ["lifting: 7 frames in 20.0 s, 0.3 frames/s"]


def test_an_unknown_total(clock, caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        list(progress(clock(3), "drawing", unit="picture"))
    assert caplog.messages[0] == "drawing: 3 pictures, 0.1 pictures/s"


def test_nothing_is_shown_if_not_wanted(clock, caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        assert list(progress(clock(9), "observing", 9, show=False)) == list(range(9))
    assert not caplog.messages


@pytest.mark.parametrize(("seconds", "text"), [(89, "89 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations(seconds, text):
    assert module._duration(seconds) == text
    assert rate(230, 9.2) == "230 frames in 9.2 s, 25.0 frames/s"
