import struct

import cv2
import numpy as np
import pytest

from data_pipelines.datasets import base, instavariety
from hpof_jax.errors import UserError

T = 6


def records(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for content in contents:
            file.write(struct.pack("<Q", len(content)) + bytes(4) + content + bytes(4))


def test_only_the_lengths_of_records_are_read_to_find_them(tmp_path):
    path = tmp_path / "train" / "insta_variety_00.tfrecord"
    records(path, [b"a" * 10, b"b" * 20, b"c" * 30])
    units = instavariety.find(tmp_path).units
    assert [unit.part for unit in units] == ["12:10", "38:20", "74:30"]
    assert [unit.name for unit in units][:2] == ["insta_variety_00_0000", "insta_variety_00_0001"]
    path.write_bytes(path.read_bytes()[:-20])
    found = instavariety.find(tmp_path)
    assert len(found.units) == 2 and found.missing == ["test/*.tfrecord"]


def example(tf, frames=T, **changes):
    def numbers(values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))

    def whole(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(values)))

    points = np.random.default_rng(0).uniform(20, 250, (frames, 14, 2))
    visible = np.ones((frames, 14), int)
    visible[:, 6] = 0
    pictures = [cv2.imencode(".jpg", np.full((300, 300, 3), n, np.uint8))[1].tobytes() for n in range(frames)]
    features = {
        "meta/N": whole([frames]),
        "image/xys": numbers(points),
        "image/visibilities": whole(visible),
        "image/face_pts": numbers(np.full((frames, 5, 3), 1.0)),
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=pictures)),
    } | changes
    features = {name: value for name, value in features.items() if value is not None}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(), points


@pytest.mark.slow  # imports TensorFlow
def test_a_record_is_a_video_of_one_person(tmp_path):
    import tensorflow as tf

    content, points = example(tf)
    nothing, _ = example(tf, **{"image/encoded": None})
    short, _ = example(tf, **{"image/xys": None})
    records(tmp_path / "train" / "a.tfrecord", [content, nothing, short, b"\xff" * 40])
    units = instavariety.find(tmp_path).units
    reading = instavariety.read(units[0])
    (person,) = reading.people
    assert len(person) == T and person.image_size == (300, 300)
    ankle, wrist, eye = (base.POINTS.index(name) for name in ("right_ankle", "right_wrist", "left_eye"))
    np.testing.assert_allclose(person.keypoints_2d[:, ankle, :2], points[:, 0], atol=1e-4)
    assert not person.keypoints_2d[:, wrist].any() and (person.keypoints_2d[:, eye] == 1).all()
    assert [frame.shape for frame in reading.frames()] == [(300, 300, 3)] * T
    for unit in units[1:]:
        with pytest.raises(UserError, match="a.tfrecord is not a readable tfrecord of InstaVariety"):
            instavariety.read(unit)
