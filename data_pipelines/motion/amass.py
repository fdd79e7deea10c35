"""AMASS files (Mahmood et al., ICCV 2019) of SMPL, SMPL-H and SMPL-X -> clips of SMPL motion.

AMASS needs a registration, so it is not downloaded: the user gives the folder.
"""

import pathlib
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.motion.clip import LONGEST, MotionClip, motion_class, resample
from data_pipelines.motion.skeleton import on_floor
from hpof_jax.archives import damage, read_arrays
from hpof_jax.errors import UserError

# From z up (AMASS) to y up: (x, y, z) -> (x, z, -y).
_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
# The pelvis of SMPL's mean body at rest, metres. `trans` moves the body's origin, which is not the pelvis.
_PELVIS = np.array([-0.0018, -0.2233, 0.0282])
_BODY_JOINTS = (
    22  # the joints of all three models; SMPL's two hand joints, or fingers and a face, come after them
)
_FEWEST_JOINTS = 24
_RATES = ("mocap_framerate", "mocap_frame_rate")
LARGEST = 2**28  # bytes of a file's arrays: 29 minutes at 120 frames/s and double precision


class AmassMotion(NamedTuple):
    """A file's motion in its own world, z up, at its own rate."""

    pose: np.ndarray  # (T, 24, 3) axis-angle, float64
    trans: np.ndarray  # (T, 3) metres, SMPL's translation
    betas: np.ndarray | None  # (10,) float32 of the file's own body model
    fps: float


def read_amass(path: str | pathlib.Path) -> MotionClip:
    """Reads one file as a clip in the world of `MotionClip`; see `read_motion`."""
    path = pathlib.Path(path)
    pose, trans, betas, fps = read_motion(path)
    pose[:, 0] = (Rotation.from_matrix(_WORLD) * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    pose, transl = resample(pose, (trans + _PELVIS) @ _WORLD.T, fps)
    return MotionClip(
        path.name,
        motion_class(path.name, path.parent.name),
        pose.astype(np.float32),
        on_floor(pose, transl).astype(np.float32),
        betas,
    )


def read_motion(path: pathlib.Path) -> AmassMotion:
    """Reads one `.npz` with `poses` (T, >= 72) axis-angle, `trans` (T, 3), `betas` and `mocap_framerate`.

    The hand joints come from SMPL files, whose poses have 72 numbers, and are zero for other models. `betas`
    are those of the file's own body model.

    Raises:
      UserError: no such file, not an `.npz`, or not a motion.
    """
    kind = "a readable AMASS .npz", "download it again"
    file = read_arrays(path, *kind, names=("poses", "trans", "betas", *_RATES), largest=LARGEST)
    rate_key = next((key for key in _RATES if key in file), None)
    missing = [key for key in ("poses", "trans") if key not in file]
    if missing or rate_key is None:
        listed = ", ".join(missing or ["mocap_framerate"])
        raise UserError(f"{path} has no {listed}, so it is no AMASS motion: leave it out.")
    with damage(path, *kind), np.errstate(over="ignore"):
        if any(array.dtype.kind not in "fiu" for array in file.values()) or file[rate_key].size != 1:
            raise ValueError("its arrays do not hold numbers")
        poses, trans = np.asarray(file["poses"], np.float64), np.asarray(file["trans"], np.float64)
        betas = np.asarray(file["betas"], np.float32).reshape(-1)[:10] if "betas" in file else None
        fps = float(file[rate_key].item())
    frames = len(poses) if poses.ndim else 0
    if poses.ndim != 2 or poses.shape[1] < 3 * _FEWEST_JOINTS or trans.shape != (frames, 3) or frames == 0:
        raise UserError(
            f"{path} has poses {poses.shape} and trans {trans.shape} instead of (T, 72 or more) and (T, 3): "
            "leave it out."
        )
    joints = _FEWEST_JOINTS if poses.shape[1] == 3 * _FEWEST_JOINTS else _BODY_JOINTS
    poses = poses[:, : 3 * joints]
    if not (_is_below(poses, 1e3) and _is_below(trans, 1e6) and 1 <= fps <= 1000):
        raise UserError(
            f"{path} holds numbers that are not finite or a frame rate of {fps}: download it again."
        )
    if frames / fps > LONGEST:
        raise UserError(f"{path} takes {frames / fps:.0f} s, more than {LONGEST}: leave it out.")
    pose = np.zeros((frames, 24, 3))
    pose[:, :joints] = poses.reshape(frames, joints, 3)
    if betas is not None and (len(betas) < 10 or not np.isfinite(betas).all()):
        betas = None
    return AmassMotion(pose, trans, betas, fps)


def _is_below(numbers: np.ndarray, limit: float) -> bool:
    """Whether all numbers are finite and none is larger than `limit`."""
    return bool((np.abs(numbers) <= limit).all())


def read_all(folder: pathlib.Path, files: list[str]) -> tuple[list[MotionClip], list[str]]:
    """Reads files of a folder: the clips, and one sentence for each file that was left out."""
    clips, failures = [], []
    for file in files:
        try:
            clips.append(read_amass(folder / file))
        except UserError as error:
            failures.append(str(error))
    return clips, failures
