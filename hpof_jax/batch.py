"""Reconstructs every video of a folder, several at a time, and writes a table of them.

    python -m hpof_jax.reconstruct --batch FOLDER --out DIR [--shard 1/4]

A second run of the same command goes on where the first one stopped.
"""

import concurrent.futures
import csv
import dataclasses
import hashlib
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from absl import logging
from tqdm import tqdm

from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.motion import Motion

SUFFIXES = frozenset(".3gp .avi .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split())
HASH_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class Row:
    """A video in the table.

    file: its path in the folder, which is also that of its results in the output folder.
    content: the first digits of the SHA-256 of its content.
    frames, coverage: how many it has, and the share of them that shows the person; of the person that is seen most
      where there are several. Empty after an error.
    seconds: wall time.
    error: a sentence; empty if the video was reconstructed.
    """

    file: str
    content: str
    frames: str = ""
    coverage: str = ""
    seconds: str = ""
    error: str = ""


def reconstruct_folder(
    folder: str | os.PathLike,
    out: str | os.PathLike,
    reconstruct: Callable[[pathlib.Path, pathlib.Path], Motion | Iterable[Motion]],
    *,
    shard: tuple[int, int] = (1, 1),
    jobs: int | None = None,
) -> list[Row]:
    """Reconstructs the videos below a folder into `out/<path of the video>/` and writes `out/table.csv`.

    While one video is lifted, others are decoded and observed in other threads, so that the device is kept busy. A video
    that cannot be reconstructed gets its sentence in the table, and the others go on. Videos that the table has without an
    error are skipped, unless their content has changed.

    Args:
      reconstruct: writes one video's results into a folder, and returns the motion of each person.
      shard: (i, n); of n machines that run the same command, this is the i-th, from 1. Each video belongs to one of them,
        by its content. The table is then `out/table-i-of-n.csv`.
      jobs: videos at a time. None: one for every two processors, at most 8.

    Returns:
      The table's rows, those of earlier runs first.

    Raises:
      UserError: the folder has no videos, or the table cannot be written.
    """
    folder, out = pathlib.Path(folder).expanduser(), pathlib.Path(out)
    videos = find_videos(folder)
    number, count = shard
    jobs = jobs or min(8, max(1, (os.cpu_count() or 1) // 2))
    table = out / ("table.csv" if count == 1 else f"table-{number}-of-{count}.csv")
    known = {(row.file, row.content): row for row in read_table(table) if not row.error}
    done: list[Row] = []
    waiting: list[Row] = []
    for video in videos:
        row = Row(video.relative_to(folder).as_posix(), content_hash(video))
        if int(row.content, 16) % count == number - 1:
            (done if (row.file, row.content) in known else waiting).append(
                known.get((row.file, row.content), row)
            )
    logging.info("%d videos, %d of them are done", len(done) + len(waiting), len(done))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {out} cannot be made ({error.strerror}): give another --out.") from error
    write_table(table, done)

    def work(row: Row) -> Row:
        start = time.monotonic()
        try:
            found = reconstruct(folder / row.file, out / row.file)
        except UserError as error:
            return dataclasses.replace(row, seconds=_since(start), error=" ".join(str(error).split()))
        motions = [found] if isinstance(found, Motion) else list(found)
        coverage = max(float(np.mean(motion.keypoints_2d[..., 2].any(axis=1))) for motion in motions)
        frames = max(len(motion.poses) for motion in motions)
        return dataclasses.replace(row, frames=str(frames), coverage=f"{coverage:.3f}", seconds=_since(start))

    with (
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
        table.open("a", newline="", encoding="utf-8") as file,
    ):
        futures = [pool.submit(work, row) for row in waiting]
        bar = tqdm(
            concurrent.futures.as_completed(futures),
            "reconstructing",
            len(futures),
            unit="video",
            disable=None,
        )
        for future in bar:
            if future.exception() is None:
                row = future.result()
                csv.writer(file).writerow(dataclasses.astuple(row))
                file.flush()
                done.append(row)
                if row.error:
                    logging.warning("%s: %s", row.file, row.error)
    for future in futures:  # a defect stops the program, after the other videos are done
        future.result()
    return done


def find_videos(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files below a folder that have a video's suffix, sorted.

    Raises:
      UserError: there are none.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: give a folder of videos to --batch.")
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not videos:
        raise UserError(f"The folder {folder} holds no videos: give one with files such as .mp4 or .mov.")
    return videos


def content_hash(path: pathlib.Path) -> str:
    """The first digits of the SHA-256 of a file.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_DIGITS]
    except OSError as error:
        raise UserError(
            f"The video {path} cannot be read ({error.strerror}): make it readable or remove it."
        ) from error


def parse_shard(text: str) -> tuple[int, int]:
    """The numbers of a text: "2/4" -> (2, 4).

    Raises:
      UserError: it is no such text, or not 1 <= i <= n.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f"The shard is '{text}': give i/n with i from 1 to n, such as 1/4.")
    return number, count


def read_table(path: pathlib.Path) -> list[Row]:
    """The rows of a table, without those that a killed program left unfinished; none if there is no file.

    Raises:
      UserError: it cannot be read.
    """
    if not path.exists():
        return []
    names = [field.name for field in dataclasses.fields(Row)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in csv.reader(file) if len(line) == len(names)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"The table {path} cannot be read ({error}): remove it, or give another --out."
        ) from error
    return [Row(*line) for line in lines if line != names]


def write_table(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Writes a table with a line of names.

    Raises:
      UserError: it cannot be written.
    """
    with replacing(path, "The table") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in dataclasses.fields(Row)])
        writer.writerows(map(dataclasses.astuple, rows))


def _since(start: float) -> str:
    return f"{time.monotonic() - start:.1f}"
