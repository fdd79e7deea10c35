"""Reads OpenSim's TRC files (markers) and MOT files (coordinates), those of other programs included.

`trc.py` and `mot.py` write them.
"""

import dataclasses
import os
import pathlib

import numpy as np

from hpof_jax.archives import damage
from hpof_jax.errors import UserError

LARGEST = 2**28  # bytes of a file; 60 markers take 30 MB an hour at 10 frames/s
CURE = "export it again"
_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}  # by the unit in the file
_TRANSLATIONS = ("_tx", "_ty", "_tz")  # coordinates that are metres


@dataclasses.dataclass(frozen=True, eq=False)
class Markers:
    """Marker positions in T frames, in the file's axes: y up in most files."""

    times: np.ndarray  # (T,) seconds, ascending
    points: dict[str, np.ndarray]  # name -> (T, 3) metres, NaN where the marker is missing


@dataclasses.dataclass(frozen=True, eq=False)
class Coordinates:
    """Coordinates of an OpenSim model in T frames."""

    times: np.ndarray  # (T,) seconds, ascending
    values: dict[str, np.ndarray]  # name -> (T,) degrees, or metres of `_tx`, `_ty` and `_tz`


def read_trc(path: str | os.PathLike) -> Markers:
    """Reads a TRC file. Empty cells, NaN and positions of exactly (0, 0, 0) are missing markers.

    Raises:
      UserError: no such file, or one that is damaged or in an unknown unit.
    """
    path = pathlib.Path(path)
    with damage(path, "a TRC file", CURE):
        lines = _lines(path)
        if len(lines) < 6 or not lines[0].startswith("PathFileType"):
            raise ValueError("it does not begin with the header 'PathFileType'")
        header = dict(zip(lines[1].split(), lines[2].split()))
        unit = header.get("Units", "none")
        if unit not in _METRES:
            raise ValueError(f"its unit is {unit} instead of mm or m")
        names = [name.strip() for name in lines[3].split("\t")[2:] if name.strip()]
        if not names or len({*names}) < len(names):
            raise ValueError("it names no marker, or one of them twice")
        values = _numbers([line.split("\t") for line in lines[5:]], 2 + 3 * len(names))
        points = values[:, 2:].reshape(len(values), -1, 3) * _METRES[unit]
        points[np.isnan(points).any(axis=-1) | (points == 0).all(axis=-1)] = np.nan
        return Markers(_times(values[:, 1]), dict(zip(names, points.swapaxes(0, 1))))


def read_mot(path: str | os.PathLike) -> Coordinates:
    """Reads a MOT file; one in radians is converted.

    Raises:
      UserError: no such file, or one that is damaged or has no column `time`.
    """
    path = pathlib.Path(path)
    with damage(path, "a MOT file", CURE):
        lines = [line.strip() for line in _lines(path)]
        end = next((row for row, line in enumerate(lines) if line.lower() == "endheader"), None)
        if end is None:
            raise ValueError("it has no line 'endheader'")
        header = dict(line.lower().replace(" ", "").split("=", 1) for line in lines[:end] if "=" in line)
        rows = [line.split() for line in lines[end + 1 :] if line]
        names = rows[0] if rows else []
        if "time" not in names or len({*names}) < len(names):
            raise ValueError("it has no column 'time', or two of one name")
        columns = dict(zip(names, _numbers(rows[1:], len(names)).T))
        times = _times(columns.pop("time"))
        radians = header.get("indegrees") == "no"
        values = {
            name: np.degrees(column) if radians and not name.endswith(_TRANSLATIONS) else column
            for name, column in columns.items()
        }
        return Coordinates(times, values)


def _lines(path: pathlib.Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"There is no file {path}: give an existing one.")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has more than {LARGEST / 1e6:.0f} MB")
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _numbers(rows: list[list[str]], columns: int) -> np.ndarray:
    """(rows, columns) numbers. Empty cells are NaN, and so is what a row lacks at its end."""
    filled = []
    for row in rows:
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:  # some programs end a row with tabs
            cells.pop()
        if len(cells) > columns:
            raise ValueError(f"a row has {len(cells)} numbers for {columns} columns")
        if cells:
            filled.append([float(cell) if cell else np.nan for cell in cells + [""] * (columns - len(cells))])
    if len(filled) < 2:
        raise ValueError("it has fewer than two frames")
    return np.array(filled)


def _times(times: np.ndarray) -> np.ndarray:
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError("its times do not ascend")
    return times
