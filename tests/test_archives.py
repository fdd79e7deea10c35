"""Archives that are damaged, lie about what they hold, or unpack to too much."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from hpof_jax.archives import check_array, damage, map_array, open_archive, read_arrays
from hpof_jax.errors import UserError

KIND = "a file of numbers", "make it again"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "numbers.npz"


def refused(path, **options):
    with pytest.raises(UserError, match="numbers.npz is not a file of numbers .*: make it again.$") as error:
        read_arrays(path, *KIND, **options)
    assert str(error.value).isprintable()
    return str(error.value)


def write(path, name="a.npy", content=b"", header=None, method=zipfile.ZIP_DEFLATED):
    """An archive with one member: an array's header in NumPy's format, if given, and `content`."""
    if header is not None:
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)


def test_arrays_come_back_as_numpy_wrote_them(path):
    arrays = {
        "floats": np.arange(6.0).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
        "layer/bias": np.float32(3),
        "none": np.zeros((0, 3)),
        "seen": np.array([True, False]),
        "text": np.array(["ö", "abc"]),
        "": np.array(""),
    }
    np.savez_compressed(path, **arrays)
    found = read_arrays(path, *KIND)
    assert found.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array, strict=True)
        assert found[key].flags.writeable
    assert read_arrays(path, *KIND, names=("seen", "absent")).keys() == {"seen"}


def test_the_other_byte_order_becomes_this_machines(path):
    np.savez(path, a=np.arange(3, dtype=">f4"), b=np.array("text", ">U4"))
    found = read_arrays(path, *KIND)
    assert found["a"].dtype == np.float32 and found["a"].tolist() == [0, 1, 2] and str(found["b"]) == "text"


def test_a_damaged_file_is_refused_in_one_sentence(path):
    np.savez_compressed(path, a=np.random.default_rng(0).normal(size=1000))
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:-30], whole[:500], whole[:900] + bytes(200) + whole[1100:]):
        path.write_bytes(content)
        refused(path)
    path.unlink()
    assert "No such file" in refused(path)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([print], object), "an array of objects"),
        (np.zeros(3, "i4,f4"), "is not numbers or text"),
        (np.zeros(3, complex), "an array of type <c16 is not numbers or text"),
        (np.array("\ud800"), "'a' holds something else than text"),
    ],
)
def test_what_is_not_numbers_or_text_is_refused(path, array, reason):
    np.savez(path, a=array, b=np.zeros(3))
    assert reason in refused(path)
    assert read_arrays(path, *KIND, names="b").keys() == {"b"}


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1),",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': '''",
        b"{'descr': '<U0', 'fortran_order': False, 'shape': (999999999999999,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': __import__('os').getpid()}",
        b"(" * 4000,
        b"-" * 60000,
        b"",
    ],
)
def test_a_lying_header_is_refused_and_takes_no_memory(path, header):
    write(path, header=header, content=bytes(24))
    tracemalloc.start()
    try:
        refused(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_an_archive_that_unpacks_to_too_much_is_refused_before(path):
    write(path, content=bytes(2**22))
    assert "unpacks to more than 1 MB" in refused(path, largest=2**20)


def test_an_archive_whose_directory_lies_is_refused(path):
    """It states more bytes than there are, and then fewer."""
    for stated in (2**29, 100):
        write(path, content=bytes(5000))
        content = bytearray(path.read_bytes())
        entry = content.index(b"PK\x01\x02")
        content[entry + 24 : entry + 28] = stated.to_bytes(4, "little")
        path.write_bytes(content)
        tracemalloc.start()
        try:
            refused(path)
            assert tracemalloc.get_traced_memory()[1] < 2**24
        finally:
            tracemalloc.stop()


def test_a_list_of_members_that_claims_gigabytes_is_not_read(path):
    write(path)
    content = bytearray(path.read_bytes())
    end = content.index(b"PK\x05\x06")
    content[end + 12 : end + 16] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    refused(path)


def test_encrypted_members_and_odd_compression_are_refused(path):
    write(path, content=b"text", method=zipfile.ZIP_LZMA)
    assert "compressed by method 14" in refused(path)
    write(path, content=b"text")
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(content)
    assert "'a.npy' is encrypted" in refused(path)


def test_members_are_read_one_by_one(tmp_path):
    """A damaged member costs only itself, and names lead nowhere."""
    path = tmp_path / "files.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "good")
        archive.writestr("../bad.txt", "bad content")
    path.write_bytes(path.read_bytes().replace(b"bad content", b"BAD content", 1))
    with open_archive(path, *KIND) as archive:
        assert archive.read("good.txt") == b"good"
        assert archive.members["../bad.txt"].size == 11
        with pytest.raises(UserError, match="bad.txt is not a file of numbers .*Bad CRC"):
            archive.read("../bad.txt")
        with pytest.raises(UserError, match="absent.txt is not a file of numbers"):
            archive.read("absent.txt")
        copied = io.BytesIO()
        archive.copy("good.txt", copied)
        assert copied.getvalue() == b"good"
        with pytest.raises(UserError, match="unpacks to more than"):
            archive.copy("good.txt", copied, largest=3)
    assert [file.name for file in tmp_path.iterdir()] == ["files.zip"]


def test_a_single_array_stays_on_the_disk(tmp_path):
    path = tmp_path / "array.npy"
    for array in (np.arange(12.0).reshape(3, 4), np.zeros((0, 4)), np.float32(3)):
        np.save(path, array)
        np.testing.assert_array_equal(map_array(path, *KIND), array, strict=True)
    for content in (b"", path.read_bytes()[:-1], b"PK"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="array.npy is not a file of numbers"):
            map_array(path, *KIND)
    np.save(path, np.array([print], object), allow_pickle=True)
    with pytest.raises(UserError, match="an array of objects"):
        map_array(path, *KIND)


def test_the_reason_is_one_line_that_a_terminal_can_print():
    with pytest.raises(UserError, match=r"^a.npz is not a clip \(two lines \?\[31m\): delete it.$"):
        with damage("a.npz", "a clip", "delete it"):
            raise ValueError("two\nlines \x1b[31m")
    with pytest.raises(UserError, match="more memory than there is"):
        with damage("a.npz", "a clip", "delete it"):
            raise MemoryError
    with pytest.raises(UserError, match="it has no 'pose'"):
        with damage("a.npz", "a clip", "delete it"):
            raise KeyError("pose")
    with pytest.raises(UserError, match="^a sentence$"):
        with damage("a.npz", "a clip", "delete it"):
            raise UserError("a sentence")
    with pytest.raises(TypeError):  # a defect of the program stays one
        with damage("a.npz", "a clip", "delete it"):
            raise TypeError


def test_checking_an_array():
    check_array("a", np.zeros((2, 3)), (2, 3))
    for array, kinds in ((np.zeros(3), "f"), (np.zeros((2, 3)), "iu"), (np.full((2, 3), np.nan), "f")):
        with pytest.raises(ValueError, match="^'a' "):
            check_array("a", array, (2, 3), kinds)
