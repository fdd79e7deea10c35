"""A table with one row per frame: joint positions and joint rotations, for spreadsheets and pandas.

World frame: z up, metres, the floor at z = 0. Rotations are rotation vectors in radians, the pelvis's in the
world and the others' relative to the parent joint.
"""

import os

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.world import WorldMotion

COLUMNS = (
    "time",  # seconds from the start of the video
    "confidence",
    *(f"{joint}_{axis}" for joint in SMPL_JOINTS for axis in "xyz"),
    *(f"{joint}_r{axis}" for joint in SMPL_JOINTS for axis in "xyz"),
)


def write(path: str | os.PathLike, motion: WorldMotion) -> None:
    """Writes one person: a line of column names, then T rows of the `COLUMNS`.

    Raises:
      UserError: the file cannot be written.
    """
    frames = len(motion)
    columns = [motion.times, motion.confidence, motion.joints.reshape(frames, 72)]
    values = np.column_stack([*columns, motion.pose.reshape(frames, 72)])
    with replacing(path, "The table") as partial:
        np.savetxt(partial, values, fmt="%.6f", delimiter=",", header=",".join(COLUMNS), comments="")
