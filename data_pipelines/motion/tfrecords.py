"""Finds and parses the records of TFRecord files that may be damaged.

A record is its length in 8 bytes, 4 bytes of checksum, the content, and 4 bytes of checksum. TensorFlow's readers
end at the first damaged record, and reserve as much memory as a record claims to need.
"""

import os
import pathlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

HEAD, TAIL = 12, 4  # bytes before and after the content


def find_records(path: str | os.PathLike) -> Iterator[tuple[int, int]]:
    """Start and size in bytes of the content of each record. Checksums are not looked at.

    Ends before a record that is empty, or longer than the rest of the file.

    Raises:
      OSError: the file cannot be read.
    """
    with pathlib.Path(path).open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        while len(head := file.read(HEAD)) == HEAD:
            (size,) = struct.unpack("<Q", head[:8])
            start = file.tell()
            if not 0 < size <= end - start - TAIL:
                return
            yield start, size
            file.seek(start + size + TAIL)


def parse_example(content: bytes) -> Mapping[str, Any]:
    """The features of a `tf.train.Example`: name -> `tf.train.Feature`.

    Raises:
      ValueError: the content is no example.
    """
    import tensorflow as tf

    try:
        return tf.train.Example.FromString(content).features.feature
    except Exception as error:  # protobuf's own, which TensorFlow does not name
        raise ValueError("it is no example") from error
