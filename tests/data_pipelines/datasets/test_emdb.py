import os
import pickle

import numpy as np
import pytest

from data_pipelines.datasets import base, emdb
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets.conftest import FOCAL, FRAMES, a_camera, a_person, intrinsics, pictures


def write(raw, emdb1=True, emdb2=False, damage=None):
    pose, trans, betas, _ = a_person()
    good = np.ones(FRAMES, bool)
    good[4] = False
    content = {
        "gender": "female",
        "name": "P0_00_mvs_a",
        "emdb1": emdb1,
        "emdb2": np.bool_(emdb2),
        "n_frames": FRAMES,
        "good_frames_mask": good,
        "camera": {"intrinsics": intrinsics(), "extrinsics": a_camera(), "width": 320, "height": 240},
        "smpl": {
            "poses_root": pose[:, 0],
            "poses_body": pose[:, 1:].reshape(FRAMES, 69),
            "trans": trans,
            "betas": betas,
        },
        "kp2d": np.zeros((FRAMES, 24, 2)),
        "bboxes": {"bboxes": np.tile([100.0, 50, 160, 230], (FRAMES, 1)), "invalid_idxs": np.array([4, 7])},
    }
    if damage:
        damage(content)
    folder = raw / "P0" / "00_mvs_a"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "P0_00_mvs_a_data.pkl").write_bytes(pickle.dumps(content))
    if not (folder / "images").exists():
        pictures(folder / "images", "{:05d}.jpg")
    return pose, trans, good


def read(raw):
    (unit,) = emdb.find(raw).units
    return emdb.read(unit).people[0]


def test_a_sequence_in_the_cameras_frame(tmp_path):
    pose, trans, good = write(tmp_path)
    person = read(tmp_path)
    np.testing.assert_array_equal(person.valid, good)
    assert person.gender == "female" and person.focal_length == FOCAL and person.subsets == ("emdb1",)
    np.testing.assert_allclose(person.pose[:, 1:], pose[:, 1:], atol=1e-6)
    # The pelvis moves with the camera as a point of the world does.
    pelvis = base.transform((trans + base.SMPL_PELVIS)[:, None], a_camera()[:, :3])[:, 0]
    np.testing.assert_allclose(person.transl + base.SMPL_PELVIS, pelvis, atol=1e-5)
    assert not person.boxes[[4, 7]].any()
    np.testing.assert_allclose(person.boxes[0], [130, 140, 1.1 * 180])


def test_sequences_of_neither_part_count_in_no_protocol(tmp_path):
    write(tmp_path, emdb1=False)
    assert read(tmp_path).subsets == ("emdb",)
    write(tmp_path, emdb1=True, emdb2=True)
    assert read(tmp_path).subsets == ("emdb1", "emdb2")
    assert emdb.find(tmp_path).missing == ["80 of 81 files P*/SEQUENCE/*_data.pkl"]


def nan_pose(content):
    content["smpl"]["poses_body"][3, 5] = np.nan


def short(content):
    content["smpl"]["poses_root"] = content["smpl"]["poses_root"][:5]


def no_camera(content):
    del content["camera"]


def text(content):
    content["smpl"] = "none"


@pytest.mark.parametrize(("damage"), [nan_pose, short, no_camera, text])
def test_damaged_sequences_end_in_one_sentence(tmp_path, damage):
    write(tmp_path, damage=damage)
    with pytest.raises(
        UserError, match="P0_00_mvs_a_data.pkl is not a readable sequence of EMDB .*: download it again"
    ):
        read(tmp_path)


class Asks:
    def __reduce__(self):
        return os.system, ("true",)


def test_code_in_a_pickle_is_refused(tmp_path):
    write(tmp_path, damage=lambda content: content.update(gender=Asks()))
    with pytest.raises(UserError, match=r"asks for \w+.system, which no file of this data set needs"):
        read(tmp_path)
