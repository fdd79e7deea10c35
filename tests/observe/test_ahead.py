"""Items that a thread makes: which are left out, errors, and a stop."""

import threading

import pytest

from hpof_jax.observe.ahead import ahead


def test_frames_that_come_too_fast_from_a_webcam_are_left_out():
    all_there = threading.Event()

    def items():
        yield from range(10)
        all_there.set()

    found = []
    for item in ahead(items(), True, lambda: False):
        found.append(item)
        assert all_there.wait(10)
    assert found[-1] == 9 and found == sorted(found) and len(found) <= 3


def test_an_error_of_a_thread_is_raised_where_the_items_are_used():
    def items():
        yield 1
        raise ValueError("broken")

    found = ahead(items(), False, lambda: False)
    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)


def test_a_stop_ends_the_stream_though_no_frame_comes():
    never = threading.Event()

    def items():
        never.wait(10)
        yield 1

    assert list(ahead(items(), False, lambda: True)) == []
    never.set()
