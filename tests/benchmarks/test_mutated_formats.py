"""Damaged pickles, MATLAB, HDF5 and JSON files that are well-formed outside."""

import io
import json
import pickle

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from benchmarks import mutated_formats
from hpof_jax.errors import UserError
from hpof_jax.pickles import Purpose, read_pickled

ARRAYS = {"points": np.arange(24.0).reshape(2, 12), "valid": np.ones(2, np.uint8)}


def as_json(content):
    return json.dumps(content).encode()


def as_matlab(content):
    file = io.BytesIO()
    savemat(file, content)
    return file.getvalue()


def as_hdf5(content):
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        for name, array in content.items():
            opened[f"group/{name}"] = array
    return file.getvalue()


def of_hdf5(content):
    with h5py.File(io.BytesIO(content)) as file:
        return sorted(file.get("group", {}))


def of_matlab(content):
    return loadmat(io.BytesIO(content))


LISTS = {name: array.tolist() for name, array in ARRAYS.items()}
FORMATS = [
    (mutated_formats.odd_json, as_json(LISTS), json.loads),
    (mutated_formats.odd_matlab, as_matlab(ARRAYS), of_matlab),
    (mutated_formats.odd_hdf5, as_hdf5(ARRAYS), of_hdf5),
]


@pytest.mark.parametrize(("damage", "content", "read"), FORMATS)
def test_the_format_stays_readable_and_the_same_number_gives_the_same_file(tmp_path, damage, content, read):
    found = []
    for number in range(30):
        changed, again = (damage(np.random.default_rng(number), content, tmp_path / "outside") for _ in "12")
        read(changed)
        found.append(changed)
        assert damage is mutated_formats.odd_matlab or changed == again  # MATLAB's header has the time
    assert len(set(found)) > 10


def test_a_damaged_pickle_may_hold_a_command_and_is_refused(tmp_path):
    content, refused = pickle.dumps(ARRAYS, protocol=2), 0
    for number in range(60):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(
            mutated_formats.odd_pickle(np.random.default_rng(number), content, tmp_path / "outside")
        )
        if b"mkdir" in path.read_bytes():
            refused += 1
            with pytest.raises(UserError, match="asks for posix.mkdir"):
                read_pickled(path, Purpose("a result", "result", "", "get it again"))
    assert refused and not (tmp_path / "outside").exists()
