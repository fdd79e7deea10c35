import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_pipelines.motion import retarget
from data_pipelines.motion.bvh_format import parse_bvh
from data_pipelines.motion.joint_names import find_slots
from data_pipelines.motion.skeleton import joint_positions
from tests.data_pipelines.motion.conftest import INDEX, NAMES, motion, write_bvh


def read(path):
    """A file with its slots."""
    file = parse_bvh(path.read_text())
    return file, find_slots(file.names, file.parents, path.name)


def retargeted(path):
    """pose (T, 24, 3) and transl (T, 3) of a file that is calibrated alone."""
    file, slots = read(path)
    pose, transl, _ = retarget.convert(file, slots, retarget.calibrate([(file, slots)]))
    return pose, transl


def angle_between(a, b):
    return np.degrees((Rotation.from_rotvec(a).inv() * Rotation.from_rotvec(b)).magnitude())


def limbs(pose, transl):
    """Unit directions of the limbs, (T, 10, 3)."""
    places = joint_positions(pose, transl)
    pairs = [
        (INDEX[f"{s}_{a}"], INDEX[f"{s}_{b}"])
        for s in ("left", "right")
        for a, b in (
            ("hip", "knee"),
            ("knee", "ankle"),
            ("ankle", "foot"),
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
        )
    ]
    bones = np.stack([places[:, b] - places[:, a] for a, b in pairs], axis=1)
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def test_a_file_with_a_t_pose_gives_its_motion_unchanged(tmp_path):
    pose, _ = retargeted(write_bvh(tmp_path / "walk_01.bvh", motion()))
    assert pose.shape == (40, 24, 3)
    np.testing.assert_allclose(pose, motion(), atol=2e-3)
    assert np.degrees(-pose[20, INDEX["left_elbow"], 1]) == pytest.approx(90, abs=0.5)
    assert np.degrees(pose[20, INDEX["right_knee"], 0]) == pytest.approx(70, abs=0.5)


@pytest.mark.parametrize("names", sorted(NAMES))
def test_every_family_of_names_gives_the_same_motion(tmp_path, names):
    pose, _ = retargeted(write_bvh(tmp_path / "a.bvh", motion(), names))
    np.testing.assert_allclose(pose, motion(), atol=2e-3)


@pytest.mark.parametrize(
    "convention",
    [
        {"zero": "a"},
        {"zero": "t", "unit": 1.0},
        {"zero": "t", "unit": 39.37, "moving_hips": True},
        {"zero": "t", "up": "z", "order": "XZY"},
        {"zero": "x", "t_pose_first": True},
        {"zero": "a", "names": "joints", "moving_hips": True},
    ],
)
def test_every_convention_gives_the_same_motion(tmp_path, convention):
    pose, transl = retargeted(write_bvh(tmp_path / "a.bvh", motion(), **convention))
    expected, place = retargeted(write_bvh(tmp_path / "b.bvh", motion()))
    assert angle_between(pose.reshape(-1, 3), expected.reshape(-1, 3)).max() < 0.5
    np.testing.assert_allclose(transl[:, 1], place[:, 1], atol=5e-3)


def test_without_a_t_pose_the_motion_calibrates(tmp_path):
    """The limbs have the right directions, and elbows and knees flex about the right axes."""
    pose, transl = retargeted(write_bvh(tmp_path / "a.bvh", motion(), "bandai", zero="x", moving_hips=True))
    got = limbs(pose, transl)
    want = limbs(motion(), np.zeros(3))
    assert np.degrees(np.arccos(np.clip((got * want).sum(-1), -1, 1))).max() < 6
    assert angle_between(pose[:, INDEX["left_elbow"]], motion()[:, INDEX["left_elbow"]]).max() < 12
    assert angle_between(pose[:, INDEX["right_knee"]], motion()[:, INDEX["right_knee"]]).max() < 12
    assert angle_between(pose[:, 0], motion()[:, 0]).max() < 8


def test_left_stays_left_and_the_body_faces_forward(tmp_path):
    pose, transl = retargeted(write_bvh(tmp_path / "a.bvh", motion(), "daz"))
    places = joint_positions(pose, transl)[0]
    assert places[INDEX["left_hip"], 0] > places[INDEX["right_hip"], 0]
    assert places[INDEX["left_foot"], 2] > places[INDEX["left_ankle"], 2]


def test_the_t_pose_before_a_motion_is_dropped(tmp_path):
    pose, _ = retargeted(write_bvh(tmp_path / "a.bvh", motion(), "iclone", zero="x", t_pose_first=True))
    assert len(pose) == 40


def test_the_hips_place_the_body(tmp_path):
    pose, transl = retargeted(write_bvh(tmp_path / "a.bvh", motion()))
    want = joint_positions(motion(), np.array([0.0, 0.97, 0.0]))[:, 1:3].mean(axis=1)
    got = joint_positions(pose, transl)[:, 1:3].mean(axis=1)
    np.testing.assert_allclose(got - got[0], want - want[0], atol=2e-3)


@pytest.mark.parametrize("fps, frames", [(60.0, 20), (120.0, 10), (30.0, 40), (25.0, 47)])
def test_other_frame_rates_become_thirty(tmp_path, fps, frames):
    pose, _ = retargeted(write_bvh(tmp_path / "a.bvh", motion(), fps=fps))
    assert len(pose) == frames
    np.testing.assert_allclose(pose[0], motion()[0], atol=2e-3)


def test_files_are_one_kind_if_names_and_bones_agree(tmp_path):
    options = [{}, {"unit": 1.0}, {"zero": "a"}, {"names": "bandai"}]
    files = [read(write_bvh(tmp_path / f"{i}.bvh", motion(), **options[i])) for i in range(4)]
    assert [kind.members for kind in retarget.group(files)] == [[0, 1], [2], [3]]


def test_the_errors_of_limb_directions_are_small(tmp_path):
    file, slots = read(write_bvh(tmp_path / "a.bvh", motion()))
    calibration = retarget.calibrate([(file, slots)])
    assert calibration.method == "zero pose" and calibration.leg > 50  # centimetres
    _, _, errors = retarget.convert(file, slots, calibration)
    assert len(errors) == 10 and max(error.max() for error in errors.values()) < 0.1
