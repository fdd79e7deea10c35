"""A function that reads files, a valid file for it, and how files are damaged for it."""

import dataclasses
import functools
import io
import pathlib
import shutil
import struct
import zipfile
from collections.abc import Callable

import numpy as np

from benchmarks import mutated_formats, mutations

FORMATS = {
    "pickle": mutated_formats.odd_pickle,
    "matlab": mutated_formats.odd_matlab,
    "hdf5": mutated_formats.odd_hdf5,
    "json": mutated_formats.odd_json,
}


@dataclasses.dataclass(frozen=True)
class Door:
    """A function that reads files.

    make: writes a valid file, and what lies beside it, to a folder.
    file: the path of that file in the folder.
    kind: "npz", "zip" (of text), "zip_bytes" (of other files), "npy", "tfrecord", "pickle", "matlab", "hdf5", "json",
      "text", "bytes": how the file is damaged, apart from its bytes.
    open: reads the file, given its path.
    must_read: whether refusing the file is a defect.
    programs: those that the function may start, by a part of their names.
    """

    file: str
    kind: str
    make: Callable[[pathlib.Path], object]
    open: Callable[[pathlib.Path], object]
    must_read: bool = False
    programs: tuple[str, ...] = ()
    _folder: list[pathlib.Path] = dataclasses.field(default_factory=list)

    def prepare(self, folder: pathlib.Path) -> None:
        """Makes the valid file, which later calls copy."""
        self.make(folder)
        self._folder[:] = [folder]

    def valid(self, folder: pathlib.Path) -> pathlib.Path:
        return folder / self.file

    def damage(self, rng: np.random.Generator, scratch: pathlib.Path) -> pathlib.Path:
        """Copies the valid folder into the empty folder `scratch`, damages the file, and returns its path."""
        (folder,) = self._folder
        shutil.copytree(folder, scratch, dirs_exist_ok=True)
        path = scratch / self.file
        path.write_bytes(self._change(rng, path.read_bytes(), scratch.parent / "outside"))
        return path

    def _change(self, rng: np.random.Generator, content: bytes, outside: pathlib.Path) -> bytes:
        odd = functools.partial(mutations.odd_array, outside=outside)
        if rng.random() < 0.4 or self.kind == "bytes":
            return mutations.damaged(rng, content)
        if self.kind == "text":
            return mutations.damaged_text(rng, content)
        if self.kind == "tfrecord":
            return mutations.damaged_record(rng, content)
        if self.kind in FORMATS:
            return FORMATS[self.kind](rng, content, outside)
        if self.kind == "npy":
            return odd(rng, content)
        if rng.random() < mutations.BOMB_SHARE:
            return _bomb(content)
        if rng.random() < 0.3:
            return mutations.lying_directory(rng, content)
        change = {"npz": odd, "zip": mutations.damaged_text, "zip_bytes": mutations.damaged}[self.kind]
        return mutations.repacked(rng, content, change)


@functools.lru_cache(maxsize=1)
def _bomb(content: bytes) -> bytes:
    """An archive whose first member goes on with zeros; an array's header says so."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = archive.namelist()[0]
    count = mutations.BOMB // 288
    header = (
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, 72), }}".encode().ljust(117) + b"\n"
    )
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    return mutations.bomb(name, head if name.endswith(".npy") else b"")
