"""The motion in a result of this program, of AMASS, WHAM, GVHMR or 4D-Humans.

| program | file | motions |
|---|---|---|
| hpof_jax, AMASS | `.npz` with `poses`, `trans`, `betas`, `mocap_framerate` | one, in one frame |
| WHAM | `wham_output.pkl`, joblib | of each person, in the camera's frame and the world's |
| GVHMR | `hmr4d_results.pt`, torch | one, in the camera's frame and the world's, of SMPL-X |
| 4D-Humans | `results/*.pkl` of PHALP, joblib | of each person, in the camera's frame |
"""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hpof_jax.archives import DAMAGE, Archive, open_archive, reason
from hpof_jax.errors import UserError
from hpof_jax.geometry.numpy_rotations import are_rotations
from hpof_jax.pickles import RESULT, read_pickled, to_array

FRAMES = ("camera", "world")
FREE_BODY = "free_body"  # the name of this package's body in its motions
_ARRAYS = ("poses", "trans", "betas", "mocap_framerate", "mocap_frame_rate", "frame_index", "body")
_BODY_JOINTS = 22  # those that SMPL, SMPL-H and SMPL-X share; SMPL has two hand joints after them
_LARGEST = 1e6  # metres and radians; more is damage


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """The motion of one person in N frames of a video."""

    program: str
    pose: np.ndarray  # (N, 24, 3) axis-angle, root first
    betas: np.ndarray  # (N, B)
    transl: np.ndarray  # (N, 3) metres, as SMPL's
    frames: np.ndarray  # (N,) int64, the numbers of the frames, ascending from 0 or more
    fps: float | None = None  # frames/s, where the file says it
    gender: str = "neutral"  # of the body: "neutral", "male" or "female"
    body: str = "smpl"  # FREE_BODY, "smpl", or "smplx", whose `betas` mean nothing on SMPL


def read_prediction(path: str | os.PathLike, frame: str = "camera", person: str | None = None) -> Prediction:
    """Reads the motion of one person.

    Args:
      frame: one of `FRAMES`. An `.npz` holds one motion, which is taken for either.
      person: the program's name of the person; None: the one in most frames.

    Raises:
      UserError: no such file, an unknown or damaged one, no motion in that frame, or no such person.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path}: give the result of a program.")
    with path.open("rb") as file:
        start = file.read(4)
    try:
        with np.errstate(all="ignore"):  # `_checked` finds what is not finite
            if path.suffix == ".npz":
                people = {"1": _of_npz(path)}
            elif start:
                people = _of_results(read_pickled(path), path, frame)
            else:
                raise ValueError("it is empty")
            if not people:
                raise ValueError("it holds nobody")
            if person is not None and person not in people:
                names = ", ".join(list(people)[:20])
                raise UserError(f"There is no person {person} in {path}: give one of {names}.")
            longest = max(people, key=lambda name: len(people[name].frames))
            return _checked(people[longest if person is None else person])
    except UserError:
        raise
    except (*DAMAGE, AttributeError, TypeError) as error:
        raise UserError(
            f"{path} is not {RESULT.what} ({reason(error)}): {RESULT.again}{RESULT.cure}."
        ) from error


def _of_npz(path: pathlib.Path) -> Prediction:
    with open_archive(path, RESULT.what, "give a motion.npz or a file of AMASS") as archive:
        arrays, gender = archive.arrays(_ARRAYS), _gender(archive)
    missing = [name for name in ("poses", "trans") if name not in arrays]
    if missing:
        raise UserError(f"{path} has no '{missing[0]}', so it is no motion: {RESULT.cure}.")
    poses = arrays["poses"]
    rate = arrays.get("mocap_framerate", arrays.get("mocap_frame_rate"))
    body = str(arrays["body"]) if "body" in arrays else "smpl"
    return Prediction(
        "hpof_jax" if "frame_index" in arrays else "AMASS",
        _pose(poses),
        _betas(arrays.get("betas", np.zeros(10)), len(poses)),
        arrays["trans"],
        arrays.get("frame_index", np.arange(len(poses))),
        None if rate is None else float(rate),
        gender,
        FREE_BODY if body == FREE_BODY else "smpl",
    )


def _of_results(content: Any, path: pathlib.Path, frame: str) -> dict[str, Prediction]:
    """Person -> motion, of a file whose keys tell the program."""
    if not isinstance(content, dict) or not content:
        raise ValueError("it holds no dictionary")
    first = next(iter(content.values()))
    if "smpl_params_incam" in content or "smpl_params_global" in content:
        return {"1": _of_gvhmr(content["smpl_params_incam" if frame == "camera" else "smpl_params_global"])}
    if isinstance(first, dict) and "pose_world" in first:
        return {str(to_array(name)): _of_wham(person, frame) for name, person in content.items()}
    if isinstance(first, dict) and "smpl" in first:
        if frame == "world":
            raise UserError(
                f"{path} is of 4D-Humans, which gives no motion in the world: choose a protocol in the "
                "camera's frame."
            )
        return _of_phalp(content)
    raise ValueError("it has the keys of no program that is known here")


def _of_wham(person: dict, frame: str) -> Prediction:
    suffix = "" if frame == "camera" else "_world"
    pose = to_array(person[f"pose{suffix}"])
    return Prediction(
        "WHAM",
        _pose(pose),
        _betas(to_array(person["betas"]), len(pose)),
        to_array(person[f"trans{suffix}"]),
        to_array(person["frame_ids"]),
    )


def _of_gvhmr(params: dict) -> Prediction:
    root, body = (to_array(params[name]) for name in ("global_orient", "body_pose"))
    pose = np.concatenate([root.reshape(len(root), 3), body.reshape(len(root), -1)], axis=1)
    return Prediction(
        "GVHMR",
        _pose(pose),
        _betas(to_array(params["betas"]), len(pose)),
        to_array(params["transl"]),
        np.arange(len(pose)),
        body="smplx",
    )


def _of_phalp(frames: dict) -> dict[str, Prediction]:
    """Frames in which the tracker only guesses where a person is are left out."""
    found: dict[str, list] = {}
    for number, frame in enumerate(frames.values()):
        number = int(to_array(frame["time"])) if "time" in frame else number
        ages = frame.get("tracked_time") or [0] * len(frame["tid"])
        for tid, smpl, camera, age in zip(frame["tid"], frame["smpl"], frame["camera"], ages, strict=False):
            if to_array(age) == 0:
                parts = [to_array(smpl[name]).reshape(-1, 3, 3) for name in ("global_orient", "body_pose")]
                turns = np.concatenate(parts)
                if not are_rotations(turns):
                    raise ValueError("a joint's rotation matrix is none")
                pose = Rotation.from_matrix(turns).as_rotvec()
                row = number, pose, to_array(smpl["betas"]).reshape(-1), to_array(camera).reshape(3)
                found.setdefault(str(to_array(tid)), []).append(row)
    people = {}
    for name, rows in found.items():
        numbers, pose, betas, transl = map(np.stack, zip(*rows, strict=True))
        people[name] = Prediction("4D-Humans", pose, betas, transl, numbers)
    return people


def _pose(poses: np.ndarray) -> np.ndarray:
    """Axis-angle (N, 66 or more) of SMPL, SMPL-H or SMPL-X -> SMPL's (N, 24, 3), without fingers and face."""
    poses = np.asarray(poses, np.float64)
    if poses.ndim != 2 or poses.shape[1] < 3 * _BODY_JOINTS:
        raise ValueError(f"poses of shape {poses.shape} instead of (frames, 72)")
    joints = 24 if poses.shape[1] == 72 else _BODY_JOINTS
    pose = np.zeros((len(poses), 24, 3))
    pose[:, :joints] = poses[:, : 3 * joints].reshape(len(poses), joints, 3)
    return pose


def _gender(archive: Archive) -> str:
    """The gender in an `.npz`: text in most files, bytes or a pickle in some of AMASS, which is not unpickled."""
    if "gender.npy" not in archive.members:
        return "neutral"
    content = bytes(archive.read("gender.npy", 2**12)).replace(b"\0", b"")
    return next((gender for gender in ("female", "male") if gender.encode() in content), "neutral")


def _betas(betas: np.ndarray, frames: int) -> np.ndarray:
    betas = np.atleast_2d(np.asarray(betas, np.float64))
    return np.broadcast_to(betas, (frames, betas.shape[-1]))


def _checked(motion: Prediction) -> Prediction:
    """The motion in double precision; raises ValueError if an array has another shape or is not finite."""
    frames = len(motion.pose)
    shapes = {"pose": (frames, 24, 3), "betas": (frames, motion.betas.shape[-1]), "transl": (frames, 3)}
    if frames == 0 or motion.frames.shape != (frames,) or motion.frames.dtype.kind not in "iu":
        raise ValueError(f"{frames} poses and frame numbers of shape {motion.frames.shape}")
    arrays = {name: np.asarray(getattr(motion, name), np.float64) for name in shapes}
    for name, array in arrays.items():
        if array.shape != shapes[name]:
            raise ValueError(f"'{name}' of shape {array.shape} instead of {shapes[name]}")
        if not (np.abs(array) <= _LARGEST).all():
            raise ValueError(f"'{name}' with numbers that are not finite or too large")
    numbers = motion.frames.astype(np.int64)
    if numbers[0] < 0 or (np.diff(numbers) <= 0).any():
        raise ValueError("frame numbers that do not ascend")
    if motion.fps is not None and not 1 <= motion.fps <= 1000:
        raise ValueError(f"a frame rate of {motion.fps}")
    return dataclasses.replace(motion, **arrays, frames=numbers)
