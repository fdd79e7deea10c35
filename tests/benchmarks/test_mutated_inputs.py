"""A few damaged files for every door, and a harness that notices what a door does wrong."""

import dataclasses
import os
import signal
import struct
import sys

import numpy as np
import pytest

from benchmarks import mutated_inputs, mutations
from benchmarks.mutated_doors import DOORS, Door
from benchmarks.mutated_inputs import READ, REFUSED, outcome
from hpof_jax.errors import UserError

# Without TensorFlow, whose start takes long; `test_tfds` has damaged records.
QUICK = [name for name in DOORS if not name.startswith("records")]


@pytest.fixture(autouse=True)
def no_bombs(monkeypatch):
    monkeypatch.setattr(mutations, "BOMB_SHARE", 0.0)  # making one takes ten seconds


def prepared(door, folder):
    (folder / "valid").mkdir()
    door.prepare(folder / "valid")
    return door


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_damaged_file_is_read_or_refused_in_one_sentence(name, tmp_path):
    door = prepared(DOORS[name], tmp_path)
    results = [outcome(door, 1, number, tmp_path) for number in range(10 if name == "rendered" else 25)]
    assert {*results} <= {READ, REFUSED}
    assert READ in results if door.must_read else REFUSED in results


def write_text(folder):
    (folder / "a.txt").write_text("text")


SMALL = Door("a.txt", "bytes", write_text, lambda path: None)


def system(path):
    os.system("true")


def write_outside(path):
    (path.parents[2] / "outside.txt").write_text("text")


def raise_(error):
    def read(path):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (lambda path: None, READ),
        (raise_(UserError("It is damaged.")), REFUSED),
        (raise_(UserError("It is\ndamaged.")), "a sentence that is not one line"),
        (raise_(KeyError("poses")), "KeyError in test_mutated_inputs.py"),
        (raise_(MemoryError()), "MemoryError in"),
        (lambda path: signal.raise_signal(signal.SIGPROF), "takes more than 10 s"),
        (system, "os.system"),
        (write_outside, "writes"),
        (lambda path: os.mkdir(path.parents[1] / "outside"), "runs a command of a file"),
    ],
)
def test_what_a_door_does_wrong_is_noticed(tmp_path, read, found):
    folder = tmp_path / "scratch"
    folder.mkdir()
    door = prepared(dataclasses.replace(SMALL, open=read), folder)
    assert outcome(door, 0, 0, folder).startswith(found)


def test_a_refusal_beside_a_good_file_is_a_defect(tmp_path):
    door = prepared(
        dataclasses.replace(SMALL, open=raise_(UserError("It is damaged.")), must_read=True), tmp_path
    )
    assert outcome(door, 0, 0, tmp_path) == "refused: It is damaged."


def test_the_same_number_gives_the_same_file(tmp_path):
    content = bytes(range(256)) * 4
    first, again, other = (mutations.damaged(np.random.default_rng((0, n)), content) for n in (1, 1, 2))
    assert first == again != other


def test_text_grows_to_a_few_megabytes_at_most(monkeypatch):
    monkeypatch.setattr(mutations, "GROWN_TEXT", 2**14)
    for text in (b"a " * 2000, b"a\n" + b"b" * 2**12):  # one long line, or a long one after a short one
        for number in range(60):
            assert len(mutations.damaged_text(np.random.default_rng(number), text)) <= 2**17


def test_a_damaged_record_has_right_checksums_or_a_wrong_length(tmp_path):
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    head = struct.pack("<Q", 100)
    record = head + struct.pack("<I", masked_crc32c(head)) + bytes(100)
    record += struct.pack("<I", masked_crc32c(bytes(100)))
    kinds = set()
    for number in range(20):
        changed = mutations.damaged_record(np.random.default_rng(number), record)
        (size,), (check,) = struct.unpack("<Q", changed[:8]), struct.unpack("<I", changed[8:12])
        assert check == masked_crc32c(changed[:8])
        kinds.add(size == len(changed) - 16)
    assert kinds == {True, False}


def test_a_bomb_is_a_small_archive_of_many_zeros(monkeypatch):
    import io
    import zipfile

    monkeypatch.setattr(mutations, "BOMB", 2**25)
    content = mutations.bomb("a.npy", b"head")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(content) < 2**18 and len(archive.read("a.npy")) == 2**25 + 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_the_files_are_opened_in_a_process_of_their_own():
    outcomes, examples = mutated_inputs.survey("motion", 0, 5, 8)
    assert outcomes.total() == 8 and {*outcomes} <= {READ, REFUSED} and min(examples.values()) == 5
