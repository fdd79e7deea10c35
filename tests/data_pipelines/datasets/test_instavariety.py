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

    # 14 points of the body, 5 of the face and 6 of the feet; each frame has their x, then their y, then visibilities.
    points = np.random.default_rng(0).uniform(20, 250, (frames, 3, 25))
    points[:, 2] = 1
    points[:, 2, [6, 17]] = 0  # a wrist and an ear
    pictures = [cv2.imencode(".jpg", np.full((300, 300, 3), n, np.uint8))[1].tobytes() for n in range(frames)]
    features = {
        "meta/N": whole([frames]),
        "image/xys": numbers(points[:, :2, :14]),
        "image/visibilities": whole(points[:, 2, :14].astype(int)),
        "image/face_pts": numbers(points[:, :, 14:19]),
        "image/toe_pts": numbers(points[:, :, 19:]),
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
    names = "right_knee left_wrist thorax right_ear right_ankle".split()
    for name, place in zip(names, (1, 11, 12, 18, 24), strict=True):
        found = person.keypoints_2d[:, base.POINTS.index(name)]
        np.testing.assert_allclose(found, np.moveaxis(points, 1, 2)[:, place], atol=1e-4, err_msg=name)
    hidden = [base.POINTS.index(name) for name in ("right_wrist", "left_ear", "neck", "head_top_lsp")]
    assert not person.keypoints_2d[:, hidden].any()
    assert [frame.shape for frame in reading.frames()] == [(300, 300, 3)] * T
    for unit in units[1:]:
        with pytest.raises(UserError, match="a.tfrecord is not a readable tfrecord of InstaVariety"):
            instavariety.read(unit)


@pytest.mark.slow  # imports TensorFlow
def test_points_of_records_with_features_are_between_minus_1_and_1(tmp_path):
    import tensorflow as tf

    phis = tf.train.Feature(float_list=tf.train.FloatList(value=np.zeros(T * 2048)))
    xys = np.zeros((T, 2, 14))
    xys[:, 0], xys[:, 1] = np.linspace(-1, 1, 14), 0.5
    content, _ = example(
        tf,
        **{
            "image/phis": phis,
            "image/xys": tf.train.Feature(float_list=tf.train.FloatList(value=xys.ravel())),
        },
    )
    records(tmp_path / "train" / "a.tfrecord", [content])
    (person,) = instavariety.read(instavariety.find(tmp_path).units[0]).people
    knee = person.keypoints_2d[:, base.POINTS.index("right_knee")]
    np.testing.assert_allclose(knee, np.tile([300 / 13, 225, 1], (T, 1)), rtol=1e-5)
