"""AMASS's .npz (Mahmood et al., ICCV 2019), for SMPL and SMPL-H: z up, metres, a constant frame rate.

The free body's `betas` mean nothing on SMPL. A motion of the free body is written with SMPL's mean shape, and
`trans` puts that body's pelvis where the person's is.
"""

import os

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body.files import FREE_BODY
from hpof_jax.body.model import BodyModel
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.world import WorldMotion

MODELS = {"smpl": (24, 10), "smplh": (52, 16)}  # joints and shape components in AMASS's files
BODY_JOINTS = 22  # the joints that SMPL and SMPL-H share; hands or fingers come after them

# The pelvis of SMPL's mean body at rest, metres.
SMPL_PELVIS = np.array([-0.0018, -0.2233, 0.0282])


def write(path: str | os.PathLike, motion: WorldMotion, body: BodyModel, model: str = "smpl") -> None:
    """Writes one person. Times that vary are resampled; see `constant_rate.at_constant_rate`.

    Keys: `poses` (T, 72 or 156) axis-angle, `betas` (10 or 16,), `trans` (T, 3), `mocap_framerate`, `gender`.

    Args:
      model: 'smpl', or 'smplh', whose fingers are straight here.

    Raises:
      UserError: the file cannot be written.
    """
    motion = at_constant_rate(motion, body)
    joints, num_betas = MODELS[model]
    shared = joints if joints == len(motion.pose[0]) else BODY_JOINTS
    pose = np.zeros((len(motion), joints, 3))
    pose[:, :shared] = motion.pose[:, :shared]
    betas, trans = np.zeros(num_betas), motion.transl
    if motion.body == FREE_BODY.stem:
        trans = motion.joints[:, 0] - SMPL_PELVIS
    else:
        betas[: len(motion.betas)] = motion.betas
    arrays = {
        "poses": pose.reshape(len(motion), -1),
        "betas": betas,
        "trans": trans,
        "mocap_framerate": np.float64(motion.fps),
        "gender": np.array(motion.gender),
    }
    with replacing(path, "The AMASS file") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
