"""Reads the pickles that SMPL comes as, and runs nothing of what they ask for.

A pickle is a program that names functions and calls them. Here every name that body files do not need ends the reading,
and a name that they need, a call and an object's state are only written down; arrays are made of that afterwards. So
nothing is imported by name, and neither chumpy nor an old SciPy has to be installed.
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

LARGEST = 2**22  # elements of a sparse matrix when it is filled up; SMPL's joint regressor has 165,360

# All that body files name: arrays, sparse matrices, chumpy's arrays, and what Python itself builds these with.
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
# The instructions for plain data and names; persistent ids, extension codes and data outside of the file are not there.
_PLAIN = (
    """MARK STOP POP POP_MARK DUP PROTO FRAME PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET NONE NEWTRUE NEWFALSE
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE
    SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 LIST EMPTY_LIST APPEND APPENDS DICT EMPTY_DICT SETITEM
    SETITEMS EMPTY_SET ADDITEMS GLOBAL STACK_GLOBAL INST"""
).split()
_TUPLES = ("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE")


def read_pickle(path: pathlib.Path, keys: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of a pickled dictionary, those of `keys` that are there; the others are left alone.

    Sparse matrices are filled up, chumpy's arrays become plain ones.

    Raises:
      UserError: the pickle asks for something that no body file needs.
      Exception: of nearly any kind, if it is damaged, no dictionary, or its arrays hold no numbers.
    """
    content = _Unpickler(path).load()
    if not isinstance(content, dict):
        raise ValueError("it holds no dictionary")
    content = _texts(content)
    return {key: _array(content[key]) for key in keys if isinstance(content.get(key), _Noted)}


@dataclasses.dataclass(eq=False)
class _Noted:
    """What a pickle says of an object: the last part of its name, what that is called with, and the state it gets."""

    name: str
    arguments: list | None = None  # None: it is not called
    state: Any = None


class _Unpickler(pickle._Unpickler):
    """Python's own implementation, as the one in C reserves as much memory as a file of ten bytes demands."""

    def __init__(self, path: pathlib.Path):
        # All of it in memory: a read beyond its end then reserves nothing.
        super().__init__(io.BytesIO(path.read_bytes()), encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> _Noted:
        if (module, name) not in _KNOWN:
            self._refuse(f"{module}.{name}".encode("unicode_escape").decode())
        return _Noted(name)

    def _refuse(self, what: str):
        raise UserError(
            f"{self._path} asks for {what}, which no body file needs: do not open it with other programs either, and "
            "download it again from its own site."
        )

    def _call(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        self.append(_Noted(function.name, list(arguments)))

    def _set_state(self):
        state, noted = self.stack.pop(), self.stack[-1]
        noted.state = state  # which plain values have none of, and raise


def _dispatch() -> dict[int, Callable[[_Unpickler], None]]:
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
    # Lists are no keys of dictionaries: to hash tuples of tuples may take for ever.
    table |= {code: as_list(known[code]) for code in (getattr(pickle, name)[0] for name in _TUPLES)}
    # Python's own way to a bytearray reserves as much as the file says, not as much as it has.
    table[pickle.BYTEARRAY8[0]] = known[pickle.BINBYTES8[0]]
    call, build = _Unpickler._call, _Unpickler._set_state
    return table | {pickle.REDUCE[0]: call, pickle.NEWOBJ[0]: call, pickle.BUILD[0]: build}


_Unpickler.dispatch = _dispatch()


def _array(noted: _Noted) -> np.ndarray:
    """The array that an object stands for; what it is made of is plain arrays, so that nothing is made twice."""
    kind = _kind(noted)
    if kind == "ndarray":
        return _plain(noted)
    state = _texts(noted.state)
    if kind == "Ch":  # a leaf of chumpy's expressions
        return _plain(state["x"])
    if kind == "Select":  # a part of one
        chosen = _array(state["a"]).ravel()[_plain(state["idxs"])]
        return chosen.reshape(state["preferred_shape"]) if "preferred_shape" in state else chosen
    if kind == "csc_matrix":
        from scipy.sparse import csc_array

        rows, columns = state.get("_shape", state.get("shape"))
        if not (0 <= rows <= LARGEST and 0 <= columns <= LARGEST and rows * columns <= LARGEST):
            raise ValueError(f"a sparse matrix of {rows} x {columns}")
        matrix = csc_array(
            tuple(_plain(state[key]) for key in ("data", "indices", "indptr")), shape=(rows, columns)
        )
        matrix.check_format(full_check=True)  # its indices are used unchecked afterwards
        return matrix.toarray()
    raise ValueError(f"{kind} is no array")


def _kind(noted: _Noted) -> str:
    if noted.name in ("_reconstruct", "_reconstructor"):  # which are told the class first
        return noted.arguments[0].name
    return "ndarray" if noted.name == "_frombuffer" else noted.name


def _plain(noted: _Noted) -> np.ndarray:
    """A NumPy array of numbers: from its state, or, since pickle's fifth protocol, from its bytes."""
    if not isinstance(noted, _Noted) or _kind(noted) != "ndarray":
        raise ValueError("something else than an array in an array's place")
    if noted.name == "_frombuffer":
        data, dtype, shape, layout = noted.arguments
    else:
        _, shape, dtype, fortran, data = noted.state
        layout = "F" if fortran else "C"
    code, order = dtype.arguments[0], dtype.state[1]
    if dtype.name != "dtype" or not re.fullmatch("[fiu][1248]", code) or order not in ("<", ">", "|", "="):
        raise ValueError(f"an array of {code}, which is no kind of number")
    return np.frombuffer(_bytes(data), order + code).reshape(shape, order=layout)


def _bytes(data: Any) -> bytes:
    """Bytes as Python 3 writes them, as the text that they are in Python 2, or as the call that makes them of text."""
    if isinstance(data, _Noted):
        data = data.arguments[0] if data.arguments else b""
    return data if isinstance(data, bytes) else data.encode("latin1")


def _texts(state: dict) -> dict[str, Any]:
    """The same with texts for keys; files that were converted carelessly have bytes."""
    return {key if isinstance(key, str) else _bytes(key).decode(): value for key, value in state.items()}
