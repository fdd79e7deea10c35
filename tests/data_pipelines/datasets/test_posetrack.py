import json

import numpy as np
import pytest

from data_pipelines.datasets import base, posetrack
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets.conftest import pictures

NAMES = "nose head_bottom head_top left_ear right_ear left_shoulder right_shoulder left_elbow".split()


def keypoints(frame):
    points = np.zeros((17, 3))
    points[:, 0], points[:, 1], points[:, 2] = 20 + frame + 3 * np.arange(17), 30 + 2 * np.arange(17), 1
    points[3:5] = 0  # the ears
    points[9, 2] = 0  # a wrist that is hidden
    return points.reshape(-1).tolist()


def write(raw, split="train", labelled=(10, 11, 12, 14, 18), first=0, change=lambda content: content):
    images = [
        {"file_name": f"images/{split}/000001_bonn/{n + first:06d}.jpg", "id": 100000 + n, "is_labeled": n in labelled,
         "ignore_regions_x": [[1, 2]], "ignore_regions_y": [[1, 2]], "vid_id": "000001", "nframes": 20}
        for n in range(20)
    ]  # fmt: skip
    annotations = [
        {"image_id": 100000 + n, "track_id": 7, "keypoints": keypoints(n), "bbox": [0, 0, 9, 9], "id": n}
        for n in labelled
    ]
    annotations += [{"image_id": 100003, "track_id": 8, "keypoints": keypoints(3)}]  # too short a track
    annotations += [{"image_id": 100003, "track_id": 7, "bbox_head": [0, 0, 1, 1]}]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"name": "person", "keypoints": NAMES}],
    }
    folder = raw / "posetrack_data" / "annotations" / split
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "000001_bonn.json").write_text(json.dumps(change(content)))


def read(raw):
    (unit,) = posetrack.find(raw).units
    return unit, posetrack.read(unit)


def test_a_track_has_points_in_its_labelled_frames(tmp_path):
    write(tmp_path, first=1)
    pictures(tmp_path / "images" / "train" / "000001_bonn", "{:06d}.jpg", 20, (120, 160), first=1)
    _, reading = read(tmp_path)
    (person,) = reading.people
    assert person.person == "7" and person.image_size == (120, 160)
    np.testing.assert_array_equal(person.frame_index, np.arange(10, 19))
    np.testing.assert_array_equal(person.frame_index[person.valid], [10, 11, 12, 14, 18])
    shoulder, ear, wrist = (base.POINTS.index(name) for name in ("left_shoulder", "left_ear", "left_wrist"))
    np.testing.assert_allclose(person.keypoints_2d[0, shoulder], [20 + 10 + 15, 40, 1])
    assert not person.keypoints_2d[:, [ear, wrist]].any()
    boxes = base.fill_boxes(person.boxes)
    assert boxes[:, 2].all()
    np.testing.assert_allclose(boxes[3], (boxes[2] + boxes[4]) / 2, atol=1e-4)


def test_the_validation_split_and_files_that_are_missing(tmp_path):
    write(tmp_path, "val")
    unit, reading = read(tmp_path)
    assert unit.split == "validation" and reading.frames is None and len(reading.people) == 1
    missing = posetrack.find(tmp_path).missing
    assert missing == [
        "593 of 593 files annotations/train/*.json",
        "73 of 74 files annotations/val/*.json",
        "images/val/000001_bonn/",
    ]


def without_images(content):
    del content["images"]
    return content


def of_an_unknown_image(content):
    content["annotations"][0]["image_id"] = 5
    return content


def a_list(content):
    return [content]


@pytest.mark.parametrize("change", [without_images, of_an_unknown_image, a_list])
def test_damaged_annotations_end_in_one_sentence(tmp_path, change):
    write(tmp_path, change=change)
    with pytest.raises(UserError, match="000001_bonn.json is not a readable annotation of PoseTrack18"):
        read(tmp_path)


def test_a_cut_file_ends_in_one_sentence(tmp_path):
    write(tmp_path)
    path = tmp_path / "posetrack_data" / "annotations" / "train" / "000001_bonn.json"
    path.write_text(path.read_text()[:-100])
    with pytest.raises(UserError, match="download it again"):
        read(tmp_path)
