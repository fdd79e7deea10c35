"""Writes results as joblib and torch do, without joblib and torch: for tests and for damaged files."""

import io
import pathlib
import pickle
import sys
import types
import zipfile
import zlib
from unittest import mock

import numpy as np


def write(path: pathlib.Path, content: object, kind: str = "joblib") -> pathlib.Path:
    """Writes what `content` holds, arrays or `Tensor`s among it, and returns the path.

    Args:
      kind: "joblib"; "compressed", which is joblib's zlib; "torch" or "legacy", which is torch's before 1.6, where
        `content` has `Tensor`s.
    """
    # Only while writing: SciPy asks a torch that is imported for its classes.
    with mock.patch.dict(sys.modules, _modules()):
        return _write(path, content, kind)


def _modules() -> dict[str, types.ModuleType]:
    modules = {
        name: types.ModuleType(name) for name in ("joblib", "joblib.numpy_pickle", "torch", "torch._utils")
    }
    modules["joblib.numpy_pickle"].NumpyArrayWrapper = NumpyArrayWrapper
    for name in ("FloatStorage", "LongStorage", "BoolStorage"):
        setattr(modules["torch"], name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*arguments):
        raise AssertionError("it is not to be called")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    modules["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    return modules


def _write(path: pathlib.Path, content: object, kind: str) -> pathlib.Path:
    file = io.BytesIO()
    if kind not in ("torch", "legacy"):
        Joblib(file).dump(content)
        data = file.getvalue()
        path.write_bytes(zlib.compress(data) if kind == "compressed" else data)
        return path
    stored = []

    class Torch(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                stored.append(value.array)
                kind = getattr(sys.modules["torch"], value.kind)
                return "storage", kind, str(len(stored) - 1), "cpu", value.array.size, *more
            return None

    more = (None,) if kind == "legacy" else ()  # no view of another storage
    if kind == "legacy":
        for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(part, file, 2)
        Torch(file, 2).dump(content)
        pickle.dump([str(key) for key in range(len(stored))], file, 2)
        for array in stored:
            file.write(np.int64(array.size).tobytes() + array.tobytes())
        path.write_bytes(file.getvalue())
        return path
    Torch(file, 2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("results/data.pkl", file.getvalue())
        archive.writestr("results/byteorder", "little")
        for key, array in enumerate(stored):
            archive.writestr(f"results/data/{key}", array.tobytes())
    return path


class NumpyArrayWrapper:
    """joblib's description of an array whose numbers follow in the file."""

    def __init__(self, array):
        self.subclass, self.shape, self.dtype = type(array), array.shape, array.dtype
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        self.order = "F" if fortran else "C"
        self.allow_mmap, self.numpy_array_alignment_bytes = True, 16


NumpyArrayWrapper.__module__ = "joblib.numpy_pickle"


class Joblib(pickle._Pickler):
    def save(self, value, save_persistent_id=True):
        if type(value) is not np.ndarray:
            return super().save(value, save_persistent_id)
        super().save(NumpyArrayWrapper(value))
        self.framer.commit_frame(force=True)
        self._file_write(b"\x03\x00\x00\x00")  # three bytes of padding
        self._file_write(value.tobytes("F" if value.flags.f_contiguous else "C"))

    def __init__(self, file):
        super().__init__(file, 4)
        self._file_write = file.write


class Storage:
    """The numbers of a tensor."""

    def __init__(self, kind, array):
        self.kind, self.array = kind, array


class Tensor:
    """An array as a tensor, or what claims to be one of another shape."""

    def __init__(self, array, kind="FloatStorage", shape=None):
        self.array, self.kind, self.shape = array, kind, shape or array.shape

    def __reduce__(self):
        steps = tuple(step // self.array.itemsize for step in self.array.strides)
        whole = self.array if self.array.base is None else self.array.base
        arguments = Storage(self.kind, whole), 0, self.shape, steps, False, {}
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments
