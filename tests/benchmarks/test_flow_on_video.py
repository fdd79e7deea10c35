import numpy as np
import pytest

from benchmarks.flow_on_video import is_fast, overlap


def test_the_overlap_is_intersection_over_union_of_the_valid_pixels():
    one, other, valid = np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), np.ones((2, 4, 4))
    one[:, :, :2], other[:, :, 1:3] = 0.9, 0.6
    valid[1, :, 2:] = 0
    assert overlap(one, other, valid) == pytest.approx([100 / 3, 50])
    assert overlap(np.full((1, 4, 4), 0.4), one[:1], valid[:1]) == 0


def test_a_tenth_of_the_pairs_is_fast():
    fast = is_fast({"speed": np.arange(100.0)})
    assert fast.sum() == 10 and fast[90:].all()
