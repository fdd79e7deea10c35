"""Reads the pickles of other programs, joblib's and torch's, without running anything in them.

Neither joblib nor torch needs to be installed. `hpof_jax.body.unpickle` says how a pickle is read safely.
"""

import math
import pathlib
import pickle
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hpof_jax.archives import DAMAGE, Archive, open_archive, reason
from hpof_jax.body.unpickle import Noted, Unpickler, plain_array
from hpof_jax.errors import UserError

LARGEST = 2**31  # bytes of a file: WHAM's meshes of 14 minutes
LARGEST_TREE = 2**27  # bytes of the pickle in torch's archive, which has no numbers in it
UNPACKED = 2**30  # bytes of the content of a compressed file
MOST = 2**26  # elements of one tensor
LEGACY = 0x1950A86A20F9469CFC6C  # the first pickle of a file of torch before 1.6


class Purpose(NamedTuple):
    """What a file is read for, in the words of the errors."""

    what: str  # "... is not `what` (the reason): `again` `cure`."
    kind: str  # "... asks for a name, which no `kind` needs: if you trust it, `cure`."
    again: str
    cure: str


RESULT = Purpose(
    what="a readable result",
    kind="result of a program",
    again="make it again, or ",
    cure="save its arrays with numpy.savez under AMASS's names and give that .npz",
)

_STORAGES = {"FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "LongStorage": "i8"}
_STORAGES |= {"IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1"}
_OTHER_STORAGES = {
    "BoolStorage": 1,
    "BFloat16Storage": 2,
}  # bytes of types that may be in a file, but are not read
_UNSEEN = (AttributeError, TypeError, AssertionError, pickle.UnpicklingError)  # and DAMAGE: damaged pickles


def read_pickled(path: pathlib.Path, purpose: Purpose = RESULT) -> Any:
    """The content of a file of joblib, torch or pickle.

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
            return _read_torch(path, purpose)
        content = path.read_bytes()
        if content[:1] == b"\x78" or content[:2] == b"\x1f\x8b":
            opened = zlib.decompressobj(wbits=47)  # zlib or gzip
            content = opened.decompress(content, UNPACKED)
            if opened.unconsumed_tail or not opened.eof:
                raise ValueError("it is cut off or unpacks to too much")
        if content[:1] != pickle.PROTO:  # as text does
            raise ValueError("it is no file of joblib, torch or pickle")
        reader = _Reader(path, purpose, content)
        found = reader.load()
        return _read_legacy(reader) if type(found) is int and found == LEGACY else found
    except UserError:
        raise
    except (*DAMAGE, *_UNSEEN) as error:
        raise UserError(
            f"{path} is not {purpose.what} ({reason(error)}): {purpose.again}{purpose.cure}."
        ) from error


def to_array(value: Any) -> np.ndarray:
    """The numbers that a part of a result stands for: an array, a tensor, a number or a list of numbers.

    Raises:
      Exception: of almost any kind, if it stands for something else; the caller turns it into a sentence.
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
    numbers: Mapping[str, bytes] | None = None  # the same in older files
    skim = False  # tensors become None
    order = "<"

    def __init__(self, path: pathlib.Path, purpose: Purpose, content: bytes):
        super().__init__(path, content)
        self.kind, self.cure = purpose.kind, f"if you trust it, {purpose.cure}"
        self.purpose, self.content = purpose, content
        self.storages: dict[str, str] = {}  # key -> type

    def load_at(
        self, start: int, numbers: Mapping[str, bytes] | None = None, skim: bool = False
    ) -> tuple[Any, "_Reader"]:
        """The pickle that begins at a byte of the content, and the reader, which stands at its end."""
        reader = _Reader(self._path, self.purpose, self.content)
        reader.numbers, reader.skim, reader.order = numbers, skim, self.order
        reader._stream.seek(start)
        return reader.load(), reader

    @property
    def end(self) -> int:
        """The byte after what was read."""
        return self._stream.tell()

    def _call(self):
        super()._call()
        noted = self.stack[-1]
        if noted.name in ("OrderedDict", "defaultdict"):
            pairs = noted.arguments[0] if noted.name == "OrderedDict" and noted.arguments else []
            self.stack[-1] = {key: value for key, value in pairs}
        elif noted.name == "_rebuild_tensor_v2":
            noted.state = self._tensor(*noted.arguments[:4])
        elif noted.name == "_rebuild_parameter":
            noted.state = noted.arguments[0].state

    def _set_state(self):
        """joblib writes an array's numbers behind its description, into the pickle itself."""
        if isinstance(self.stack[-2], dict):  # torch's dictionaries have attributes: versions of its modules
            self.stack.pop()
            return
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
        self.storages[str(key)] = kind.name
        self.append(Noted(kind.name, [str(key)]))

    def _tensor(self, storage: Noted, offset: int, size: list[int], stride: list[int]) -> np.ndarray | None:
        """None: too large, or of a type that is not read. No such tensor is a motion."""
        if self.skim or storage.name not in _STORAGES or math.prod(size) > MOST:
            return None
        (key,) = storage.arguments
        if self.numbers is not None:
            data: bytes | bytearray = self.numbers[key]
        elif self.archive:
            data = self.archive.read(f"{self.folder}data/{key}", LARGEST)
        else:
            raise ValueError("a tensor outside torch's archive")
        numbers = np.frombuffer(data, self.order + _STORAGES[storage.name])
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if math.prod(size) == 0:
            return np.zeros(size, numbers.dtype)
        if min([offset, *stride, *size]) < 0 or last >= len(numbers):
            raise ValueError("a tensor that does not fit its numbers")
        steps = [step * numbers.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(numbers[offset:], size, steps, writeable=False).copy()


_call, _build = _Reader._call, _Reader._set_state
_Reader.dispatch = Unpickler.dispatch | {
    pickle.REDUCE[0]: _call,
    pickle.NEWOBJ[0]: _call,
    pickle.BUILD[0]: _build,
    pickle.BINPERSID[0]: _Reader._storage,
}


def _read_torch(path: pathlib.Path, purpose: Purpose) -> Any:
    """A zip archive: the pickle, and a file for the numbers of each tensor."""
    with open_archive(path, purpose.what, purpose.again + purpose.cure) as archive:
        names = [name for name in archive.members if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("a zip archive without torch's data.pkl")
        reader = _Reader(path, purpose, bytes(archive.read(names[0], LARGEST_TREE)))
        reader.archive, reader.folder = archive, names[0].removesuffix("data.pkl")
        order = f"{reader.folder}byteorder"
        if order in archive.members and archive.read(order, 16) == b"big":
            reader.order = ">"
        return reader.load()


def _read_legacy(reader: _Reader) -> Any:
    """After torch's number: a version, the machine, the pickle, the keys of the numbers, and the numbers.

    The numbers come last, so the pickle is read twice.
    """
    _, version = reader.load_at(reader.end)
    machine, after = reader.load_at(version.end)
    reader.order = "<" if machine["little_endian"] else ">"
    start = after.end
    _, first = reader.load_at(start, skim=True)
    keys, after = reader.load_at(first.end)
    numbers, at = {}, after.end
    for key in keys:
        (count,) = struct.unpack_from(reader.order + "q", reader.content, at)
        name = first.storages[key]
        size = count * (int(_STORAGES[name][1:]) if name in _STORAGES else _OTHER_STORAGES[name])
        if not 0 <= size <= len(reader.content) - at - 8:
            raise ValueError("it is cut off")
        numbers[key] = reader.content[at + 8 : at + 8 + size]
        at += 8 + size
    return reader.load_at(start, numbers)[0]
