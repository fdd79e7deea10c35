"""Reads MATLAB's files of version 5 to 7.2: arrays of numbers, texts, and cells of them.

SciPy's reader ends the process at some damaged files, because it does not check the types that a file states. The format
is MathWorks' "MAT-File Format": elements of a type, a size and data, which are nested.
"""

import math
import pathlib
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

HEADER = 128  # bytes of the file's header
MATRIX, COMPRESSED = 14, 15  # types of elements
SIDES = 5  # the type of an array's dimensions: int32
CELL, TEXT = 1, 4  # classes of arrays
COMPLEX = 0x0800  # a flag
DEEPEST = 4  # cells in cells
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
_CLASSES = dict(enumerate(("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), 6))
_NAME = 2**12  # bytes that hold an array's header and name


class _Element(NamedTuple):
    kind: int
    data: memoryview
    after: int  # where the next one begins


def read_arrays(path: pathlib.Path, names: Collection[str], largest: int) -> dict[str, np.ndarray]:
    """The arrays of these names that are in the file; numbers, texts (R,), or objects for cells.

    Args:
      largest: bytes that an array may unpack to.

    Raises:
      ValueError: the file is damaged or of another version, or an array is none of these.
    """
    view = memoryview(np.memmap(path, np.uint8, "r"))
    if len(view) < HEADER or bytes(view[124:128]) != b"\x00\x01IM":
        raise ValueError("it is no MATLAB file of version 5 to 7.2 with little-endian numbers")
    return dict(_variables(view, names, largest))


def _variables(view: memoryview, names: Collection[str], largest: int) -> Iterator[tuple[str, np.ndarray]]:
    at = HEADER
    while at < len(view):
        element = _element(view, at)
        at = element.after
        data = element.data
        if element.kind == COMPRESSED:
            start = memoryview(zlib.decompressobj().decompress(data, _NAME))
            kind, size = struct.unpack_from("<II", start)
            if kind != MATRIX or _name(start[8:]) not in names:
                continue
            if size > largest:
                raise ValueError(f"an array of {size} bytes")
            data = memoryview(zlib.decompressobj().decompress(data, size + 8))[8:]
        elif element.kind != MATRIX or _name(data) not in names:
            continue
        yield _name(data), _array(data)


def _element(view: memoryview, at: int) -> _Element:
    kind, size = struct.unpack_from("<II", view, at)
    if kind >> 16:  # a small one: both numbers in four bytes, and the data in the next four
        kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
    else:
        start = at + 8
        after = start + size + (0 if kind == COMPRESSED else -size % 8)
    if start + size > len(view) or start + size > after:
        raise ValueError("an element is longer than what it lies in")
    return _Element(kind, view[start : start + size], after)


def _name(matrix: memoryview) -> str:
    flags = _element(matrix, 0)
    return bytes(_element(matrix, _element(matrix, flags.after).after).data).decode("ascii")


def _array(matrix: memoryview, depth: int = 0) -> np.ndarray:
    flags = _element(matrix, 0)
    sides = _element(matrix, flags.after)
    name = _element(matrix, sides.after)
    (word,) = struct.unpack_from("<I", flags.data)
    if sides.kind != SIDES:
        raise ValueError(f"dimensions of type {sides.kind}")
    kind, shape = word & 0xFF, tuple(_numbers(sides).tolist())
    if min(shape, default=-1) < 0 or word & COMPLEX:
        raise ValueError(f"an array of shape {shape} or of complex numbers")
    if kind == CELL:
        return _cells(matrix, name.after, shape, depth)
    data = _element(matrix, name.after)
    if kind == TEXT:
        if len(shape) != 2 or data.kind not in _TEXTS:
            raise ValueError(f"a text of shape {shape} and type {data.kind}")
        letters = np.array([*bytes(data.data).decode(_TEXTS[data.kind])], "U1").reshape(shape, order="F")
        return np.array(["".join(row) for row in letters], str)
    if kind not in _CLASSES:
        raise ValueError(f"an array of class {kind}")
    return _numbers(data).astype(_CLASSES[kind]).reshape(shape, order="F")


def _cells(matrix: memoryview, at: int, shape: tuple[int, ...], depth: int) -> np.ndarray:
    count = math.prod(shape)
    if depth >= DEEPEST or 8 * count > len(matrix):
        raise ValueError(f"cells of shape {shape}, {depth} deep")
    cells = np.empty(count, object)
    for number in range(count):
        element = _element(matrix, at)
        if element.kind != MATRIX:
            raise ValueError(f"a cell of type {element.kind}")
        cells[number] = _array(element.data, depth + 1) if len(element.data) else np.zeros((0, 0))
        at = element.after
    return cells.reshape(shape, order="F")


def _numbers(element: _Element) -> np.ndarray:
    if element.kind not in _STORED:
        raise ValueError(f"numbers of type {element.kind}")
    return np.frombuffer(element.data, "<" + _STORED[element.kind])
