"""Which stretches of frames are worth a warning."""

import numpy as np
import pytest

from hpof_jax.report import judge


def flags(*runs):
    found = np.zeros(100, bool)
    for first, last in runs:
        found[first : last + 1] = True
    return found


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ([], []),
        ([(0, 99)], [(0, 99)]),
        ([(10, 14)], [(10, 14)]),
        ([(10, 13)], []),  # too short
        ([(10, 13), (20, 23)], [(10, 23)]),  # close together
        ([(10, 14), (40, 50)], [(10, 14), (40, 50)]),
    ],
)
def test_short_stretches_are_left_out_and_close_ones_joined(runs, told):
    assert judge.stretches(flags(*runs), rate=30.0) == told


def test_lengths_are_seconds_and_not_frames():
    assert judge.stretches(flags((10, 14)), rate=60.0) == []
    assert judge.stretches(flags((10, 19), (40, 49)), rate=60.0) == [(10, 19), (40, 49)]


def test_runs_are_exact():
    assert judge.runs(flags((0, 0), (2, 3), (99, 99))) == [(0, 0), (2, 3), (99, 99)]
