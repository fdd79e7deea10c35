"""Damage inside the formats of data sets: one value of a pickle, MATLAB, HDF5 or JSON file becomes an odd one.

Each function gets the bytes of a valid file of our own and gives those of a damaged one, which is well-formed outside.
`outside` is the folder that a payload would make; see `mutations`.
"""

import io
import json
import os
import pickle
from typing import Any

import numpy as np

from benchmarks import mutations

_ODD = [None, True, -1, 0, 2**31, 2**64, 1e308, float("nan"), "", "text", "\ud800", [], {}, [[]], b"bytes"]
_LINKS = 0.1  # of the HDF5 files, the share with a link in a value's place


def odd_pickle(rng: np.random.Generator, content: bytes, outside: os.PathLike) -> bytes:
    """A pickle with an odd value, without one, or with a command that would be run."""
    return pickle.dumps(_changed(rng, pickle.loads(content), outside), protocol=2)


def odd_json(rng: np.random.Generator, content: bytes, outside: os.PathLike) -> bytes:
    return json.dumps(_changed(rng, json.loads(content), outside), default=str).encode("utf-8", "replace")


def odd_matlab(rng: np.random.Generator, content: bytes, outside: os.PathLike) -> bytes:
    """A file of MATLAB's version 5; a cell array may have an odd cell."""
    from scipy.io import loadmat, savemat

    arrays = {
        name: value for name, value in loadmat(io.BytesIO(content)).items() if not name.startswith("__")
    }
    name = [*arrays][rng.integers(len(arrays))]
    if arrays[name].dtype == object and arrays[name].size and rng.random() < 0.7:
        arrays[name].reshape(-1)[rng.integers(arrays[name].size)] = _numbers(
            rng, arrays[name].reshape(-1)[0], outside
        )
    elif rng.random() < 0.15:
        del arrays[name]
    elif arrays[name].dtype.kind in "fiub":
        arrays[name] = _numbers(rng, arrays[name], outside)
    else:
        arrays[name] = np.zeros(int(rng.integers(3)))
    buffer = io.BytesIO()
    savemat(buffer, arrays)
    return buffer.getvalue()


def odd_hdf5(rng: np.random.Generator, content: bytes, outside: os.PathLike) -> bytes:
    import h5py

    arrays: dict[str, np.ndarray] = {}
    with h5py.File(io.BytesIO(content), "r") as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()]} if isinstance(item, h5py.Dataset) else {})
        )
    chosen = [*arrays][rng.integers(len(arrays))]
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            if name != chosen:
                file[name] = array
            elif rng.random() < _LINKS:
                links = h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/" + name), h5py.SoftLink("/")
                file[name] = links[rng.integers(len(links))]
            elif rng.random() < 0.1:
                shape = tuple(int(side) for side in rng.choice([1, 2**20, 2**40], 2))
                file.create_dataset(name, shape, "f8", chunks=(1, 1))  # claims much and holds nothing
            elif rng.random() < 0.9:
                file[name] = _numbers(rng, array, outside)
    return buffer.getvalue()


def _changed(rng: np.random.Generator, content: Any, outside: os.PathLike) -> Any:
    """Nested dictionaries and lists with a value somewhere in them that is odd or not there."""
    if isinstance(content, dict) and content and rng.random() < 0.95:
        key = [*content][rng.integers(len(content))]
        if rng.random() < 0.1:
            return {name: value for name, value in content.items() if name != key}
        return content | {key: _changed(rng, content[key], outside)}
    if isinstance(content, list) and content and rng.random() < 0.9:
        place = int(rng.integers(len(content)))
        rest = [] if rng.random() < 0.1 else [_changed(rng, content[place], outside)]
        return content[:place] + rest + content[place + 1 :]
    if isinstance(content, np.ndarray) and rng.random() < 0.8:
        return mutations.odd(rng, content, outside)
    return _ODD[rng.integers(len(_ODD))]


def _numbers(rng: np.random.Generator, array: np.ndarray, outside: os.PathLike) -> np.ndarray:
    """An odd array that MATLAB's and HDF5's formats can hold."""
    with np.errstate(all="ignore"):
        found = mutations.odd(rng, np.asarray(array), outside)
    return found if found.dtype.kind in "fiubc" else np.zeros((2, 2), "S3")
