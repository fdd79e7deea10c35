"""Random damage to files: flipped bits, cuts, splices, lying zip directories, lying array headers, odd arrays."""

import io
import os
import re
import struct
import zipfile
import zlib

import numpy as np

BOMB = 3 * 2**29  # bytes of zeros that a few archives unpack to
BOMB_SHARE = 0.002  # of the archives
GROWN_TEXT = 2**25  # bytes that one repetition of lines or words adds to a text at most
_MARK = re.compile(rb"PK(?:\x01\x02|\x03\x04|\x05\x06)")
_NUMBERS = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1]
_WORDS = (
    b"nan inf -inf 1e999 -1 0 1e308 1e-308 999999999999999999999 9e9 0x10 {} [] null true () '' \xff\xfe\x00 "
    b'\xf0\x9f\x98\x80 ../../../etc/passwd \x1b[31m "mutated_payload.Evil", '
).split()
_HEADERS = [
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 72), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }",
    b"{'descr': '<f4', 'fortran_order': True, 'shape': (0, 99999999999999999999), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (3,), }",
    b"{'descr': '<U999999', 'fortran_order': False, 'shape': (), }",
    b"{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000,), }",
    b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (3,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
    b"{'descr': '<f4', 'shape': (3,)}",
    b"{'shape': __import__('os').system('true')}",
    b"(" * 5000,
    b"[" * 400 + b"]" * 400,
    b"-" * 9000 + b"1",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': '''",
    b"\xff" * 100,
    b"",
]


class Payload:
    """When it is unpickled, the program runs a command that writes a file."""

    def __init__(self, path: os.PathLike):
        self._path = os.fspath(path)

    def __reduce__(self):
        return os.mkdir, (self._path,)


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """Bytes with one to three random changes that know nothing of the format."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        size = len(content)
        at, end = sorted(rng.integers(size + 1, size=2).tolist())
        match rng.integers(9):
            case 0 | 1:
                for place in rng.integers(max(size, 1), size=rng.integers(1, 9)):
                    if size:
                        content[place] ^= 1 << rng.integers(8)
            case 2:
                del content[at:]
            case 3:
                del content[at : min(end, at + 2000)]
            case 4:
                content[at:at] = content[at:end][:2000]
            case 5:
                content[at : at + 64] = bytes([rng.choice([0, 255])]) * min(64, size - at)
            case 6:
                number = _NUMBERS[rng.integers(len(_NUMBERS))]
                content[at : at + 8] = number.to_bytes(8, rng.choice(["little", "big"]))[: size - at]
            case 7:
                word = _WORDS[rng.integers(len(_WORDS))]
                content[at : at + rng.integers(len(word) + 1)] = word
            case 8:
                content[:0] = rng.bytes(rng.integers(1, 40)) if rng.integers(2) else b""
    return bytes(content)


def damaged_text(rng: np.random.Generator, content: bytes) -> bytes:
    """Text with some words or lines changed, repeated or left out."""
    lines = content.splitlines()
    for _ in range(rng.integers(1, 4)):
        row = int(rng.integers(len(lines)))
        words = lines[row].split()
        match rng.integers(6):
            case 0 | 1 | 2 if words:
                words[rng.integers(len(words))] = _WORDS[rng.integers(len(_WORDS))]
                lines[row] = b" ".join(words)
            case 3:
                del lines[row : row + rng.integers(1, 4)]
                lines = lines or [b""]
            case 4:
                copies = int(rng.choice([1, 2, 300, 3000]))
                part = lines[row : row + rng.integers(1, 4)]
                lines[row:row] = part * min(copies, GROWN_TEXT // (1 + sum(map(len, part))))
            case _:
                lines[row] = lines[row] * min(int(rng.choice([2, 1000])), GROWN_TEXT // (1 + len(lines[row])))
    return b"\n".join(lines)


def damaged_record(rng: np.random.Generator, content: bytes) -> bytes:
    """A TFRecord file with a damaged record, or with a record that states a wrong length; its checksums are right."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    records = []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        records.append(content[12 : 12 + size])
        content = content[16 + size :]
    chosen = int(rng.integers(len(records)))
    lengths = [len(record) for record in records]
    if rng.random() < 0.2:
        lengths[chosen] = _NUMBERS[rng.integers(len(_NUMBERS))]
    else:
        records[chosen] = damaged(rng, records[chosen])
        lengths[chosen] = len(records[chosen])
    parts = []
    for length, record in zip(lengths, records, strict=True):
        for part in (struct.pack("<Q", length), record):
            parts += [part, struct.pack("<I", masked_crc32c(part))]
    return b"".join(parts)


def lying_directory(rng: np.random.Generator, content: bytes) -> bytes:
    """A zip archive whose list of members, local headers or end record state something else than is there."""
    content = bytearray(content)
    marks = {b"PK\x01\x02": 46, b"PK\x03\x04": 30, b"PK\x05\x06": 22}  # and the lengths of what they begin
    places = [(found.start(), marks[found[0]]) for found in _MARK.finditer(content)]
    for _ in range(rng.integers(1, 4)):
        at, length = places[rng.integers(len(places))] if places else (0, 46)
        field, width = at + 4 + 2 * int(rng.integers((length - 4) // 2)), int(rng.choice([1, 2, 4]))
        number = _NUMBERS[rng.integers(len(_NUMBERS))] % 256**width
        if rng.integers(2):  # the sizes and the place of a member
            field, width = at + int(rng.choice([16, 20, 24, 42])), 4
            number = int(rng.choice([0, 1, 2**20, 2**28, 2**30, 2**31, 2**32 - 2, 2**32 - 1]))
        content[field : field + width] = number.to_bytes(width, "little")
    return bytes(content)


def repacked(rng: np.random.Generator, content: bytes, change) -> bytes:
    """A zip archive of which `change(rng, content)` has changed one member; its checksums are right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    chosen = list(members)[rng.integers(len(members))]
    odd = {0: "../outside", 1: "/tmp/outside", 2: "a\x00b", 3: chosen + "/" * 50, 4: "x" * 60000}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, member in members.items():
            if name == chosen:
                if rng.random() < 0.1:
                    name = odd[int(rng.integers(len(odd)))]
                method = rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]) if rng.random() < 0.05 else None
                archive.writestr(name, change(rng, member), method)
            elif rng.random() < 0.98:
                archive.writestr(name, member)
    return buffer.getvalue()


def odd_array(rng: np.random.Generator, content: bytes, outside: os.PathLike) -> bytes:
    """An `.npy` file with a lying header, or with a well-formed array of odd numbers, shape or type."""
    start = content.index(b"\n") + 1
    if rng.random() < 0.3:
        header = _HEADERS[rng.integers(len(_HEADERS))]
        version = bytes([int(rng.choice([1, 1, 1, 2, 3, 9])), 0])
        length = len(header) if rng.random() < 0.8 else int(rng.choice([0, 5, 65535]))
        size = struct.pack("<H" if version[0] == 1 else "<I", length)
        return b"\x93NUMPY" + version + size + header + content[start : start + rng.integers(3000)]
    array = np.load(io.BytesIO(content), allow_pickle=False)
    buffer = io.BytesIO()
    with np.errstate(all="ignore"):
        np.save(buffer, odd(rng, array, outside), allow_pickle=True)
    return buffer.getvalue()


def odd(rng: np.random.Generator, array: np.ndarray, outside: os.PathLike) -> np.ndarray:
    """An array with odd numbers, another shape or type, or with a payload."""
    match rng.integers(10):
        case 0 | 1 if array.size and array.dtype.kind in "fiu":
            array = array.copy()
            values = (
                [np.nan, np.inf, 1e38, -1e38, 0, -1, 1e300]
                if array.dtype.kind == "f"
                else [0, 1, 255, -1, 2**31]
            )
            value = values[rng.integers(len(values))]
            chosen = slice(None) if rng.integers(2) else rng.integers(array.size)
            array.reshape(-1)[chosen] = np.array(value).astype(array.dtype)
            return array
        case 2 if array.dtype.kind in "fiub":
            return array.astype(rng.choice(["<f8", ">f4", "<f2", "<i8", "|u1", "|b1", "<c16", "<U8", "|S8"]))
        case 3:
            return array[None] if rng.integers(2) else array.reshape(-1)
        case 4:
            return array[: rng.integers(len(array) + 1)] if array.ndim else np.zeros(int(rng.integers(3)))
        case 5:
            return np.asfortranarray(array.T if rng.integers(2) else array)
        case 6:
            return np.array([Payload(outside)], object)
        case 7:
            return np.repeat(array, 2, axis=0) if array.ndim else np.zeros((2, 2))
        case 8:
            return np.array("\ud800" if rng.integers(2) else "text\x1b[31m\n" * 3)
        case _:
            return np.zeros([(), (0,), (0, 0, 0), (1,) * 30][rng.integers(4)], array.dtype)


def bomb(name: str, head: bytes) -> bytes:
    """A zip archive of some megabytes with one member of `BOMB` bytes: `head`, and zeros."""
    packer, crc = zlib.compressobj(1, zlib.DEFLATED, -15), zlib.crc32(head)
    packed, zeros, size = [packer.compress(head)], bytes(2**24), len(head)
    for _ in range(BOMB // len(zeros)):
        packed.append(packer.compress(zeros))
        crc, size = zlib.crc32(zeros, crc), size + len(zeros)
    packed = b"".join([*packed, packer.flush()])
    common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, crc, len(packed), size, len(name), 0)
    local = b"PK\x03\x04" + common + name.encode()
    entry = b"PK\x01\x02" + b"\x14\x00" + common + bytes(14) + name.encode()
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local) + len(packed), 0)
    return local + packed + entry + end
