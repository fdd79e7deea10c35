"""Reads SMPL's pickles without running anything in them.

A pickle is a program that names functions and calls them. This reader refuses every name that body files do
not need. Names that they need, calls and object states are only recorded, and arrays are made from the
records. So nothing is imported, and neither chumpy nor an old SciPy needs to be installed.
"""

import dataclasses
import io
import pathlib
import pickle
import pickletools
import re
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from hpof_jax.errors import UserError

LARGEST = 2**22  # elements of a sparse matrix when made dense; SMPL's joint regressor has 165,360

# Names in body files: arrays, sparse matrices, chumpy's arrays, and Python's helpers to build them.
_KNOWN = {
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *((f"scipy.sparse{module}", "csc_matrix") for module in ("", ".csc", "._csc")),
    ("chumpy.ch", "Ch"),
    ("chumpy.reordering", "Select"),
    *((module, name) for module in ("__builtin__", "builtins") for name in ("object", "set", "bytes")),
    *((module, "_reconstructor") for module in ("copy_reg", "copyreg")),
    ("_codecs", "encode"),
}
# Instructions for plain data and names. Left out: persistent ids, extension codes, out-of-band data.
_PLAIN = (
    """MARK STOP POP POP_MARK DUP PROTO FRAME PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET NONE NEWTRUE NEWFALSE
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 LIST EMPTY_LIST APPEND APPENDS
    DICT EMPTY_DICT SETITEM
    SETITEMS EMPTY_SET ADDITEMS GLOBAL STACK_GLOBAL INST"""
).split()
_TUPLES = ("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE")


def read_pickle(path: pathlib.Path, keys: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of a pickled dictionary for those of `keys` that it has.

    Sparse matrices become dense, chumpy's arrays become NumPy arrays.

    Raises:
      UserError: the pickle names something that no body file needs.
      Exception: of almost any kind, if the pickle is damaged, is no dictionary, or its arrays hold no
        numbers.
    """
    content = Unpickler(path).load()
    if not isinstance(content, dict):
        raise ValueError("it holds no dictionary")
    content = _texts(content)
    return {key: _array(content[key]) for key in keys if isinstance(content.get(key), Noted)}


@dataclasses.dataclass(eq=False)
class Noted:
    """The record of an object in a pickle: the last part of its name, the call's arguments, its state."""

    name: str
    arguments: list | None = None  # None: not called
    state: Any = None


class Unpickler(pickle._Unpickler):
    """Records what a pickle asks for. `load` returns plain data and `Noted`s.

    Based on Python's implementation: the one in C reserves all memory that a tiny file asks for.

    Args:
      path: the file, for messages.
      content: of the pickle; None: that of the file.
    """

    known: Collection[tuple[str, str]] = _KNOWN  # modules and names that are recorded; others are refused
    kind = "body file"  # what is read, and what to do if it asks for something else, for messages
    cure = "do not open it with other programs either, and download it again from its own site"

    def __init__(self, path: pathlib.Path, content: bytes | None = None):
        # The whole file is in memory: reads beyond its end then reserve nothing.
        self._stream = io.BytesIO(path.read_bytes() if content is None else content)
        super().__init__(self._stream, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Noted:
        if (module, name) not in self.known:
            self._refuse(f"{module}.{name}".encode("unicode_escape").decode())
        return Noted(name)

    def _refuse(self, what: str):
        raise UserError(f"{self._path} asks for {what}, which no {self.kind} needs: {self.cure}.")

    def _call(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        self.append(Noted(function.name, list(arguments)))

    def _set_state(self):
        state, noted = self.stack.pop(), self.stack[-1]
        noted.state = state  # raises for plain values, which have no state


def _dispatch() -> dict[int, Callable[[Unpickler], None]]:
    known = pickle._Unpickler.dispatch

    def refused(name):
        return lambda self: self._refuse(f"the instruction {name}")

    def as_list(load):
        def act(self):
            load(self)
            self.stack[-1] = list(self.stack[-1])

        return act

    table = {ord(code): refused(instruction.name) for code, instruction in pickletools.code2op.items()}
    table |= {code: known[code] for code in (getattr(pickle, name)[0] for name in _PLAIN)}
    # Tuples become lists, which cannot be dictionary keys: hashing nested tuples can take forever.
    table |= {code: as_list(known[code]) for code in (getattr(pickle, name)[0] for name in _TUPLES)}
    # Python's own handler reserves the size that the file claims, not the size that it has.
    table[pickle.BYTEARRAY8[0]] = known[pickle.BINBYTES8[0]]
    call, build = Unpickler._call, Unpickler._set_state
    return table | {pickle.REDUCE[0]: call, pickle.NEWOBJ[0]: call, pickle.BUILD[0]: build}


Unpickler.dispatch = _dispatch()


def _array(noted: Noted) -> np.ndarray:
    """The array that a record stands for. Its parts must be plain arrays, so that nothing is made twice."""
    kind = _kind(noted)
    if kind == "ndarray":
        return plain_array(noted)
    state = _texts(noted.state)
    if kind == "Ch":  # a leaf of chumpy's expressions
        return plain_array(state["x"])
    if kind == "Select":  # a part of one
        chosen = _array(state["a"]).ravel()[plain_array(state["idxs"])]
        return chosen.reshape(state["preferred_shape"]) if "preferred_shape" in state else chosen
    if kind == "csc_matrix":
        from scipy.sparse import csc_array

        rows, columns = state.get("_shape", state.get("shape"))
        if not (0 <= rows <= LARGEST and 0 <= columns <= LARGEST and rows * columns <= LARGEST):
            raise ValueError(f"a sparse matrix of {rows} x {columns}")
        matrix = csc_array(
            tuple(plain_array(state[key]) for key in ("data", "indices", "indptr")), shape=(rows, columns)
        )
        matrix.check_format(full_check=True)  # its indices are used unchecked afterwards
        return matrix.toarray()
    raise ValueError(f"{kind} is no array")


def _kind(noted: Noted) -> str:
    if noted.name in ("_reconstruct", "_reconstructor"):  # their first argument is the class
        return noted.arguments[0].name
    return "ndarray" if noted.name == "_frombuffer" else noted.name


def plain_array(noted: Noted) -> np.ndarray:
    """A NumPy array of numbers, from its state or, in pickle protocol 5, from its bytes."""
    if not isinstance(noted, Noted) or _kind(noted) != "ndarray":
        raise ValueError("not an array where an array is needed")
    if noted.name == "_frombuffer":
        data, dtype, shape, layout = noted.arguments
    else:
        _, shape, dtype, fortran, data = noted.state
        layout = "F" if fortran else "C"
    code, order = dtype.arguments[0], dtype.state[1]
    if dtype.name != "dtype" or not re.fullmatch("[fiu][1248]|b1", code) or order not in ("<", ">", "|", "="):
        raise ValueError(f"an array of {code} instead of numbers")
    return np.frombuffer(_bytes(data), order + code).reshape(shape, order=layout)


def _bytes(data: Any) -> bytes:
    """Bytes, from bytes (Python 3), text (Python 2), or a recorded call that makes bytes from text."""
    if isinstance(data, Noted):
        data = data.arguments[0] if data.arguments else b""
    return data if isinstance(data, bytes) else data.encode("latin1")


def _texts(state: dict) -> dict[str, Any]:
    """The dictionary with text keys; some converted files have bytes as keys."""
    return {key if isinstance(key, str) else _bytes(key).decode(): value for key, value in state.items()}
