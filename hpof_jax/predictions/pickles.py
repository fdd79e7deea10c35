"""Reads the pickles of other programs, joblib's and torch's, without running anything in them.

Neither joblib nor torch needs to be installed. `hpof_jax.body.unpickle` says how a pickle is read safely.
"""

import math
import pathlib
import pickle
import zlib
from typing import Any

import numpy as np

from hpof_jax.archives import DAMAGE, Archive, open_archive, reason
from hpof_jax.body.unpickle import Noted, Unpickler, plain_array
from hpof_jax.errors import UserError

LARGEST = 2**31  # bytes of a file: WHAM's meshes of 14 minutes
UNPACKED = 2**30  # bytes of the content of a compressed file
MOST = 2**26  # elements of one tensor
WHAT = "a readable result"
AGAIN = "make it again, or "
CURE = "save its arrays with numpy.savez under AMASS's names and give that .npz"

_STORAGES = {"FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "LongStorage": "i8"}
_STORAGES |= {"IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1"}
_OTHER_STORAGES = ("BoolStorage", "BFloat16Storage")  # may be in a file, but are not read
_UNSEEN = (AttributeError, TypeError, AssertionError, pickle.UnpicklingError)  # and DAMAGE: damaged pickles


def read_results(path: pathlib.Path) -> Any:
    """The content of a file of joblib, of torch (since 1.6) or of pickle.

    Returns:
      Dictionaries, lists, numbers and texts; `to_array` makes arrays of what stands for them. Tuples are
      lists.

    Raises:
      UserError: the file is damaged or too large, or names something that no result needs.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST / 1e9:.0f} GB")
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PK\x03\x04":
            return _read_torch(path)
        content = path.read_bytes()
        if content[:1] == b"\x78" or content[:2] == b"\x1f\x8b":
            opened = zlib.decompressobj(wbits=47)  # zlib or gzip
            content = opened.decompress(content, UNPACKED)
            if opened.unconsumed_tail or not opened.eof:
                raise ValueError("it is cut off or unpacks to too much")
        if content[:1] != pickle.PROTO:  # as text does
            raise ValueError("it is no file of joblib, torch or pickle")
        return _Reader(path, content).load()
    except UserError:
        raise
    except (*DAMAGE, *_UNSEEN) as error:
        raise UserError(f"{path} is not {WHAT} ({reason(error)}): {AGAIN}{CURE}.") from error


def to_array(value: Any) -> np.ndarray:
    """The numbers that a part of a result stands for: an array, a tensor, a number or a list of numbers.

    Raises:
      Exception: of almost any kind, if it stands for something else; `results_of` turns it into a sentence.
    """
    if isinstance(value, list):
        return np.array([_number(one) for one in value])
    if not isinstance(value, Noted):
        return np.array(_number(value))
    if isinstance(value.state, np.ndarray):  # joblib's or torch's, made when it was read
        return value.state
    if value.name == "scalar":
        dtype, data = value.arguments
        return plain_array(Noted("_frombuffer", [data, dtype, [], "C"]))
    return plain_array(value)


def _number(value: Any) -> float:
    if isinstance(value, Noted):
        return to_array(value).item()
    if not isinstance(value, int | float):
        raise ValueError("something else than numbers")
    return value


class _Reader(Unpickler):
    kind = "result of a program"
    cure = f"if you trust it, {CURE}"
    known = {
        *Unpickler.known,
        *(("collections", name) for name in ("OrderedDict", "defaultdict")),
        *((module, name) for module in ("builtins", "__builtin__") for name in ("dict", "list")),
        ("joblib.numpy_pickle", "NumpyArrayWrapper"),
        *(("torch._utils", f"_rebuild_{name}") for name in ("tensor_v2", "parameter")),
        *(("torch", name) for name in (*_STORAGES, *_OTHER_STORAGES)),
    }
    archive: Archive | None = None  # torch's: what holds the numbers, and the folder in it
    folder = ""

    def _call(self):
        super()._call()
        noted = self.stack[-1]
        if noted.name in ("OrderedDict", "defaultdict"):
            pairs = noted.arguments[0] if noted.name == "OrderedDict" and noted.arguments else []
            self.stack[-1] = {key: value for key, value in pairs}
        elif noted.name == "_rebuild_tensor_v2":
            noted.state = self._tensor(*noted.arguments[:4])

    def _set_state(self):
        """joblib writes an array's numbers behind its description, into the pickle itself."""
        super()._set_state()
        noted = self.stack[-1]
        if noted.name == "NumpyArrayWrapper":
            described = noted.state
            if described.get("numpy_array_alignment_bytes") is not None:
                self._stream.seek(int.from_bytes(self._stream.read(1), "little"), 1)
            shape, dtype = described["shape"], described["dtype"]
            size = math.prod(shape) * int(dtype.arguments[0][1:])
            data = self._stream.read(size) if 0 <= size <= LARGEST else b""
            noted.state = plain_array(Noted("_frombuffer", [data, dtype, shape, described["order"]]))

    def _storage(self):
        """torch keeps a tensor's numbers in a file of their own: ("storage", type, key, device, size)."""
        _, kind, key, *_ = self.stack.pop()
        self.append(Noted(kind.name, [str(key)]))

    def _tensor(self, storage: Noted, offset: int, size: list[int], stride: list[int]) -> np.ndarray | None:
        """None: too large, or of a type that is not read. No such tensor is a motion."""
        if storage.name not in _STORAGES or math.prod(size) > MOST:
            return None
        if self.archive is None:
            raise ValueError("a tensor outside torch's archive")
        order = ">" if self._big_endian else "<"
        numbers = np.frombuffer(
            self.archive.read(f"{self.folder}data/{storage.arguments[0]}", LARGEST),
            order + _STORAGES[storage.name],
        )
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if math.prod(size) == 0:
            return np.zeros(size, numbers.dtype)
        if min([offset, *stride, *size]) < 0 or last >= len(numbers):
            raise ValueError("a tensor that does not fit its numbers")
        steps = [step * numbers.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(numbers[offset:], size, steps, writeable=False).copy()

    @property
    def _big_endian(self) -> bool:
        name = f"{self.folder}byteorder"
        return name in self.archive.members and self.archive.read(name, 16) == b"big"


_call, _build = _Reader._call, _Reader._set_state
_Reader.dispatch = Unpickler.dispatch | {
    pickle.REDUCE[0]: _call,
    pickle.NEWOBJ[0]: _call,
    pickle.BUILD[0]: _build,
    pickle.BINPERSID[0]: _Reader._storage,
}


def _read_torch(path: pathlib.Path) -> Any:
    with open_archive(path, WHAT, AGAIN + CURE) as archive:
        names = [name for name in archive.members if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("a zip archive without torch's data.pkl")
        reader = _Reader(path, bytes(archive.read(names[0], LARGEST)))
        reader.archive, reader.folder = archive, names[0].removesuffix("data.pkl")
        return reader.load()
