"""BVH files of several conventions, written on SMPL's skeleton."""

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.motion.skeleton import joint_positions, rest_skeleton
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS

ONE_JOINT = """HIERARCHY
ROOT a
{
OFFSET 0 0 0
CHANNELS 3 Zrotation Xrotation Yrotation
}
MOTION
Frames: 1
Frame Time: 0.1
1 2 3
"""

INDEX = {name: joint for joint, name in enumerate(SMPL_JOINTS)}
# Family -> names of pelvis, spine, chest, neck and head; of hip, knee, ankle, foot, collar .. wrist; pattern.
NAMES = {
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


def joint_tree(family):
    """Names and parents of the joints of a file of this family, in the order of SOURCE."""
    called, parent = _names(family), _parents()
    return [called[name] for name in SOURCE], [
        SOURCE.index(parent[name]) if parent[name] else -1 for name in SOURCE
    ]


def _names(family):
    trunk, parts, pattern = NAMES[family]
    called = dict(zip(TRUNK, trunk))
    for side in ("left", "right"):
        words = {"Side": side.title(), "S": side[0].upper(), "s": side[0]}
        called |= {f"{side}_{ours}": pattern.format(part=part, **words) for ours, part in zip(PARTS, parts)}
    return called


def _parents():
    parent = {}
    for name in SOURCE:
        joint = SMPL_PARENTS[INDEX[name]]
        while joint >= 0 and SMPL_JOINTS[joint] not in SOURCE:
            joint = SMPL_PARENTS[joint]
        parent[name] = SMPL_JOINTS[joint] if joint >= 0 else None
    return parent


def motion(frames=40):
    """A walk on the spot, (T, 24, 3). In frame 20 the left elbow flexes by 90, the right knee by 70."""
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
    """Writes `pose` (T, 24, 3) on SMPL's skeleton.

    `zero` is the zero pose of the file: 't', 'a' (arms 45 degrees down), or 'x' (every bone along the x axis
    of its joint, which is no upright body).
    """
    called, parent = _names(names), _parents()
    rest = rest_skeleton()
    child = {parent[name]: name for name in reversed(SOURCE) if parent[name]} | {
        "pelvis": "spine1",
        "spine3": "neck",
    }
    # The axes of the file's joints in those of SMPL's rest pose.
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
