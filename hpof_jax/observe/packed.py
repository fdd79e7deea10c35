"""Masks and optical flow of a clip, compressed frame by frame: a long video's take a tenth of the memory."""

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from hpof_jax.archives import damage, open_archive

LEVEL = 1  # of zlib: higher ones take twice the time for a tenth less memory
BLOCK = 64  # frames that are written at once


class Packed:
    """An array (T, ...) that holds the frames compressed, without loss. Reading makes arrays of the frames asked for.

    It is made by appending frames, all of one shape and type. It is read like an array: `packed[frames]` has the values
    of `np.asarray(packed)[frames]`.

    Args:
      shape, dtype: of a frame.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type | np.dtype | str):
        self._frame, self.dtype = tuple(shape), np.dtype(dtype)
        self._parts: list[bytes] = []

    @classmethod
    def of(cls, frames: np.ndarray) -> "Packed":
        """The frames of an array (T, ...)."""
        packed = cls(frames.shape[1:], frames.dtype)
        for frame in frames:
            packed.append(frame)
        return packed

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self._frame

    @property
    def ndim(self) -> int:
        return 1 + len(self._frame)

    @property
    def nbytes(self) -> int:
        """Bytes of the compressed frames."""
        return sum(map(len, self._parts))

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._unpacked, self._parts)

    def __getitem__(self, index) -> np.ndarray:
        chosen = np.arange(len(self))[index]
        found = np.empty((*np.shape(chosen), *self._frame), self.dtype)
        for place, number in np.ndenumerate(chosen):
            found[place] = self._unpacked(self._parts[number])
        return found

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("the frames are compressed: an array of them is a copy")
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def append(self, frame: np.ndarray) -> None:
        """Adds a frame. Raises ValueError if it has another shape."""
        frame = np.ascontiguousarray(frame, self.dtype)
        if frame.shape != self._frame:
            raise ValueError(f"a frame of shape {frame.shape} instead of {self._frame}")
        self._parts.append(zlib.compress(frame, LEVEL))

    def extend(self, other: "Packed") -> None:
        """Adds the frames of another one, which has frames of the same shape and type."""
        if (other._frame, other.dtype) != (self._frame, self.dtype):
            raise ValueError(f"frames of {other.dtype}{other._frame} instead of {self.dtype}{self._frame}")
        self._parts += other._parts

    def __delitem__(self, rows: slice) -> None:
        del self._parts[rows]

    def _unpacked(self, part: bytes) -> np.ndarray:
        return np.frombuffer(zlib.decompress(part), self.dtype).reshape(self._frame)


def read_packed(path: str | os.PathLike, names: Iterable[str], what: str, cure: str) -> dict[str, Packed]:
    """Arrays of an `.npz`, which are never whole in memory; those that the file lacks are left out.

    Args:
      what, cure: see `hpof_jax.archives.damage`.

    Raises:
      UserError: the file cannot be read, is damaged, or one of the arrays does not consist of frames.
    """
    found = {}
    with open_archive(path, what, cure) as archive, damage(path, what, cure):
        for name in names:
            if f"{name}.npy" in archive.members:
                shape, dtype, frames = archive.frames(name)
                found[name] = Packed(shape[1:], dtype)
                for frame in frames:
                    found[name].append(frame)
    return found


def write_npz(file: BinaryIO, arrays: Iterable[tuple[str, np.ndarray | Packed]]) -> None:
    """As `np.savez_compressed`; a `Packed` becomes an array like others, and is never whole in memory."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if not isinstance(array, Packed):
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
                    continue
                head = np.lib.format.header_data_from_array_1_0(np.empty(0, array.dtype))
                np.lib.format.write_array_header_1_0(member, head | {"shape": array.shape})
                for start in range(0, len(array), BLOCK):
                    member.write(array[start : start + BLOCK].data)
