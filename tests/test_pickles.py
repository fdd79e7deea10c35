"""Pickles of joblib and torch, read without them, and what is refused."""

import collections
import os
import pickle

import numpy as np
import pytest

from hpof_jax import pickles
from hpof_jax.errors import UserError
from hpof_jax.pickles import read_pickled, to_array
from tests.predictions import conftest

write = conftest.write

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize("kind", ["joblib", "compressed"])
def test_arrays_in_joblibs_stream(write, tmp_path, kind):
    people = collections.defaultdict(dict)
    people[np.int64(3)] = {"pose": ARRAY, "verts": np.asfortranarray(ARRAY), "ids": np.arange(3), "fps": 30.0}
    content = read_pickled(write(tmp_path / "result.pkl", people, kind))
    ((name, person),) = content.items()
    assert to_array(name) == 3
    np.testing.assert_array_equal(to_array(person["pose"]), ARRAY, strict=True)
    np.testing.assert_array_equal(to_array(person["verts"]), ARRAY, strict=True)
    np.testing.assert_array_equal(to_array(person["ids"]), [0, 1, 2])
    assert to_array(person["fps"]) == 30


@pytest.mark.parametrize("kind", ["torch", "legacy"])
def test_tensors_in_torchs_files(write, tmp_path, kind):
    tensor = write.tensor
    content = {
        "pose": tensor(ARRAY),
        "turned": tensor(ARRAY.T),
        "same": tensor(np.broadcast_to(ARRAY[:1], (5, 4))),
        "ids": tensor(np.arange(3), "LongStorage"),
        "mask": tensor(np.ones(3, bool), "BoolStorage"),
        "more": collections.OrderedDict(a=tensor(ARRAY)),
    }
    content["more"]._metadata = collections.OrderedDict(version=1)  # as in the state of a network
    found = read_pickled(write(tmp_path / "result.pt", content, kind))
    np.testing.assert_array_equal(to_array(found["pose"]), ARRAY, strict=True)
    np.testing.assert_array_equal(to_array(found["turned"]), ARRAY.T)
    np.testing.assert_array_equal(to_array(found["same"]), np.tile(ARRAY[0], (5, 1)))
    np.testing.assert_array_equal(to_array(found["ids"]), [0, 1, 2])
    np.testing.assert_array_equal(to_array(found["more"]["a"]), ARRAY)


def test_numbers_and_lists_of_plain_pickles(tmp_path):
    (tmp_path / "result.pkl").write_bytes(pickle.dumps({"ids": [1, 2], "pose": ARRAY, "x": np.float64(0.5)}))
    found = read_pickled(tmp_path / "result.pkl")
    np.testing.assert_array_equal(to_array(found["ids"]), [1, 2])
    np.testing.assert_array_equal(to_array(found["pose"]), ARRAY)
    assert to_array(found["x"]) == 0.5
    with pytest.raises(ValueError, match="than numbers"):
        to_array("text")


@pytest.mark.parametrize("content", [b"frame,x,y\n0,1,2\n", b"{}", b"h", b""])
def test_a_file_of_another_kind_is_named_as_such(tmp_path, content):
    (tmp_path / "result.pkl").write_bytes(content)
    with pytest.raises(
        UserError, match=r"is not a readable result \(it is no file of joblib, torch or pickle\)"
    ):
        read_pickled(tmp_path / "result.pkl")


class Asks:
    """Pickles as a call that makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["joblib", "compressed", "torch", "legacy"])
def test_other_names_are_refused_and_not_run(write, tmp_path, kind):
    ran = tmp_path / "ran"
    path = write(tmp_path / "result.pkl", {"pose": Asks(str(ran))}, kind)
    with pytest.raises(UserError, match=r"result\.pkl asks for (posix|nt)\.mkdir.*numpy\.savez"):
        read_pickled(path)
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["joblib", "compressed", "torch", "legacy"])
def test_a_file_that_is_cut_off_anywhere_is_one_sentence(write, tmp_path, kind):
    arrays = {"pose": write.tensor(ARRAY) if kind in ("torch", "legacy") else ARRAY}
    path = write(tmp_path / "result.pkl", arrays, kind)
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"result\.pkl") as error:
            read_pickled(path)
        assert str(error.value).isprintable()


def test_tensors_larger_than_their_numbers_are_refused(write, tmp_path):
    lying = write.tensor(ARRAY.copy(), shape=(3, 5))
    with pytest.raises(UserError, match="does not fit"):
        read_pickled(write(tmp_path / "result.pt", {"pose": lying}, "torch"))


def test_torchs_pickle_may_not_unpack_to_gigabytes(write, tmp_path, monkeypatch):
    path = write(tmp_path / "result.pt", {"pose": write.tensor(ARRAY)}, "torch")
    monkeypatch.setattr(pickles, "LARGEST_TREE", 20)
    with pytest.raises(UserError, match="unpacks to more than"):
        read_pickled(path)
