"""BVH files of several conventions, written here, must give one and the same motion."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_pipelines.motion import bvh
from data_pipelines.motion.skeleton import joint_positions, rest_skeleton
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.errors import UserError

INDEX = {name: joint for joint, name in enumerate(SMPL_JOINTS)}
NAMES = {  # what each family calls: pelvis, spine, chest, neck, head; then hip, knee, ankle, foot, collar .. wrist
    "mixamo": (
        ["mixamorig:Hips", "mixamorig:Spine", "mixamorig:Spine2", "mixamorig:Neck", "mixamorig:Head"],
        ["UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand"],
        "mixamorig:{Side}{part}",
    ),
    "bandai": (
        ["Hips", "Spine", "Chest", "Neck", "Head"],
        ["UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand"],
        "{part}_{S}",
    ),
    "iclone": (
        ["CC_Base_Hip", "CC_Base_Waist", "CC_Base_Spine02", "CC_Base_NeckTwist01", "CC_Base_Head"],
        ["Thigh", "Calf", "Foot", "ToeBase", "Clavicle", "Upperarm", "Forearm", "Hand"],
        "CC_Base_{S}_{part}",
    ),
    "blender": (
        ["hips", "spine", "chest", "neck", "head"],
        ["thigh", "shin", "foot", "toe", "shoulder", "upper_arm", "forearm", "hand"],
        "{part}.{S}",
    ),
    "joints": (
        ["Hips", "Chest", "Chest2", "Neck", "Head"],
        ["Hip", "Knee", "Ankle", "Toe", "Collar", "Shoulder", "Elbow", "Wrist"],
        "{Side}{part}",
    ),
    "daz": (
        ["hip", "abdomen", "chest", "neck", "head"],
        ["Thigh", "Shin", "Foot", "Toe", "Collar", "Shldr", "ForeArm", "Hand"],
        "{s}{part}",
    ),
    "biped": (
        ["Bip01 Pelvis", "Bip01 Spine", "Bip01 Spine1", "Bip01 Neck", "Bip01 Head"],
        ["Thigh", "Calf", "Foot", "Toe0", "Clavicle", "UpperArm", "Forearm", "Hand"],
        "Bip01 {S} {part}",
    ),
}
TRUNK = ["pelvis", "spine1", "spine3", "neck", "head"]
PARTS = ["hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist"]
SOURCE = TRUNK[:1] + [f"{side}_{part}" for side in ("left", "right") for part in PARTS[:4]] + TRUNK[1:3]
SOURCE += [f"{side}_{part}" for side in ("left", "right") for part in PARTS[4:]] + TRUNK[3:]


def motion(frames=40):
    """A body that walks on the spot, (T, 24, 3): in frame 20, the left elbow flexes by 90 and the right knee by 70."""
    wave = np.sin(np.linspace(0, 4 * np.pi, frames))
    pose = np.zeros((frames, 24, 3))
    pose[:, INDEX["left_hip"], 0], pose[:, INDEX["right_hip"], 0] = 0.4 * wave, -0.4 * wave
    for side, sign in (("left", 1), ("right", -1)):
        pose[:, INDEX[f"{side}_knee"], 0] = 0.5 + 0.4 * sign * wave
        pose[:, INDEX[f"{side}_elbow"], 1] = -sign * (0.6 + 0.5 * wave)
        pose[:, INDEX[f"{side}_shoulder"], 2] = -sign * (0.6 + 0.3 * wave)
    pose[20, INDEX["left_elbow"], 1] = -np.pi / 2
    pose[20, INDEX["right_knee"], 0] = np.radians(70)
    pose[:, 0, 1] = np.linspace(0, 1.0, frames)  # and turns to its left
    return pose


def write_bvh(
    path,
    pose,
    names="mixamo",
    zero="t",
    unit=100.0,
    fps=30.0,
    up="y",
    order="ZXY",
    t_pose_first=False,
    moving_hips=False,
):
    """Writes `pose` on our own skeleton. `zero`: what the file's zero pose is: 't', 'a' (arms 45 degrees down) or 'x'
    (every bone along its joint's own x axis, as several editors have it: no body at all)."""
    trunk, parts, pattern = NAMES[names]
    called = dict(zip(TRUNK, trunk))
    for side in ("left", "right"):
        words = {"Side": side.title(), "S": side[0].upper(), "s": side[0]}
        called |= {f"{side}_{ours}": pattern.format(part=part, **words) for ours, part in zip(PARTS, parts)}
    rest = rest_skeleton()
    parent = {}
    for name in SOURCE:
        up_tree = SMPL_PARENTS[INDEX[name]]
        while up_tree >= 0 and SMPL_JOINTS[up_tree] not in SOURCE:
            up_tree = SMPL_PARENTS[up_tree]
        parent[name] = SMPL_JOINTS[up_tree] if up_tree >= 0 else None
    child = {parent[name]: name for name in reversed(SOURCE) if parent[name]} | {
        "pelvis": "spine1",
        "spine3": "neck",
    }
    # The file's joint frames, seen from ours when the body is at SMPL's rest pose.
    frames = {}
    for name in SOURCE:
        if zero == "t":
            frames[name] = np.eye(3)
        elif zero == "a":
            sign = {"left": 1, "right": -1}.get(name.split("_")[0], 0) * (name.split("_")[-1] in PARTS[5:])
            frames[name] = Rotation.from_rotvec([0, 0, sign * np.pi / 4]).as_matrix()
        else:
            bone = (
                rest[INDEX[child[name]]] - rest[INDEX[name]] if name in child else np.array([0.0, 1.0, 0.1])
            )
            x = bone / np.linalg.norm(bone)
            z = np.cross(x, [0.3, 0.2, 0.9])
            frames[name] = np.stack([x, np.cross(z, x), z], axis=1) / [
                1,
                np.linalg.norm(z),
                np.linalg.norm(z),
            ]
    poses = np.concatenate([np.zeros((1, 24, 3)), pose]) if t_pose_first else pose
    turns = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    world = [turns[:, 0]]
    for joint in range(1, 24):
        world.append(world[SMPL_PARENTS[joint]] @ turns[:, joint])
    tilt = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) if up == "z" else np.eye(3)
    places = joint_positions(poses, np.array([0.0, 0.97, 0.0])) @ tilt.T * unit
    lines, rows = ["HIERARCHY"], []

    def node(name, depth):
        pad = "  " * depth
        above = parent[name]
        offset = (
            np.zeros(3)
            if above is None
            else frames[above].T @ (rest[INDEX[name]] - rest[INDEX[above]]) * unit
        )
        if up == "z" and above is None:
            offset = np.zeros(3)
        lines.append(f"{pad}{'JOINT' if above else 'ROOT'} {called[name]}\n{pad}{{")
        lines.append(f"{pad}  OFFSET " + " ".join(f"{value:.6f}" for value in offset))
        local = tilt @ world[INDEX[name]] @ frames[name]
        if above is not None:
            local = np.swapaxes(tilt @ world[INDEX[above]] @ frames[above], -1, -2) @ local
        angles = Rotation.from_matrix(local).as_euler(order, degrees=True)
        rotations = " ".join(f"{axis}rotation" for axis in order)
        if above is None or moving_hips:
            lines.append(f"{pad}  CHANNELS 6 Xposition Yposition Zposition {rotations}")
            rows.append(places[:, 0] if above is None else np.tile(offset, (len(poses), 1)))
        else:
            lines.append(f"{pad}  CHANNELS 3 {rotations}")
        rows.append(angles)
        below = [other for other in SOURCE if parent[other] == name]
        for other in below:
            node(other, depth + 1)
        if not below:
            lines.append(f"{pad}  End Site\n{pad}  {{\n{pad}    OFFSET 0 0 0\n{pad}  }}")
        lines.append(f"{pad}}}")

    node("pelvis", 0)
    table = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(rows, axis=1))
    path.write_text(
        "\n".join(lines) + f"\nMOTION\nFrames: {len(poses)}\nFrame Time: {1 / fps:.7f}\n{table}\n"
    )
    return path


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


def test_a_t_pose_file_comes_back_as_it_was(tmp_path):
    pose = motion()
    clip = bvh.read_bvh(write_bvh(tmp_path / "walk_01.bvh", pose))
    assert clip.motion_class == "walk" and clip.pose.shape == (40, 24, 3)
    np.testing.assert_allclose(clip.pose, pose, atol=2e-3)
    assert np.degrees(-clip.pose[20, INDEX["left_elbow"], 1]) == pytest.approx(90, abs=0.5)
    assert np.degrees(clip.pose[20, INDEX["right_knee"], 0]) == pytest.approx(70, abs=0.5)


@pytest.mark.parametrize("names", sorted(NAMES))
def test_every_family_of_names_is_understood(tmp_path, names):
    clip = bvh.read_bvh(write_bvh(tmp_path / "a.bvh", motion(), names))
    np.testing.assert_allclose(clip.pose, motion(), atol=2e-3)


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
def test_the_same_motion_from_every_convention(tmp_path, convention):
    clip = bvh.read_bvh(write_bvh(tmp_path / "a.bvh", motion(), **convention))
    want = bvh.read_bvh(write_bvh(tmp_path / "b.bvh", motion()))
    assert angle_between(clip.pose.reshape(-1, 3), want.pose.reshape(-1, 3)).max() < 0.5
    np.testing.assert_allclose(clip.transl[:, 1], want.transl[:, 1], atol=5e-3)


def test_joint_axes_that_say_nothing_are_learnt_from_the_motion(tmp_path):
    """No T-pose anywhere: limbs must point right exactly, and elbows and knees flex about the right axes."""
    clip = bvh.read_bvh(write_bvh(tmp_path / "a.bvh", motion(), "bandai", zero="x", moving_hips=True))
    got = limbs(clip.pose, clip.transl)
    want = limbs(motion(), np.zeros(3))
    assert np.degrees(np.arccos(np.clip((got * want).sum(-1), -1, 1))).max() < 6
    assert angle_between(clip.pose[:, INDEX["left_elbow"]], motion()[:, INDEX["left_elbow"]]).max() < 12
    assert angle_between(clip.pose[:, INDEX["right_knee"]], motion()[:, INDEX["right_knee"]]).max() < 12
    assert angle_between(clip.pose[:, 0], motion()[:, 0]).max() < 8


def test_left_stays_left_and_the_body_faces_forward(tmp_path):
    clip = bvh.read_bvh(write_bvh(tmp_path / "a.bvh", motion(), "daz"))
    places = joint_positions(clip.pose, clip.transl)[0]
    assert places[INDEX["left_hip"], 0] > places[INDEX["right_hip"], 0]
    assert places[INDEX["left_foot"], 2] > places[INDEX["left_ankle"], 2]


@pytest.mark.parametrize("fps, frames", [(60.0, 20), (120.0, 10), (30.0, 40), (25.0, 47)])
def test_other_frame_rates_become_thirty(tmp_path, fps, frames):
    clip = bvh.read_bvh(write_bvh(tmp_path / "a.bvh", motion(), fps=fps))
    assert len(clip.pose) == frames
    np.testing.assert_allclose(clip.pose[0], motion()[0], atol=2e-3)


def test_the_t_pose_before_a_motion_is_dropped(tmp_path):
    clip = bvh.read_bvh(write_bvh(tmp_path / "a.bvh", motion(), "iclone", zero="x", t_pose_first=True))
    assert len(clip.pose) == 40


def test_files_of_one_kind_share_the_t_pose_of_one(tmp_path):
    write_bvh(tmp_path / "a.bvh", motion(), "iclone", zero="x", t_pose_first=True)
    write_bvh(tmp_path / "b.bvh", motion(), "iclone", zero="x")
    report = []
    clips, failures = bvh.read_all(tmp_path, ["a.bvh", "b.bvh"], report)
    assert not failures and report[0].startswith("2 files")
    np.testing.assert_allclose(clips[0].pose, clips[1].pose, atol=1e-4)


def test_the_hips_not_the_pelvis_joint_place_the_body(tmp_path):
    pose, clip = motion(), bvh.read_bvh(write_bvh(tmp_path / "a.bvh", motion()))
    want = joint_positions(pose, np.array([0.0, 0.97, 0.0]))[:, 1:3].mean(axis=1)
    got = joint_positions(clip.pose, clip.transl)[:, 1:3].mean(axis=1)
    np.testing.assert_allclose(got - got[0], want - want[0], atol=2e-3)


GOOD = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n}\nMOTION\nFrames: 1\nFrame Time: 0.1\n1 2 3\n"


def test_the_smallest_file_parses():
    file = bvh.parse_bvh(GOOD)
    assert file.names == ("a",) and file.fps == pytest.approx(10) and file.motion.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    "old, new",
    [
        ("MOTION", "MOVES"),
        ("1 2 3", "1 2"),
        ("1 2 3", "1 2 x"),
        ("1 2 3", "1 2 nan"),
        ("Frames: 1", "Frames: many"),
        ("Frame Time: 0.1", "Frame Time: 0"),
        ("OFFSET 0 0 0", "OFFSET 0 0"),
        ("Yrotation", "Yscale"),
        ("CHANNELS 3", "CHANNELS 4"),
        ("}", ""),
        ("ROOT a", "JOINT a"),
        ("OFFSET", "OFSET"),
    ],
)
def test_broken_files_are_named_in_one_sentence(tmp_path, old, new):
    path = tmp_path / "broken.bvh"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError, match="broken.bvh"):
        bvh.read_bvh(path)


def test_a_skeleton_without_limbs_and_a_missing_file(tmp_path):
    (tmp_path / "snake.bvh").write_text(GOOD)
    with pytest.raises(UserError, match="left hip"):
        bvh.read_bvh(tmp_path / "snake.bvh")
    with pytest.raises(UserError, match="nowhere.bvh"):
        bvh.read_bvh(tmp_path / "nowhere.bvh")


def test_the_report_names_what_was_mapped(tmp_path):
    write_bvh(tmp_path / "walk_01.bvh", motion(), "blender")
    report = bvh.describe(tmp_path, ["walk_01.bvh"])
    assert "left_elbow <- forearm.L" in report and "zero pose" in report and "walk 1" in report
    (tmp_path / "empty.bvh").write_text("")
    assert bvh.describe(tmp_path, ["empty.bvh"]).startswith("left out: ")
