"""Joint angles of poses whose angles are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.body.joint_angles import JOINT_ANGLES, joint_angles, opensim_pelvis_angles
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_MIRROR
from hpof_jax.geometry.numpy_rotations import about, compose

# What turns a body with y up and its face along z upright in the world, facing along the world's x.
FACING_X = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]]).as_rotvec()
T_POSE = {"arm_add": -90.0, "shoulder_elevation": 90.0, "pro_sup": 90.0}


def upright(frames=1, **joints):
    """(frames, 24, 3) the T-pose, facing the world's x, with some joints turned: name -> axis-angle in degrees."""
    pose = np.zeros((frames, 24, 3))
    for name, turn in joints.items():
        pose[:, SMPL_JOINTS.index(name)] = np.radians(turn)
    pose[:, 0] = compose(FACING_X, pose[:, 0])
    return pose


def check(pose, **expected):
    """All angles are those of the T-pose but for the expected ones."""
    angles = joint_angles(pose)
    assert tuple(angles) == JOINT_ANGLES
    for name, angle in angles.items():
        want = expected.get(name, T_POSE.get(name.removesuffix("_l").removesuffix("_r"), 0.0))
        np.testing.assert_allclose(angle, want, atol=1e-6, err_msg=name)


def test_the_knee_bends_by_its_angle_and_nothing_else_moves():
    check(upright(left_knee=(70, 0, 0)), knee_angle_l=70)


def test_the_t_pose_is_zero_but_for_the_arms():
    check(upright())


# SMPL's axes: x to the left, y up, z forwards.
@pytest.mark.parametrize(
    ("joints", "expected"),
    [
        (dict(right_hip=(-40, 0, 0)), dict(hip_flexion_r=40)),
        (dict(left_hip=(0, 0, 20)), dict(hip_adduction_l=-20)),
        (dict(right_hip=(0, 0, 20)), dict(hip_adduction_r=20)),
        (dict(right_hip=(0, 15, 0)), dict(hip_rotation_r=15)),
        (dict(left_hip=(0, 15, 0)), dict(hip_rotation_l=-15)),
        (dict(right_knee=(0, 0, 5)), dict(knee_adduction_r=5)),
        (dict(right_ankle=(-10, 0, 0)), dict(ankle_angle_r=10)),
        (dict(left_ankle=(0, 0, -12)), dict(subtalar_angle_l=12)),
        (dict(left_foot=(30, 0, 0)), dict(mtp_angle_l=30)),
        (dict(spine1=(20, 0, 0), spine2=(10, 0, 0)), dict(lumbar_extension=-30)),
        (dict(spine3=(0, 0, 10)), dict(lumbar_bending=10)),
        (dict(spine2=(0, 25, 0)), dict(lumbar_rotation=25)),
        (dict(neck=(-15, 0, 0), head=(-5, 0, 0)), dict(neck_extension=20)),
        (dict(pelvis=(-10, 0, 0)), dict(pelvis_tilt=10)),
        (dict(pelvis=(0, 0, 8)), dict(pelvis_list=8)),
        (dict(pelvis=(0, 30, 0)), dict(pelvis_rotation=30)),
        # Arms from the T-pose down to the side, and a little forwards of the T-pose.
        (dict(left_shoulder=(0, 0, -90)), dict(arm_add_l=0, shoulder_elevation_l=0)),
        (dict(right_shoulder=(0, 0, 60)), dict(arm_add_r=-30, shoulder_elevation_r=30)),
        (dict(left_collar=(0, 0, -10)), dict(arm_add_l=-80, shoulder_elevation_l=80)),
        (dict(right_elbow=(0, 90, 0)), dict(elbow_flex_r=90)),
        (dict(left_elbow=(0, -90, 0)), dict(elbow_flex_l=90)),
        (dict(left_elbow=(-50, 0, 0), left_wrist=(-20, 0, 0)), dict(pro_sup_l=20)),
        (dict(left_wrist=(0, 0, -25)), dict(wrist_flex_l=25)),
        (dict(right_wrist=(0, 0, 25)), dict(wrist_flex_r=25)),
        (dict(left_wrist=(0, 15, 0)), dict(wrist_dev_l=15)),
    ],
)
def test_a_turn_about_one_axis_is_one_angle(joints, expected):
    check(upright(**joints), **expected)


def test_an_arm_raised_forwards_is_flexed():
    lowered = compose(about(0, np.radians(-60.0)), about(2, np.radians(-90.0)))
    pose = upright(left_shoulder=np.degrees(lowered))
    angles = joint_angles(pose)
    assert angles["arm_flex_l"] == pytest.approx(60) and angles["arm_add_l"] == pytest.approx(0, abs=1e-6)
    assert angles["shoulder_plane_l"] == pytest.approx(90)
    assert angles["shoulder_elevation_l"] == pytest.approx(60)


def test_the_mirror_image_swaps_left_and_right():
    rng = np.random.default_rng(0)
    pose = np.cumsum(rng.normal(scale=0.05, size=(20, 24, 3)), axis=0)
    mirrored = pose[:, SMPL_MIRROR] * (1, -1, -1)
    pose[:, 0], mirrored[:, 0] = compose(FACING_X, pose[:, 0]), compose(FACING_X, mirrored[:, 0])
    angles, partners = joint_angles(pose), joint_angles(mirrored)
    for name in JOINT_ANGLES:
        if name.endswith(("_r", "_l")):
            partner = name[:-1] + {"r": "l", "l": "r"}[name[-1]]
            np.testing.assert_allclose(angles[name], partners[partner], atol=1e-9, err_msg=name)
        else:
            sign = 1 if name.endswith(("tilt", "extension")) else -1
            np.testing.assert_allclose(angles[name], sign * partners[name], atol=1e-9, err_msg=name)


def test_tilt_and_list_do_not_depend_on_where_the_person_faces():
    pose = upright(pelvis=(-10, 0, 0))
    pose[:, 0] = compose(about(2, np.radians(75.0)), pose[:, 0])
    check(pose, pelvis_tilt=10, pelvis_rotation=75)
    tilt, list_, _ = opensim_pelvis_angles(pose).values()
    assert abs(tilt - 10) > 1 and abs(list_) > 1


def test_angles_go_on_over_whole_turns():
    pose = upright(frames=60)
    pose[:, 0] = compose(FACING_X, about(0, np.linspace(0, -2 * np.pi, 60)))  # a somersault backwards
    tilt = joint_angles(pose)["pelvis_tilt"]
    np.testing.assert_allclose(tilt, np.linspace(0, 360, 60), atol=1e-6)
    np.testing.assert_allclose(opensim_pelvis_angles(pose)["pelvis_tilt"], tilt, atol=1e-6)


def test_the_angles_rebuild_the_rotations_of_the_hand():
    """Upper arm, elbow and hand as OpenSim puts them together; the carrying angle of the elbow is left at zero."""
    rng = np.random.default_rng(1)
    turns = dict(right_collar=rng.normal(size=3) * 9, right_shoulder=(0, 30, 50), right_wrist=(20, 30, 25))
    pose = upright(**turns, right_elbow=(0, 80, 0))
    a = {name.removesuffix("_r"): angle[0] for name, angle in joint_angles(pose).items()}
    rebuilt = Rotation.from_euler("ZXY", [a["arm_flex"], a["arm_add"], a["arm_rot"]], degrees=True)
    rebuilt *= Rotation.from_euler("ZY", [a["elbow_flex"], a["pro_sup"]], degrees=True)
    rebuilt *= Rotation.from_euler("ZX", [a["wrist_flex"], a["wrist_dev"]], degrees=True)
    smpl = Rotation.identity()
    for joint in ("right_collar", "right_shoulder", "right_elbow", "right_wrist"):
        smpl *= Rotation.from_rotvec(pose[0, SMPL_JOINTS.index(joint)])
    # In the anatomical position the hand points down, with the palm forwards.
    to_segments = Rotation.from_matrix([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    anatomical = Rotation.from_euler("YX", [-90, 90], degrees=True)
    expected = to_segments * smpl * to_segments.inv() * anatomical.inv()
    assert (rebuilt.inv() * expected).magnitude() < 1e-6


def test_no_frames_have_no_angles():
    assert all(len(angle) == 0 for angle in joint_angles(np.zeros((0, 24, 3))).values())
