import struct

import numpy as np
import pytest

from data_pipelines.motion import tfds as records
from data_pipelines.motion.clip import FPS, MotionClip
from hpof_jax.errors import UserError

tfds = pytest.importorskip("tensorflow_datasets")
import tensorflow as tf  # noqa: E402
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c  # noqa: E402


def clip(name, frames, betas=None):
    rng = np.random.default_rng(frames)
    pose = rng.normal(size=(frames, 24, 3)).astype(np.float32)
    return MotionClip(name, name.split("_")[0], pose, rng.normal(size=(frames, 3)).astype(np.float32), betas)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    clips = {
        "train": [clip("walk_1", 7, np.arange(10, dtype=np.float32)), clip("kick_1", 3)],
        "validation": [clip("walk_2", 5)],
    }
    return clips, records.write_records(clips, tmp_path_factory.mktemp("sets") / "my_motion")


def test_tfds_alone_opens_what_was_written(written):
    clips, folder = written
    builder = tfds.builder_from_directory(folder)
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 2,
        "validation": 1,
    }
    examples = list(tfds.as_numpy(tfds.load("my_motion", data_dir=folder.parents[1], split="train")))
    for example, expected in zip(examples, clips["train"], strict=True):
        assert example["name"].decode() == expected.name
        assert example["motion_class"].decode() == expected.motion_class
        assert example["fps"] == FPS
        assert example["has_betas"] == (expected.betas is not None)
        np.testing.assert_array_equal(example["pose"], expected.pose)
        np.testing.assert_array_equal(example["transl"], expected.transl)


@pytest.mark.parametrize("split", ["train", "validation", "all"])
def test_clips_come_back_as_they_were(written, split):
    clips, folder = written
    expected = [c for name in records.SPLITS if split in ("all", name) for c in clips[name]]
    for given in (folder, folder.parent):
        found = records.read_records(given, split)
        assert [c.name for c in found] == [c.name for c in expected]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.pose, b.pose)
            np.testing.assert_array_equal(a.transl, b.transl)
            assert (a.betas is None) == (b.betas is None)
            if a.betas is not None:
                np.testing.assert_array_equal(a.betas, b.betas)


def test_nothing_is_overwritten_and_nothing_half_written_is_left(written, tmp_path):
    clips, folder = written
    with pytest.raises(UserError, match="exists already"):
        records.write_records(clips, folder.parent)

    def broken():
        yield clip("walk_3", 4)
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        records.write_records({"train": broken()}, tmp_path / "half")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "splits", "words"), [("Not-a-name", {}, "cannot name"), ("empty", {}, "no clip to write")]
)
def test_what_cannot_be_written_is_a_user_error(tmp_path, name, splits, words):
    with pytest.raises(UserError, match=words):
        records.write_records(splits, tmp_path / name)


def test_a_folder_without_a_data_set_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no tfds data set"):
        records.read_records(tmp_path)


def test_a_damaged_record_is_left_out_and_the_rest_is_read(tmp_path, caplog):
    clips = [clip(f"walk_{number}", 5) for number in range(4)]
    folder = records.write_records({"train": clips}, tmp_path / "motion")
    (shard,) = folder.glob("*.tfrecord-*")
    whole = shard.read_bytes()
    for place, left in ((len(whole) // 4 + 100, [0, 2, 3]), (100, [1, 2, 3]), (len(whole) - 100, [0, 1, 2])):
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        caplog.clear()
        assert [found.name for found in records.read_records(folder)] == [f"walk_{n}" for n in left]
        assert "is not a readable clip of motion (its checksum is wrong)" in caplog.text
    shard.write_bytes(whole[:-10])
    assert [found.name for found in records.read_records(folder)] == ["walk_0", "walk_1", "walk_2"]
    shard.write_bytes(b"")
    with pytest.raises(UserError, match="No clip of"):
        records.read_records(folder)


def test_a_record_that_claims_to_be_huge_is_no_crash(tmp_path, caplog):
    """Its checksums are right, and TensorFlow's readers would reserve what it claims."""
    folder = records.write_records({"train": [clip("walk_1", 5)]}, tmp_path / "motion")
    (shard,) = folder.glob("*.tfrecord-*")
    head = struct.pack("<Q", 2**44)
    shard.write_bytes(shard.read_bytes() + head + struct.pack("<I", masked_crc32c(head)) + b"abc")
    assert [found.name for found in records.read_records(folder)] == ["walk_1"]


@pytest.mark.parametrize("name", ["name", "fps", "pose", "transl", "betas", "has_betas"])
def test_a_record_with_right_checksums_and_a_wrong_value_is_left_out(tmp_path, name, caplog):
    clips = [clip("walk_1", 5, np.zeros(10, np.float32)), clip("walk_2", 5)]
    folder = records.write_records({"train": clips}, tmp_path / "motion")
    (shard,) = folder.glob("*.tfrecord-*")
    first, second = tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    example = tf.train.Example.FromString(first)
    example.features.feature[name].bytes_list.value[:] = [b"\xff"]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for content in (example.SerializeToString(), b"no example", second):
            writer.write(content)
    found = records.read_records(folder)
    assert [clip.name for clip in found][-1] == "walk_2" and len(found) == 1 + (name == "has_betas")
    assert "record 1 of" in caplog.text and "is not a readable clip of motion" in caplog.text


def test_a_description_imports_no_module(tmp_path, monkeypatch):
    """TFDS imports the module of every class that the description names."""
    folder = records.write_records({"train": [clip("walk_1", 5)]}, tmp_path / "motion")
    (tmp_path / "evil_module.py").write_text("raise SystemExit('code of the data set ran')")
    monkeypatch.syspath_prepend(tmp_path)
    features = folder / "features.json"
    features.write_text(
        features.read_text().replace("tensorflow_datasets.core.features.text_feature", "evil_module")
    )
    assert [found.name for found in records.read_records(folder)] == ["walk_1"]
    for content in ("", "[]", '{"featuresDict": 3}'):
        features.write_text(content)
        with pytest.raises(UserError, match="write the data set again"):
            records.read_records(folder)
