import struct

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from data_pipelines.datasets import matlab

LARGEST = 2**26
_rng = np.random.default_rng(0)
ARRAYS = {
    "points": _rng.normal(size=(5, 3, 2)),
    "single": _rng.normal(size=(4, 1)).astype(np.float32),
    "small": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "signed": np.array([[-3, 2**40]]),
    "flags": np.array([[True, False]]),
    "nothing": np.zeros((0, 3)),
    "text": "golf_swing",
    "lines": np.array(["ab ", "cde"]),
}


def cells():
    found = np.empty((2, 2), object)
    found[0, 0], found[0, 1], found[1, 0] = np.ones((2, 3)), "left", np.arange(3.0)[None]
    found[1, 1] = np.empty((1, 1), object)
    found[1, 1][0, 0] = np.eye(2)
    return found


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_those_of_scipy(tmp_path, compressed):
    path = tmp_path / "a.mat"
    savemat(path, ARRAYS | {"cells": cells(), "left_out": np.ones(1000)}, do_compression=compressed)
    found, expected = matlab.read_arrays(path, [*ARRAYS, "cells"], LARGEST), loadmat(path)
    assert found.keys() == {*ARRAYS, "cells"}
    for name in ARRAYS:
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].dtype == expected[name].dtype
    for own, other in zip(found["cells"].ravel()[:3], expected["cells"].ravel()[:3], strict=True):
        np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal(found["cells"][1, 1][0, 0], np.eye(2))


def changed(path, at, number):
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, at, number)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("at", "number", "reason"),
    [
        (124, 0x4D490001, "no MATLAB file of version 5"),  # big-endian
        (132, 2**31, "longer than what it lies in"),
        (144, 5, "an array of class 5"),  # a sparse matrix
        (144, 0x0806, "complex numbers"),
        (152, 9, "dimensions of type 9"),
        (160, 2**31, "shape"),  # -2**31 rows
        (160, 7, "cannot reshape"),
        (176, 127, "numbers of type 127"),  # at which SciPy's reader crashes
    ],
)
def test_what_a_damaged_file_states_is_checked(tmp_path, at, number, reason):
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.ones((20, 3))})
    changed(path, at, number)
    with pytest.raises(ValueError, match=reason):
        matlab.read_arrays(path, ["a"], LARGEST)


def test_what_would_take_much_memory_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.zeros(2**20)}, do_compression=True)
    assert path.stat().st_size < 2**14
    with pytest.raises(ValueError, match=r"an array of 83886\d\d bytes"):
        matlab.read_arrays(path, ["a"], 2**20)
    savemat(path, {"a": cells()})
    changed(path, 160, 2**30)
    with pytest.raises(ValueError, match=r"cells of shape \(1073741824, 2\)"):
        matlab.read_arrays(path, ["a"], LARGEST)
    nested = np.ones((1, 1))
    for _ in range(matlab.DEEPEST + 2):
        nested, inner = np.empty((1, 1), object), nested
        nested[0, 0] = inner
    savemat(path, {"a": nested})
    with pytest.raises(ValueError, match="4 deep"):
        matlab.read_arrays(path, ["a"], LARGEST)
