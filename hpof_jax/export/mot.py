"""MOT: joint angles over time as coordinates of OpenSim's full-body models. Degrees, metres, y up.

The columns are the coordinates of Rajagopal et al.'s model (IEEE TBME 2016), from which OpenCap's is made, and then
the coordinates of Pose2Sim's model that have other names. OpenSim ignores columns that a model lacks. The ground is
that of the `.trc` files.
"""

import os

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body.joint_angles import joint_angles, opensim_pelvis_angles
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_JOINTS, indices_of
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import Y_UP, y_up
from hpof_jax.world import WorldMotion

_LEG = "hip_flexion hip_adduction hip_rotation knee_angle ankle_angle subtalar_angle mtp_angle".split()
_ARM = "arm_flex arm_add arm_rot elbow_flex pro_sup wrist_flex wrist_dev".split()
_SAME = (  # coordinates with the names of joint angles
    *(f"{name}_{side}" for side in "rl" for name in _LEG),
    *("lumbar_extension", "lumbar_bending", "lumbar_rotation"),
    *(f"{name}_{side}" for side in "rl" for name in _ARM),
)
_OTHERS = {  # coordinates with other names -> joint angle
    "knee_angle_r_beta": "knee_angle_r",  # moves the kneecap
    "knee_angle_l_beta": "knee_angle_l",
    "L5_S1_Flex_Ext": "lumbar_extension",  # Pose2Sim's
    "L5_S1_Lat_Bending": "lumbar_bending",
    "L5_S1_axial_rotation": "lumbar_rotation",
    "neck_flexion": "neck_extension",  # positive is backwards in the model, too
    "neck_bending": "neck_bending",
    "neck_rotation": "neck_rotation",
}
_PLACE = ("pelvis_tx", "pelvis_ty", "pelvis_tz")
# The middle of the hips in the pelvis of Rajagopal's model, metres.
FORWARD, UP = -0.056276, -0.07849


def write(path: str | os.PathLike, motion: WorldMotion, body: BodyModel) -> None:
    """Writes one person. Times that vary are resampled; see `constant_rate.at_constant_rate`.

    The pelvis is placed so that the hips of the unscaled model are in the middle of the person's.

    Raises:
      UserError: the file cannot be written.
    """
    motion = at_constant_rate(motion, body)
    angles = joint_angles(motion.pose)
    columns = opensim_pelvis_angles(motion.pose)
    columns |= dict(zip(_PLACE, _pelvis(motion).T, strict=True))
    columns |= {name: angles[name] for name in _SAME}
    columns |= {name: angles[same] for name, same in _OTHERS.items()}
    values = np.column_stack([motion.times, *columns.values()])
    header = [
        "Coordinates",
        "version=1",
        f"nRows={len(values)}",
        f"nColumns={len(columns) + 1}",
        "inDegrees=yes",
    ]
    lines = [*header, "", "Units are S.I. units (second, meters, Newtons, ...)"]
    lines += ["Angles are in degrees.", "", "endheader", "\t".join(["time", *columns])]
    with (
        replacing(path, "The MOT file") as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, values, fmt="%.6f", delimiter="\t")


def _pelvis(motion: WorldMotion) -> np.ndarray:
    """The origin of the model's pelvis (T, 3), metres, y up."""
    rotations, _ = y_up(motion)
    turns = rotations.as_matrix().reshape(-1, 24, 3, 3)[:, 0]
    hips = motion.joints[:, indices_of(("left_hip", "right_hip"), SMPL_JOINTS)].mean(axis=1)
    return hips @ Y_UP.T - turns[..., 1] * UP - turns[..., 2] * FORWARD
