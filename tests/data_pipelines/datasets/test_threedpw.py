import numpy as np
import pytest

from data_pipelines.datasets import base, threedpw
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets.conftest import FOCAL, FRAMES, HEIGHT, WIDTH, posed, write_3dpw


def read(raw):
    (unit,) = threedpw.find(raw).units
    return threedpw.read(unit)


def test_both_people_of_a_sequence_in_the_cameras_frame(tmp_path):
    made, cameras, valid = write_3dpw(tmp_path)
    reading = read(tmp_path)
    assert [person.gender for person in reading.people] == ["male", "female"]
    for person, (_, _, betas, joints) in zip(reading.people, made, strict=True):
        assert len(person) == FRAMES and person.fps == 30 and person.image_size == (HEIGHT, WIDTH)
        assert person.focal_length == FOCAL
        np.testing.assert_array_equal(person.valid, valid)
        np.testing.assert_allclose(person.betas, betas, atol=1e-6)  # the first ten of eleven
        # SMPL posed with these parameters is where the joints are: the root turns about the pelvis.
        moved = base.transform(joints, cameras[:, :3])
        np.testing.assert_allclose(posed(person.pose, person.transl, person.betas)[2:], moved[2:], atol=1e-4)
        np.testing.assert_allclose(person.joints[2:], moved[2:], atol=1e-5)


def test_boxes_are_around_the_projected_joints_of_frames_with_a_camera(tmp_path):
    write_3dpw(tmp_path)
    person = read(tmp_path).people[0]
    assert not person.boxes[:2].any() and (person.boxes[2:, 2] > 20).all()
    pixels = FOCAL * person.joints[5, :, :2] / person.joints[5, :, 2:] + [WIDTH / 2, HEIGHT / 2]
    centre, size = person.boxes[5, :2], person.boxes[5, 2]
    assert (np.abs(pixels - centre) <= size / 2).all()


def test_what_is_missing_is_named(tmp_path):
    write_3dpw(tmp_path)
    found = threedpw.find(tmp_path)
    assert found.missing == [
        "23 of 24 files sequenceFiles/train/*.pkl",
        "12 of 12 files sequenceFiles/validation/*.pkl",
        "24 of 24 files sequenceFiles/test/*.pkl",
    ]
    assert found.units[0].frames == tmp_path / "imageFiles" / "downtown_cafe_00"


def without(key):
    return lambda content: content.pop(key)


def with_nan(content):
    content["trans"][0][7] = np.nan


def too_short(content):
    content["poses"][0] = content["poses"][0][:-3]


def with_other_types(content):
    content["cam_poses"] = "none"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without("campose_valid"), "campose_valid"),
        (without("cam_poses"), "it has no 'cam_poses'"),
        (with_nan, "not finite"),
        (too_short, "cannot reshape"),
        (with_other_types, "than numbers"),
    ],
)
def test_damaged_sequences_end_in_one_sentence(tmp_path, damage, words):
    write_3dpw(tmp_path, damage=damage)
    with pytest.raises(UserError, match=r"downtown_cafe_00.pkl is not a readable sequence of 3DPW") as caught:
        read(tmp_path)
    assert words in str(caught.value) and "download it again" in str(caught.value)


def test_a_cut_file_ends_in_one_sentence(tmp_path):
    write_3dpw(tmp_path)
    path = tmp_path / "sequenceFiles" / "train" / "downtown_cafe_00.pkl"
    for content in (path.read_bytes()[:-500], b"", b"no pickle"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="download it again"):
            read(tmp_path)
