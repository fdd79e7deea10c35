import collections
import copyreg
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from hpof_jax.body.unpickle import read_pickle
from hpof_jax.errors import UserError

ARRAY = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def read(tmp_path):
    """A function from a pickle and keys to arrays."""

    def read(content, *keys):
        (tmp_path / "body.pkl").write_bytes(content)
        return read_pickle(tmp_path / "body.pkl", keys)

    return read


def test_chumpys_and_scipys_arrays_become_plain_ones(read, chumpy, python2_pickle):
    content = {
        "shapedirs": chumpy.Ch(x=ARRAY),
        "part": chumpy.Select(a=chumpy.Ch(x=ARRAY), idxs=np.array([0, 1, 3, 4]), preferred_shape=(2, 2)),
        "J_regressor": csc_matrix(ARRAY),
        "style": "lbs",
    }
    written = python2_pickle(content, protocol=2)
    chumpy.forget()
    arrays = read(written, "shapedirs", "part", "J_regressor", "style", "missing")
    assert arrays.keys() == {"shapedirs", "part", "J_regressor"}
    np.testing.assert_array_equal(arrays["shapedirs"], ARRAY)
    np.testing.assert_array_equal(arrays["part"], ARRAY[:, :2])
    np.testing.assert_array_equal(arrays["J_regressor"], ARRAY)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("python", [2, 3])
def test_every_protocol_of_both_pythons(
    read, official, smpl_arrays, chumpy, python2_pickle, protocol, python
):
    content = official(smpl_arrays)
    content["posedirs"] = np.asfortranarray(content["posedirs"])
    written = python2_pickle(content, min(protocol, 2)) if python == 2 else pickle.dumps(content, protocol)
    chumpy.forget()
    arrays = read(written, *smpl_arrays)
    for key, array in smpl_arrays.items():
        np.testing.assert_array_equal(arrays[key], array, strict=True)


@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", "|u1", "<i2", ">u4", "<i8"])
@pytest.mark.parametrize("shape", [(0,), (4, 3, 0), (2, 3), ()])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_kind_of_number(read, kind, shape, protocol):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    np.testing.assert_array_equal(read(pickle.dumps({"x": array}, protocol), "x")["x"], array, strict=True)


@pytest.mark.parametrize("protocol", range(6))
def test_keys_of_bytes(read, chumpy, protocol):
    part = chumpy.Ch()
    part.__dict__ = {b"x": ARRAY}
    written = pickle.dumps({b"f": ARRAY, b"shapedirs": part}, protocol)
    chumpy.forget()
    arrays = read(written, "f", "shapedirs")
    np.testing.assert_array_equal(arrays["f"], ARRAY)
    np.testing.assert_array_equal(arrays["shapedirs"], ARRAY)


class Asks:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.mkdir, "posix.mkdir|nt.mkdir"),
        (eval, "builtins.eval|__builtin__.eval"),
        (getattr, "builtins.getattr|__builtin__.getattr"),
        (np.load, "numpy.load"),
        (np.memmap, "numpy.memmap"),
        (collections.OrderedDict, "collections.OrderedDict"),
    ],
)
@pytest.mark.parametrize(
    "place", [lambda x: x, lambda x: {"f": [ARRAY, (1, {"x": x})]}, lambda x: Asks(set, [x])]
)
def test_other_names_are_refused_and_not_run(read, tmp_path, protocol, function, name, place):
    ran = tmp_path / "ran"
    written = pickle.dumps(place(Asks(function, str(ran))), protocol)
    with pytest.raises(UserError, match=f"body.pkl asks for ({name}), which no body file needs: .*again"):
        read(written, "f")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("written", "what"),
    [
        (b"cos\nsystem\n(X\x01\x00\x00\x00xtR.", "os.system"),
        (b"(X\x01\x00\x00\x00xios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nX\x01\x00\x00\x00xo.", "os.system"),
        (b"\x80\x04" + text("numpy.core.multiarray") + text("_reconstruct.__globals__") + b"\x93.", "_globals__"),
        (b"\x80\x04" + text("numpy") + text("core.multiarray._reconstruct") + b"\x93.", "numpy.core.multiarray"),
        (b"\x80\x04" + text("builtins") + text("set.__subclasses__") + b"\x93.", "set.__subclasses__"),
        (b"cos\nsys\x1b[2Jtem\n.", r"os.sys\\x1b\[2Jtem"),
        (b"chumpy.ch\nCh\n.", "humpy.ch.Ch"),
        (b"(lp0\n(cnumpy\nndarray\no.", "the instruction OBJ"),
        (b"P12\n.", "the instruction PERSID"),
        (b"K\x01Q.", "the instruction BINPERSID"),
        (b"\x80\x02\x82\x01.", "the instruction EXT1"),
        (b"\x80\x05\x97.", "the instruction NEXT_BUFFER"),
    ],
)  # fmt: skip
def test_other_instructions_that_name_something_are_refused(read, written, what):
    copyreg.add_extension("os", "getpid", 1)
    copyreg._extension_cache[1] = os.getpid  # as if the code had been used before
    try:
        with pytest.raises(UserError, match=what) as error:
            read(written)
        assert str(error.value).isprintable()
    finally:
        copyreg.remove_extension("os", "getpid", 1)


def numbers(shape, kind=b"f8", data=b"T\x08\x00\x00\x00" + bytes(8)):
    """A pickled array, opcode by opcode."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(" + shape + b"t"
        b"cnumpy\ndtype\n(S'" + kind + b"'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n" + data + b"tb"
    )  # fmt: skip


def of_key(value):
    return b"(dS'f'\n" + value + b"s."


def sparse(rows, columns):
    data, index = numbers(b"I1\n"), numbers(b"I1\n", b"i8")
    starts = numbers(b"I2\n", b"i4", b"T\x08\x00\x00\x00" + struct.pack("<ii", 0, 1))
    return (
        b"cscipy.sparse.csc\ncsc_matrix\n)R}(S'_shape'\n(I%d\nI%d\nt" % (rows, columns)
        + b"S'data'\n" + data + b"S'indices'\n" + index + b"S'indptr'\n" + starts + b"ub"
    )  # fmt: skip


def test_the_templates_of_the_damaged_pickles_are_valid(read):
    assert read(of_key(numbers(b"I1\n")), "f")["f"] == [0.0]
    assert read(of_key(sparse(1, 1)), "f")["f"] == [[0.0]]


NESTED = b"(I1\nt" + b"p0\ng0\n\x86" * 60  # nested pairs of the same tuple


@pytest.mark.parametrize(
    "written",
    [
        of_key(numbers(b"I1099511627776\n")),
        of_key(numbers(b"I1\nI1099511627776\nI0\n", data=b"S''\n") + b"I2\n"),
        of_key(numbers(b"I1\n", b"O8", data=b"(lI1\na")),
        of_key(numbers(b"I1\n", b"V1099511627776")),
        of_key(numbers(b"I1\n", b"S1099511627776")),
        of_key(numbers(b"I1\n", b"f8, 1099511627776f8")),
        of_key(b"cnumpy\nndarray\n(I1099511627776\ntR"),
        of_key(b"c__builtin__\nbytes\n(I1099511627776\ntR"),
        of_key(b"cchumpy.ch\nCh\n(I1\ntR"),
        of_key(b"cchumpy.ch\nCh\n)R}S'x'\n(lsb"),
        of_key(b"cchumpy.ch\nCh\n)Rp0\n}S'x'\ng0\nsb"),
        of_key(b"cchumpy.reordering\nSelect\n)Rp0\n}(S'a'\ng0\nS'idxs'\ng0\nub"),
        of_key(sparse(2**31, 1)),
        of_key(sparse(-1, 1)),
        of_key(sparse(0, 1)),  # its index points outside
        of_key(sparse(1, 2)),
        b"(dcnumpy\nndarray\nI1\nb.",
        b"c__builtin__\nset\n}S'x'\nI1\nsb.",
        b"I1\n(tR.",
        b"}r\xff\xff\xff\x7f",  # a place of a table that has gigabytes before it
        b"}p9223372036854775807\n",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"x.",
        b"T\xff\xff\xff\x7fx.",
        b"\x80\x02\x8b\xff\xff\xff\x7fx.",
        b"}" + NESTED + b"I1\ns.",
        b"\x80\x04\x8f(" + NESTED + b"\x90.",
        b"](lp0\n.",
        b"N.",
        b"\x80\x09N.",
        b"",
    ],
)
def test_a_damaged_file_raises_and_reserves_little_memory(read, written):
    tracemalloc.start()
    try:
        with pytest.raises(Exception):  # noqa: B017 of any kind: the caller words it
            read(written, "f")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_random_damage_only_raises(read, official, smpl_arrays, chumpy, python2_pickle):
    small = {key: array[:2, :2] for key, array in smpl_arrays.items()}
    small["J_regressor"] = np.eye(2)
    content = {key: value for key, value in official(small).items() if key != "J"}
    rng = np.random.default_rng(0)
    for protocol in (0, 2):
        whole = np.frombuffer(python2_pickle(content, protocol), np.uint8)
        for _ in range(300):
            spoilt = whole[: rng.integers(1, len(whole) + 1)].copy()
            places = rng.integers(0, len(spoilt), rng.integers(0, 4))
            spoilt[places] = rng.integers(0, 256, len(places))
            try:
                arrays = read(spoilt.tobytes(), *small)
            except Exception:
                continue
            assert all(
                isinstance(array, np.ndarray) and array.dtype.kind in "fiu" for array in arrays.values()
            )
