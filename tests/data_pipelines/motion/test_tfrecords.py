import struct

import pytest

from data_pipelines.motion.tfrecords import find_records, parse_example


def write(path, contents):
    path.write_bytes(b"".join(struct.pack("<Q", len(c)) + bytes(4) + c + bytes(4) for c in contents))
    return path


def test_start_and_size_of_each_record(tmp_path):
    path = write(tmp_path / "a.tfrecord", [b"a" * 10, b"b" * 20])
    assert [*find_records(path)] == [(12, 10), (38, 20)]


def test_records_end_where_the_file_is_cut_zeroed_or_lies(tmp_path):
    path = write(tmp_path / "a.tfrecord", [b"a" * 10, b"b" * 20])
    whole = path.read_bytes()
    for rest in (whole[26:-1], bytes(1000), struct.pack("<Q", 2**63) + bytes(100), b"1234", b""):
        path.write_bytes(whole[:26] + rest)
        assert [*find_records(path)] == [(12, 10)]


@pytest.mark.slow  # imports TensorFlow
def test_the_features_of_an_example():
    import tensorflow as tf

    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[3]))
    content = tf.train.Example(features=tf.train.Features(feature={"n": feature})).SerializeToString()
    assert parse_example(content)["n"].int64_list.value == [3]
    with pytest.raises(ValueError, match="no example"):
        parse_example(b"\xff" * 40)
