"""Safe readers of the formats that data sets come in: pickles, MATLAB's files, HDF5 and JSON.

Nothing in a file is executed, and sizes are checked before memory is reserved. What is wrong with a file raises
`UserError`, with one sentence.
"""

import contextlib
import json
import math
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.datasets import matlab
from hpof_jax.archives import EXPANSION, damage
from hpof_jax.errors import UserError
from hpof_jax.observe.video import IMAGE_SUFFIXES
from hpof_jax.pickles import Purpose, read_pickled, to_array

LARGEST_FILE = 2**33  # bytes of a MATLAB or HDF5 file; MPI-INF-3DHP's have up to 0.5 GB
LARGEST_TEXT = 2**28  # bytes of a JSON or XML file
LARGEST_ARRAY = 2**30  # bytes of one array of a MATLAB or HDF5 file
# Bytes that an array of the smallest file may have; others may have `EXPANSION` times their size more.
SMALL_ARRAY = 2**26
# Of an array of an HDF5 file. The library takes 2 kB of memory for each, even if it is not in the file.
MOST_CHUNKS = 2**16
MOST_STEPS = 2**20  # of a loop of the reader of CDF files
CURE = "download it again"


def read_pickle(path: pathlib.Path, what: str) -> dict[str, Any]:
    """A pickled dictionary, such as 3DPW's; `array` makes arrays of its parts."""
    _check(path, what, LARGEST_FILE)
    content = read_pickled(path, Purpose(what, "file of this data set", "", CURE))
    if not isinstance(content, dict):
        raise UserError(f"{path} is not {what} (it holds no dictionary): {CURE}.")
    return content


def take(content: dict[str, Any], key: str) -> Any:
    """A part of a dictionary. Raises ValueError if it is not there."""
    if key not in content:
        raise ValueError(f"it has no '{key}'")
    return content[key]


def array(content: dict[str, Any], key: str, number: int | None = None) -> np.ndarray:
    """An array of a pickled dictionary, or the one with a number in a list of arrays; it can be written to.

    Raises ValueError, TypeError or IndexError if it is none.
    """
    found = take(content, key)
    return np.array(to_array(found if number is None else found[number]))


def read_matlab(path: pathlib.Path, names: tuple[str, ...], what: str) -> dict[str, np.ndarray]:
    """Arrays of a MATLAB file of version 5 to 7.2; cells are arrays of objects, texts are (R,)."""
    _check(path, what, LARGEST_FILE)
    with damage(path, what, CURE):
        found = matlab.read_arrays(path, names, _most(path))
        return {name: take(found, name) for name in names}


@contextlib.contextmanager
def open_hdf5(path: pathlib.Path, what: str) -> Iterator["Hdf5"]:
    """Opens an HDF5 file, as MATLAB writes since version 7.3."""
    import h5py

    _check(path, what, LARGEST_FILE)
    with contextlib.ExitStack() as stack:
        with damage(path, what, CURE):
            file = stack.enter_context(h5py.File(path, "r"))
        yield Hdf5(file, path, what)


class Hdf5:
    """An open HDF5 file."""

    def __init__(self, file, path: pathlib.Path, what: str):
        self._file, self._path, self._what = file, path, what

    def read(self, name: str) -> np.ndarray:
        """The numbers of a data set in the file, such as "pose/2d"."""
        import h5py

        with damage(self._path, self._what, CURE):
            # A link to another file could read any file of the user's.
            for end in (*(place for place, letter in enumerate(name) if letter == "/"), len(name)):
                if not isinstance(self._file.get(name[:end], getlink=True), h5py.HardLink):
                    raise ValueError(f"it has no '{name}'")
            found = self._file[name]
            if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
                raise ValueError(f"'{name}' is no array")
            sides = zip(found.shape, found.chunks or (), strict=False)
            chunks = math.prod(-(-side // chunk) for side, chunk in sides)
            size = math.prod(found.shape) * found.dtype.itemsize
            if found.dtype.kind not in "fiub" or size > _most(self._path) or chunks > MOST_CHUNKS:
                raise ValueError(f"'{name}' is {found.dtype}{found.shape}")
            return found[()]


def read_cdf(path: pathlib.Path, name: str, what: str) -> np.ndarray:
    """The numbers of a variable of a CDF file, NASA's format, without its first axis of one record."""
    import cdflib
    from cdflib import cdfread

    # The library loops over counts that the file states, before it looks whether so much is there: for minutes, with
    # gigabytes of numbers. All of its loops call this name.
    cdfread.range = _few
    _check(path, what, LARGEST_TEXT)
    with damage(path, what, CURE):
        try:
            file = cdflib.CDF(str(path))
            found = np.asarray(file.varget(name))
        except Exception as error:  # the library raises almost any exception on damaged files
            raise ValueError(str(error) or type(error).__name__) from error
        if found.dtype.kind not in "fiu" or found.ndim < 2:
            raise ValueError(f"'{name}' is {found.dtype}{found.shape}")
        return np.asarray(found.reshape(-1, found.shape[-1]), np.float64)


def numbered_pictures(folder: pathlib.Path, what: str) -> dict[int, int]:
    """The number of each picture of a folder, the first in its name -> its place among them, from 0."""
    with reading(folder, what):
        names = [path.name for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
        numbers = sorted(int(re.findall(r"\d+", name)[0]) for name in names)
    return {number: place for place, number in enumerate(numbers)}


def _few(*ends: int) -> range:
    """`range`, of no more steps than a file of a data set gives reason for."""
    steps = range(*ends)
    if steps[:MOST_STEPS] != steps:
        raise ValueError("it states a count that is too large")
    return steps


def read_json(path: pathlib.Path, what: str) -> Any:
    """The content of a JSON file."""
    text = read_text(path, what)
    with damage(path, what, CURE):
        return json.loads(text)


def read_text(path: pathlib.Path, what: str) -> str:
    """A text file."""
    _check(path, what, LARGEST_TEXT)
    with damage(path, what, CURE):
        return path.read_text(encoding="utf-8")


@contextlib.contextmanager
def reading(path: pathlib.Path, what: str) -> Iterator[None]:
    """Like `archives.damage`, also for parts that are not of the expected kind."""
    try:
        with damage(path, what, CURE):
            yield
    except (TypeError, AttributeError) as error:
        raise UserError(f"{path} is not {what} ({error}): {CURE}.") from error


def _most(path: pathlib.Path) -> int:
    """Bytes that one array of a MATLAB or HDF5 file may have."""
    return min(LARGEST_ARRAY, SMALL_ARRAY + EXPANSION * path.stat().st_size)


def _check(path: pathlib.Path, what: str, largest: int) -> None:
    with damage(path, what, CURE):
        size = path.stat().st_size
        if not size:
            raise ValueError("it is empty")
        if size > largest:
            raise ValueError(f"it has more than {largest / 1e9:.1f} GB")
