import numpy as np
import pytest

from data_pipelines.datasets import base, rich
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets.conftest import (
    FOCAL,
    FRAMES,
    a_camera,
    a_person,
    intrinsics,
    pictures,
    python2,
)


def matrix(name, numbers):
    rows, columns = numbers.shape
    data = " ".join(f"{number:.10e}" for number in numbers.ravel())
    return f'<{name} type_id="opencv-matrix"><rows>{rows}</rows><cols>{columns}</cols><dt>d</dt><data>\n{data}</data></{name}>'


def write(raw, first=5):
    pose, trans, _, _ = a_person()
    for number in range(FRAMES):
        folder = raw / "bodies" / "test" / "Gym_010_cooking1" / f"{number + first:05d}"
        folder.mkdir(parents=True)
        content = {
            "transl": np.float32(trans[number : number + 1]),
            "global_orient": np.float32(pose[number, :1]),
            "body_pose": np.float32(pose[number, 1:22]).reshape(1, 63),
            "betas": np.ones((1, 10), np.float32),
            "left_hand_pose": np.zeros((1, 12), np.float32),
        }
        (folder / "002.pkl").write_bytes(python2(content))
    calibration = raw / "scan_calibration" / "Gym" / "calibration"
    calibration.mkdir(parents=True)
    text = matrix("CameraMatrix", a_camera()[0, :3]) + matrix("Intrinsics", intrinsics())
    (calibration / "003.xml").write_text(f'<?xml version="1.0"?><opencv_storage>{text}</opencv_storage>')
    images = raw / "images" / "test" / "Gym_010_cooking1" / "cam_03"
    pictures(images, "{:05d}_03.jpeg", FRAMES + 3, first=first - 2)
    return pose, trans


def test_the_bodies_of_a_test_sequence_in_a_camera(tmp_path):
    pose, trans = write(tmp_path)
    (unit,) = rich.find(tmp_path).units
    reading = rich.read(unit)
    (person,) = reading.people
    assert unit.name == "Gym_010_cooking1_03" and person.person == "002" and person.body == "smplx"
    np.testing.assert_array_equal(person.frame_index, np.arange(FRAMES) + 2)  # places among the pictures
    np.testing.assert_allclose(person.pose[:, 1:22], pose[:, 1:22], atol=1e-6)
    assert not person.pose[:, 22:].any() and not person.betas.any() and person.focal_length == FOCAL
    camera = np.tile(a_camera()[0, :3], (FRAMES, 1, 1))
    pelvis = base.transform((trans + base.SMPL_PELVIS)[:, None], camera)[:, 0]
    np.testing.assert_allclose(person.transl + base.SMPL_PELVIS, pelvis, atol=1e-5)
    assert person.valid.all() and len(list(reading.frames())) == FRAMES + 3


def test_damaged_files_end_in_one_sentence(tmp_path):
    write(tmp_path)
    found = rich.find(tmp_path)
    assert "51 of 52 folders bodies/test/SEQUENCE/" in found.missing
    (unit,) = found.units
    camera = tmp_path / "scan_calibration" / "Gym" / "calibration" / "003.xml"
    whole = camera.read_text()
    for text in (whole[:-30], whole.replace("Intrinsics", "Other"), ""):
        camera.write_text(text)
        with pytest.raises(UserError, match="003.xml is not a readable file of RICH .*: download it again"):
            rich.read(unit)
    first = whole.split("<data>")[1].split()[0]
    for number in ("inf", "nan", "1e300", "2"):  # with infinity, SciPy's rotations take for ever
        camera.write_text(whole.replace(first, number, 1))
        with pytest.raises(UserError, match="003.xml .*the orientation of a camera is no rotation"):
            rich.read(unit)
    camera.write_text(whole)
    body = unit.path / "00009" / "002.pkl"
    body.write_bytes(python2({"transl": np.zeros((1, 3))}))
    with pytest.raises(UserError, match="002.pkl is not a readable file of RICH .*it has no 'global_orient'"):
        rich.read(unit)
