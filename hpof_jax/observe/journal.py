"""The detector's networks with a journal: what they found is kept in a file as they go.

A program that is stopped and run again on the same frames asks for the same things in the same order. It reads
the answers from the journal until there are no more, and goes on from there with the networks. The landmarks
are the same to the bit; a frame takes a third of the time.
"""

import os
import pathlib
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np
from absl import logging

from hpof_jax.observe.blazepose import LANDMARK_SIDE, NUM_LANDMARKS, BlazePose, Pose, Region
from hpof_jax.observe.crops import crop

try:
    import fcntl
except ImportError:  # Windows, where a second program on the same video is not noticed
    fcntl = None

LARGEST_ANSWER = 2**20  # bytes
FLUSH_EVERY = 1.0  # seconds of work that are lost at most
DETECT, LANDMARKS = 1, 2
# What was asked: which network, and the square or region. Then the length of the answer, and a CRC-32 of all this and
# the answer.
_HEADER = struct.Struct("<B4dII")
_NUMBERS = 6 * NUM_LANDMARKS  # float32 values of both kinds of landmarks
_PLACE = struct.Struct("<5d")  # the score and the next region


class JournaledBlazePose:
    """`BlazePose` that keeps its answers in a file, and takes them from there as long as the questions agree.

    Use it in a `with` block. It cannot be shared by threads.

    Args:
      path: the journal, in an existing folder. If it cannot be written, or another program writes it, nothing
        is kept.
      make: makes the networks; it is called when the journal has no more answers.
    """

    def __init__(self, path: str | os.PathLike, make: Callable[[], BlazePose] = BlazePose):
        self._path, self._make = pathlib.Path(path), make
        self._net: BlazePose | None = None
        self._file: BinaryIO | None = None
        self._replays = True
        self._flushed = time.monotonic()
        self.replayed = 0  # answers from the journal

    def __enter__(self) -> "JournaledBlazePose":
        try:
            self._file = self._path.open("r+b" if self._path.exists() else "x+b")
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._give_up(error)
        return self

    def __exit__(self, *_) -> None:
        if self._file:
            self._file.close()

    def remove(self) -> None:
        """Removes the journal, which is no longer needed."""
        if self._file:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)

    def detect(self, image: np.ndarray, square: Sequence[float]) -> list[Region]:
        """As `BlazePose.detect`."""
        question = (DETECT, *map(float, square), 0.0)
        answer = self._read(question)
        if answer is not None:
            return [Region(*map(float, row)) for row in np.frombuffer(answer, "<f8").reshape(-1, 4)]
        regions = self._network().detect(image, square)
        self._write(question, np.array(regions, "<f8").tobytes())
        return regions

    def landmarks(self, image: np.ndarray, region: Region) -> Pose:
        """As `BlazePose.landmarks`; `mask_logits` from the journal are rounded so that `mask` stays the same."""
        question = (LANDMARKS, *map(float, region))
        answer = self._read(question)
        if answer is not None:
            return _unpack(answer, image, region)
        pose = self._network().landmarks(image, region)
        self._write(question, _pack(pose))
        return pose

    def _network(self) -> BlazePose:
        self._net = self._net or self._make()
        return self._net

    def _read(self, question: tuple) -> bytes | None:
        """The next answer, if it belongs to the question. Otherwise the rest of the journal is dropped."""
        if not (self._file and self._replays):
            return None
        start = self._file.tell()
        header = self._file.read(_HEADER.size)
        if len(header) == _HEADER.size:
            *asked, length, checksum = _HEADER.unpack(header)
            # A damaged length must not reserve gigabytes.
            expected = tuple(asked) == question and length <= LARGEST_ANSWER
            answer = self._file.read(length) if expected else b""
            if expected and len(answer) == length and _checksum(question, answer) == checksum:
                self.replayed += 1
                return answer
        self._replays = False
        try:
            self._file.seek(start)
            self._file.truncate()
        except OSError as error:
            self._give_up(error)
        return None

    def _write(self, question: tuple, answer: bytes) -> None:
        if not self._file:
            return
        try:
            self._file.write(_HEADER.pack(*question, len(answer), _checksum(question, answer)) + answer)
            if time.monotonic() - self._flushed > FLUSH_EVERY:
                self._file.flush()
                self._flushed = time.monotonic()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        logging.warning(
            "An interrupted run will begin again: %s cannot be written (%s).", self._path, error.strerror
        )
        if self._file:
            self._file.close()
        self._file = None


def _checksum(question: tuple, answer: bytes) -> int:
    return zlib.crc32(answer, zlib.crc32(_HEADER.pack(*question, len(answer), 0)))


def _pack(pose: Pose) -> bytes:
    numbers = np.concatenate([pose.landmarks_2d, pose.landmarks_3d]).astype("<f4").tobytes()
    return numbers + _PLACE.pack(pose.score, *pose.region) + zlib.compress(pose.mask.tobytes(), 1)


def _unpack(answer: bytes, image: np.ndarray, region: Region) -> Pose:
    numbers = np.frombuffer(answer, "<f4", _NUMBERS).reshape(2, NUM_LANDMARKS, 3)
    score, *after = _PLACE.unpack_from(answer, 4 * _NUMBERS)
    mask = np.frombuffer(zlib.decompress(answer[4 * _NUMBERS + _PLACE.size :]), np.uint8)
    share = np.clip(mask.reshape(LANDMARK_SIDE, LANDMARK_SIDE) / np.float32(255), 1e-9, 1 - 1e-6)
    to_frame = region.to_frame()
    return Pose(
        landmarks_2d=numbers[0].astype(np.float32),
        landmarks_3d=numbers[1].astype(np.float32),
        score=score,
        region=Region(*after),
        crop=crop(image, to_frame, (LANDMARK_SIDE, LANDMARK_SIDE)),
        to_frame=to_frame,
        mask_logits=np.log(share / (1 - share)),
    )
