"""Tables with one row per frame, for spreadsheets and pandas: joint positions and rotations, and joint angles.

World frame: z up, metres, the floor at z = 0. Rotations are rotation vectors in radians, the pelvis's in the
world and the others' relative to the parent joint. Joint angles are in degrees; see `body.joint_angles`.
"""

import os

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body.joint_angles import JOINT_ANGLES, joint_angles
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.world import WorldMotion

COLUMNS = (
    "time",  # seconds from the start of the video
    "confidence",
    *(f"{joint}_{axis}" for joint in SMPL_JOINTS for axis in "xyz"),
    *(f"{joint}_r{axis}" for joint in SMPL_JOINTS for axis in "xyz"),
)
ANGLE_COLUMNS = (*COLUMNS[:2], *JOINT_ANGLES)


def write(path: str | os.PathLike, motion: WorldMotion) -> None:
    """Writes one person: a line of column names, then T rows of the `COLUMNS`.

    Raises:
      UserError: the file cannot be written.
    """
    frames = len(motion)
    _write(path, COLUMNS, motion, motion.joints.reshape(frames, 72), motion.pose.reshape(frames, 72))


def write_angles(path: str | os.PathLike, motion: WorldMotion) -> None:
    """Writes one person's joint angles in degrees: a line of column names, then T rows of the `ANGLE_COLUMNS`.

    Raises:
      UserError: the file cannot be written.
    """
    _write(path, ANGLE_COLUMNS, motion, *joint_angles(motion.pose).values())


def _write(
    path: str | os.PathLike, names: tuple[str, ...], motion: WorldMotion, *columns: np.ndarray
) -> None:
    values = np.column_stack([motion.times, motion.confidence, *columns])
    with replacing(path, "The table") as partial:
        np.savetxt(partial, values, fmt="%.6f", delimiter=",", header=",".join(names), comments="")
