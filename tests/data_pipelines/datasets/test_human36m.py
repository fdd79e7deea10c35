import struct

import numpy as np
import pytest
from cdflib import cdfwrite
from scipy.spatial.transform import Rotation

from data_pipelines.datasets import base, human36m
from data_pipelines.motion.skeleton import joint_positions
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets.conftest import python2

T, FOCAL, CENTRE = 40, 1145.0, (512.5, 515.5)


def write_cdf(path, numbers):
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = {
        "Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable",
        "Dim_Sizes": list(numbers.shape), "Compress": 0,
    }  # fmt: skip
    file = cdfwrite.CDF(path)
    file.write_var(spec, var_data=numbers[None])
    file.close()


def write(raw, subject="S9", action="Walking 1", camera="60457274", solid=None):
    """Pose files of 32 joints: millimetres in the camera, and pixels."""
    if solid is None:
        solid = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 5], (T, 32, 3))
    flat = FOCAL * solid[..., :2] / solid[..., 2:] + CENTRE
    folder = raw / subject / "MyPoseFeatures"
    write_cdf(folder / "D3_Positions_mono" / f"{action}.{camera}.cdf", 1000 * solid.reshape(T, 96))
    write_cdf(folder / "D2_Positions" / f"{action}.{camera}.cdf", flat.reshape(T, 64))
    return solid, flat


def read(raw):
    (unit,) = human36m.find(raw).units
    (person,) = human36m.read(unit).people
    return unit, person


def test_seventeen_of_the_joints_at_25_frames_a_second(tmp_path):
    solid, flat = write(tmp_path)
    unit, person = read(tmp_path)
    assert (unit.split, unit.name) == ("test", "S9_Walking_1_60457274")
    assert person.fps == 25 and list(person.frame_index[:3]) == [0, 2, 4] and len(person) == T // 2
    assert person.image_size == (1002, 1000) and person.motion_class == "walking"
    assert person.focal_length == pytest.approx(FOCAL, rel=1e-6)
    np.testing.assert_allclose(person.reference, solid[::2, human36m.PLACES], atol=1e-5)
    for name, place in (("right_knee", 2), ("left_wrist", 19), ("right_shoulder", 25), ("head_top", 15)):
        np.testing.assert_allclose(
            person.keypoints_3d[:, base.POINTS.index(name), :3], solid[::2, place], atol=1e-5
        )
        np.testing.assert_allclose(
            person.keypoints_2d[:, base.POINTS.index(name), :2], flat[::2, place], atol=1e-2
        )
    assert person.pose is None and person.subsets == ("h36m_p1", "h36m_p2")


def test_archives_as_h36m_fetch_unpacks_them(tmp_path):
    solid, _ = write(tmp_path)
    for name in ("D3_Positions_mono", "D2_Positions"):
        (tmp_path / "S9" / "MyPoseFeatures" / name).rename(tmp_path / "S9" / f"Poses_{name}")
    unit, person = read(tmp_path)
    assert unit.name == "S9_Walking_1_60457274"
    np.testing.assert_allclose(person.reference, solid[::2, human36m.PLACES], atol=1e-5)
    assert "119 of 120 files of S9/Poses_D3_Positions_mono/" in human36m.find(tmp_path).missing


def test_splits_protocols_and_the_corrupt_video(tmp_path):
    write(tmp_path, "S1", "Directions", "54138969")
    write(tmp_path, "S11", "Directions", "54138969")
    write(tmp_path, "S11", "Directions", "55011271")
    found = human36m.find(tmp_path)
    assert [(unit.name, unit.split) for unit in found.units] == [
        ("S1_Directions_54138969", "train"),
        ("S11_Directions_55011271", "test"),
    ]
    assert human36m.read(found.units[1]).people[0].subsets == ("h36m_p1",)
    assert "119 of 120 files of S1/MyPoseFeatures/D3_Positions_mono/" in found.missing
    assert "S1/Videos/Directions.54138969.mp4" in found.missing


def write_with_mosh(raw, half_turn=False):
    """A recording of S9 and its SMPL parameters, every fifth frame. Returns the pose."""
    pose = np.zeros((T // 5, 24, 3))
    pose[:, 0] = [np.pi, 0, 0]  # upright in a camera whose y points down
    pose[:, 4, 0] = np.linspace(0, 1, T // 5)
    joints = joint_positions(pose[:1], np.array([0.2, 0.1, 4.0]))[0]
    solid = np.tile(np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 5], (32, 3)), (T, 1, 1))
    for name, place in (("pelvis", 0), ("neck", 13), ("left_hip", 6), ("left_knee", 7)):
        solid[:, place] = joints[SMPL_JOINTS.index(name)]
    write(raw, solid=solid)
    given = pose.copy()
    if half_turn:
        given[:, 0] = (Rotation.from_rotvec(pose[:, 0]) * Rotation.from_rotvec([np.pi, 0, 0])).as_rotvec()
    path = raw / "mosh" / "S9" / "Walking 1_cam3_aligned.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(python2({"new_poses": given.reshape(-1, 72), "betas": np.arange(10.0)}))
    return pose


@pytest.mark.parametrize("half_turn", [False, True])
def test_mosh_in_either_convention_of_the_root(tmp_path, half_turn):
    pose = write_with_mosh(tmp_path, half_turn)
    _, person = read(tmp_path)
    roots = Rotation.from_rotvec(person.pose[:, 0]) * Rotation.from_rotvec(pose[0, 0]).inv()
    assert np.rad2deg(roots.magnitude()).max() < 1e-3
    np.testing.assert_allclose(person.pose[5, 4, 0], 2 / (T // 5 - 1), atol=1e-5)  # frame 10 of 50 frames/s
    np.testing.assert_allclose(person.betas, np.arange(10))


def test_damaged_files_end_in_one_sentence(tmp_path):
    write(tmp_path)
    (unit,) = human36m.find(tmp_path).units
    whole = unit.path.read_bytes()
    (start,) = struct.unpack_from(
        ">q", whole, 20
    )  # of the global record, whose dimensions' number is 56 bytes on
    unit.path.write_bytes(whole[: start + 56] + struct.pack(">i", 2**30) + whole[start + 60 :])
    with pytest.raises(UserError, match="states a count that is too large"):
        human36m.read(unit)
    for content in (whole[:400], b"", b"no cdf"):
        unit.path.write_bytes(content)
        with pytest.raises(UserError, match="is not a readable file of Human3.6M .*: download it again"):
            human36m.read(unit)
    write_cdf(unit.path.with_name("x.cdf"), np.zeros((T, 30)))
    unit.path.write_bytes(unit.path.with_name("x.cdf").read_bytes())
    with pytest.raises(UserError, match="cannot reshape"):
        human36m.read(unit)
