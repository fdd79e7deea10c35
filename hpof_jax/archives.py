"""Reads `.npz`, `.npy` and `.zip` files that may be damaged or malicious.

Every such file that a user gives, or that a cache keeps, is read here. Whatever is wrong with it ends in one
`UserError`. Nothing in it is executed, nothing is unpacked to the disk, and no memory is reserved for data
that the file only claims to hold.
"""

import contextlib
import io
import lzma
import math
import os
import pathlib
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np

from hpof_jax.errors import UserError

LARGEST = 2**30  # bytes of unpacked data that every archive may hold
EXPANSION = 32  # a large archive may unpack to this many times its own size
LARGEST_DIRECTORY = 2**24  # bytes of a zip's list of members: 200,000 of them
LARGEST_HEADER = 2**12  # characters of an array's header
CHUNK = 2**20  # bytes that are read at once

# What reading a damaged file raises: OSError and ValueError have many subclasses, such as UnicodeDecodeError.
DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,  # NotImplementedError and RecursionError, too
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENTRY = re.compile(
    r"""\s*["'](?:(?P<descr>descr)["']\s*:\s*["'](?P<type>[<>|=]?(?:b1|[iu][1248]|f[248]|U\d{1,6}))["']"""
    r"""|(?P<fortran_order>fortran_order)["']\s*:\s*(?P<order>True|False)"""
    r"""|(?P<shape>shape)["']\s*:\s*\((?P<sides>[\d\sL,]*)\))\s*(?:,|$)"""
)


class Member(NamedTuple):
    """A file in an archive: its size in bytes and its CRC-32, as the archive states them."""

    size: int
    crc: int


class Archive:
    """An open zip archive; see `open_archive`. What is wrong with a member raises `UserError`."""

    def __init__(self, opened: zipfile.ZipFile, path: pathlib.Path, what: str, cure: str):
        self._zip, self._path, self._what, self._cure = opened, path, what, cure
        # Of members with the same name the last one counts, as in `zipfile`.
        self.members = {info.filename: Member(info.file_size, info.CRC) for info in opened.infolist()}

    def read(self, name: str, largest: int = LARGEST) -> bytearray:
        """The content of a member, of at most `largest` bytes; its checksum is checked."""
        with damage(self._path / name, self._what, self._cure):
            return self._read(name, largest)

    def copy(self, name: str, file: BinaryIO, largest: int = LARGEST) -> None:
        """Writes the content of a member to `file`. Errors of writing stay OSErrors."""
        for piece in self._pieces(name, largest):
            file.write(piece)

    def arrays(
        self, names: Collection[str] | None = None, largest: int | None = None
    ) -> dict[str, np.ndarray]:
        """Arrays of an `.npz`: see `read_arrays`."""
        with damage(self._path, self._what, self._cure):
            found = {name.removesuffix(".npy"): name for name in self.members if name.endswith(".npy")}
            if not found:
                raise ValueError("it is an archive without arrays, perhaps one to unpack")
            wanted = {key: name for key, name in found.items() if names is None or key in names}
            largest = self._most(largest)
            if sum(self.members[name].size for name in wanted.values()) > largest:
                raise ValueError(f"it unpacks to more than {_mega(largest)}")
            return {key: _to_array(key, self._read(name, largest)) for key, name in wanted.items()}

    def frames(
        self, key: str, largest: int | None = None
    ) -> tuple[tuple[int, ...], np.dtype, Iterator[np.ndarray]]:
        """An array (T, ...) of an `.npz`, whose frames are read one after the other: its shape, its type, the frames.

        What is wrong with the file raises exceptions of `DAMAGE`.

        Args:
          largest: see `read_arrays`.
        """
        name, largest = f"{key}.npy", self._most(largest)
        stream = self._open(name, largest)
        header = _read_header(stream)
        header.check(self.members[name].size - header.start)
        shape, fortran, dtype, _ = header
        size = math.prod(shape[1:]) * dtype.itemsize
        if fortran or not shape or not size:
            raise ValueError(f"'{key}' is an array of shape {shape} instead of one of frames")

        def read() -> Iterator[np.ndarray]:
            with stream:
                for _ in range(shape[0]):
                    content = stream.read(size)
                    if len(content) < size:
                        raise ValueError(f"'{name}' does not have the size that the archive states")
                    yield np.frombuffer(content, dtype).reshape(shape[1:])
                stream.read(1)  # at the end, the checksum is checked

        return shape, dtype.newbyteorder("="), read()

    def _most(self, largest: int | None) -> int:
        return max(LARGEST, EXPANSION * self._path.stat().st_size) if largest is None else largest

    def _read(self, name: str, largest: int) -> bytearray:
        content = bytearray()
        for piece in self._stream(name, largest):
            content += piece
        return content

    def _pieces(self, name: str, largest: int) -> Iterator[bytes]:
        """Like `_stream`, with `UserError`s; what the caller does with a piece is not watched."""
        pieces = self._stream(name, largest)
        while True:
            with damage(self._path / name, self._what, self._cure):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def _stream(self, name: str, largest: int) -> Iterator[bytes]:
        """The content of a member in pieces of at most `CHUNK` bytes."""
        size = 0
        with self._open(name, largest) as stream:
            while piece := stream.read(CHUNK):
                size += len(piece)
                yield piece
        if size != self.members[name].size:
            raise ValueError(f"'{name}' does not have the size that the archive states")

    def _open(self, name: str, largest: int) -> IO[bytes]:
        if name not in self.members:
            raise ValueError("there is no such file in the archive")
        info = self._zip.getinfo(name)
        if info.flag_bits & 1:
            raise ValueError(f"'{name}' is encrypted")
        if info.compress_type not in _METHODS:
            raise ValueError(f"'{name}' is compressed by method {info.compress_type} instead of 'deflate'")
        if info.file_size > largest:
            raise ValueError(f"it unpacks to more than {_mega(largest)}")
        return self._zip.open(info)


@contextlib.contextmanager
def open_archive(path: str | os.PathLike, what: str, cure: str) -> Iterator[Archive]:
    """Opens a zip archive.

    Args:
      what, cure: see `damage`.

    Raises:
      UserError: the file cannot be read, or is no zip archive.
    """
    path = pathlib.Path(path)
    with contextlib.ExitStack() as stack:
        with damage(path, what, cure):
            # `zipfile` does not close a damaged file that it opens itself.
            file = stack.enter_context(path.open("rb"))
            opened = stack.enter_context(zipfile.ZipFile(_Limited(file)))
            archive = Archive(opened, path, what, cure)
        yield archive


def read_arrays(
    path: str | os.PathLike,
    what: str,
    cure: str,
    names: Collection[str] | None = None,
    largest: int | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`: booleans, integers, floating-point numbers and text; all can be written to.

    Args:
      what, cure: see `damage`.
      names: the arrays to read; those that the file lacks are left out. Others are not looked at. None: all.
      largest: bytes that the arrays may take together. None: `LARGEST`, or `EXPANSION` times the file's size
        if that is more.

    Raises:
      UserError: the file cannot be read, is damaged or too large, or one of these arrays holds objects.
    """
    with open_archive(path, what, cure) as archive:
        return archive.arrays(names, largest)


def check_array(name: str, array: Any, shape: tuple[int, ...], kinds: str = "f") -> None:
    """Checks an array of a file.

    Args:
      name: of the array, for the message.
      array: an array, or rows of one that are read when they are asked for.
      kinds: the allowed kinds of its type, letters of `dtype.kind`.

    Raises:
      ValueError: another shape or kind, or a number that is not finite.
    """
    if array.shape != shape or array.dtype.kind not in kinds:
        raise ValueError(f"'{name}' is {array.dtype}{array.shape} instead of {shape}")
    rows = [array] if isinstance(array, np.ndarray) else array
    if array.dtype.kind == "f" and not all(np.isfinite(row).all() for row in rows):
        raise ValueError(f"'{name}' holds numbers that are not finite")


def map_array(path: str | os.PathLike, what: str, cure: str) -> np.ndarray:
    """The array of an `.npy` file, which stays on the disk until its numbers are used.

    Args:
      what, cure: see `damage`.

    Raises:
      UserError: the file cannot be read, is damaged, or holds objects.
    """
    path = pathlib.Path(path)
    with damage(path, what, cure), path.open("rb") as file:
        header = _read_header(file)
        size = path.stat().st_size - header.start
        header.check(size)
        if not size:
            return np.zeros(header.shape, header.dtype)
        order = "F" if header.fortran else "C"
        return np.memmap(path, header.dtype, "r", header.start, header.shape, order)


@contextlib.contextmanager
def damage(where: object, what: str, cure: str) -> Iterator[None]:
    """Turns an exception of `DAMAGE` in the block into a sentence; a `UserError` passes.

    Args:
      where: the file.
      what: what the file should be, such as "a rendered clip".
      cure: what to do, such as "delete it and render it again".

    Raises:
      UserError: "`where` is not `what` (the reason): `cure`."
    """
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"{where} is not {what} ({reason(error)}): {cure}.") from error


def reason(error: BaseException) -> str:
    """The message of an exception as a part of a sentence: one short line that a terminal can print."""
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return (one_line(text) or type(error).__name__).rstrip(".")


def one_line(text: str) -> str:
    """The first 200 characters of a file's text, as one line that a terminal can print."""
    text = " ".join(text.split())[:200]
    return "".join(sign if sign.isprintable() else "?" for sign in text)


class _Limited:
    """A file for `zipfile`, which reserves as much memory for the list of members as the file claims."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > LARGEST_DIRECTORY:
            raise ValueError(f"its list of members takes more than {_mega(LARGEST_DIRECTORY)}")
        return self._file.read(size)


class _Header(NamedTuple):
    """The header of an array in NumPy's format; the numbers begin at byte `start`."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int

    def check(self, size: int) -> None:
        """Raises ValueError if `size` bytes do not hold exactly this array."""
        count = math.prod(self.shape)
        if len(self.shape) > 32 or max((count, *self.shape)) > 2**48 or count * self.dtype.itemsize != size:
            raise ValueError(f"an array of shape {self.shape} does not fit its {size} bytes")


def _read_header(file: IO[bytes]) -> _Header:
    """Reads a header. Unlike NumPy's reader, it does not parse Python code."""
    start = file.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise ValueError("it holds something else than arrays")
    layout = "<H" if start[6] == 1 else "<I"
    (length,) = struct.unpack(layout, file.read(struct.calcsize(layout)))
    if length > LARGEST_HEADER:
        raise ValueError(f"the header of an array takes {length} bytes")
    text = file.read(length).decode("latin1").strip()
    fields, at, end = {}, 1, len(text) - 1
    if text[:1] == "{" and text[-1:] == "}":
        while at < end and (entry := _ENTRY.match(text, at, end)):
            fields |= {key: value for key, value in entry.groupdict().items() if value is not None}
            at = entry.end()
    if text[at:end].strip() or len(fields) != 6:
        kind = re.search(r"descr['\"]\s*:\s*['\"]?([^'\"]{1,20})", text)
        if kind and "O" in kind[1]:
            raise ValueError("an array of objects")
        refused = f"an array of type {kind[1]}" if kind else "the header of an array"
        raise ValueError(f"{refused} is not numbers or text")
    sides = fields["sides"].replace("L", "").split(",")  # Python 2 writes 3L
    shape = tuple(int(side) for side in sides if side.strip())
    return _Header(shape, fields["order"] == "True", np.dtype(fields["type"]), file.tell())


def _to_array(name: str, content: bytearray) -> np.ndarray:
    try:
        header = _read_header(io.BytesIO(memoryview(content)[: LARGEST_HEADER + 16]))
    except ValueError as error:
        raise ValueError(f"'{name}': {error}") from error
    header.check(len(content) - header.start)
    shape, fortran, dtype, start = header
    array = np.ndarray(shape, dtype, content, start, order="F" if fortran else "C")
    if dtype.kind == "U" and array.size and dtype.itemsize:
        codes = np.frombuffer(content, dtype.byteorder.replace("|", "=") + "u4", offset=start)
        if codes.max() > 0x10FFFF or ((codes >= 0xD800) & (codes < 0xE000)).any():
            raise ValueError(f"'{name}' holds something else than text")
    # JAX takes no array of the other byte order.
    return array if dtype.isnative and array.flags.aligned else array.astype(dtype.newbyteorder("="))


def _mega(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
