"""Motion in a world with a floor: from the camera frame to AMASS's world frame.

World frame: z up, metres, the floor at z = 0; seen from the camera, x points right and y away from it. The
camera stands still, and its tilt is not estimated: it is taken as level unless the caller knows better.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from hpof_jax.body.model import BodyModel, posed_joints
from hpof_jax.errors import UserError
from hpof_jax.geometry import temporal
from hpof_jax.geometry.numpy_rotations import to_matrix

if TYPE_CHECKING:
    from hpof_jax.motion import Motion

CONFIDENT = 0.5  # frames above this confidence show the person; the others are guesses
FLOOR_PERCENTILE = 5.0  # of the lowest vertices: jumps stay above the floor, a few noisy frames may be below
FLOOR_FRAMES = 1000  # at most so many frames, evenly spaced, decide where the floor is
SAME_RATE = 1e-3  # seconds; frame times this close to a constant rate count as constant
_BLOCK = 256  # frames whose meshes are in memory at a time

# From a level camera (x right, y down, z forward) to the world.
_LEVEL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclasses.dataclass(frozen=True, eq=False)
class WorldMotion:
    """The motion of one body in T frames, in the world frame: z up, floor at z = 0, metres. Arrays are float64."""

    global_orient: np.ndarray  # (T, 3) axis-angle of the root
    body_pose: np.ndarray  # (T, 23, 3) axis-angle of the other joints, each relative to its parent
    transl: np.ndarray  # (T, 3) as SMPL's: the pelvis is at its rest position plus this
    joints: np.ndarray  # (T, 24, 3)
    betas: np.ndarray  # (10,) body shape
    times: np.ndarray  # (T,) seconds from the start of the video
    fps: float  # mean frame rate, frames/s
    confidence: np.ndarray  # (T,) as `Motion.confidence`
    gender: str
    body: str  # name of the body that `betas` belongs to
    world_to_camera: np.ndarray  # (4, 4) to x right, y down, z forward
    focal_length: float  # px
    image_size: np.ndarray  # (2,) [height, width]

    def __len__(self) -> int:
        return len(self.transl)

    @property
    def pose(self) -> np.ndarray:
        """(T, 24, 3) axis-angle, root first."""
        return np.concatenate([self.global_orient[:, None], self.body_pose], axis=1)


def to_world(motion: "Motion", body: BodyModel, *, pitch: float = 0.0, roll: float = 0.0) -> WorldMotion:
    """`share_world` for one motion."""
    return share_world([motion], body, pitch=pitch, roll=roll)[0]


def share_world(
    motions: Sequence["Motion"], body: BodyModel, *, pitch: float = 0.0, roll: float = 0.0
) -> list[WorldMotion]:
    """Motions that one camera saw, in one world. Distances between the people stay as they are.

    The floor is at a low percentile of the lowest vertex of the bodies. Origin and times: the first motion's
    pelvis stands above the origin in its first confident frame.

    Args:
      motions: at least one.
      body: the body that the motions were made with.
      pitch: of the camera, in degrees; positive if it looks up.
      roll: of the camera, in degrees; positive if it is turned clockwise, seen from behind it.

    Raises:
      UserError: a motion has no frame or another body, or an angle is out of range.
    """
    for motion in motions:
        check(motion, body)
    turn = camera_to_world(pitch, roll)
    lowest = np.concatenate([_lowest_vertices(motion, body, turn[2]) for motion in motions])
    start = turn @ motions[0].joints[_confident(motions[0])[0], 0].astype(np.float64)
    shift = -np.array([start[0], start[1], np.percentile(lowest, FLOOR_PERCENTILE)])
    return [_moved(motion, body, turn, shift) for motion in motions]


def camera_to_world(pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The rotation (3, 3) from the camera frame to a world with z up; angles as in `share_world`.

    Raises:
      UserError: an angle is out of range.
    """
    for name, angle, limit in (("pitch", pitch, 90), ("roll", roll, 180)):
        if not abs(angle) <= limit:  # NaN fails as well
            raise UserError(f"The camera's {name} is {angle} degrees: give one from -{limit} to {limit}.")
    return _LEVEL @ Rotation.from_euler("XZ", [pitch, roll], degrees=True).as_matrix()


def at_constant_rate(motion: WorldMotion, body: BodyModel) -> WorldMotion:
    """The motion at a constant frame rate, for formats that have no time per frame.

    Times that are constant to a millisecond stay as they are, and only their rounding goes. Others are
    resampled at the most common rate: rotations by spherical, places by linear interpolation.
    """
    if len(motion) == 1:
        return motion
    start, span = motion.times[0], motion.times[-1] - motion.times[0]
    even = start + np.linspace(0.0, span, len(motion))
    if np.abs(motion.times - even).max() <= SAME_RATE:
        return dataclasses.replace(motion, times=even, fps=(len(motion) - 1) / span)
    step = np.median(np.diff(motion.times))
    times = start + step * np.arange(int(span / step + 1e-6) + 1)
    position = np.interp(times, motion.times, np.arange(len(motion)))
    pose, transl = temporal.slerp(motion.pose, position), temporal.linear(motion.transl, position)
    joints = posed_joints(body, motion.betas, to_matrix(pose), transl)
    return dataclasses.replace(
        motion,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:],
        transl=transl,
        joints=np.asarray(joints, np.float64),
        confidence=temporal.linear(motion.confidence, position),
        times=times,
        fps=float(1 / step),
    )


def check(motion: "Motion", body: BodyModel, what: str = "The motion") -> None:
    """Checks that a motion has frames and belongs to a body; `what` is the subject of the error.

    Raises:
      UserError: it does not.
    """
    if len(motion) == 0:
        raise UserError(f"{what} has no frame: reconstruct a video in which somebody is seen.")
    if motion.body != body.name:
        raise UserError(
            f"{what} was made with the body '{motion.body}' and not with '{body.name}': give that body's file."
        )


def _confident(motion: "Motion") -> np.ndarray:
    """The numbers of the frames that show the person; all frames if none does."""
    frames = np.flatnonzero(motion.confidence > CONFIDENT)
    return frames if len(frames) else np.arange(len(motion))


def _lowest_vertices(motion: "Motion", body: BodyModel, up: np.ndarray) -> np.ndarray:
    """The height of the lowest vertex in each of some confident frames, along `up` (3,) in the camera frame."""
    frames = _confident(motion)
    if len(frames) > FLOOR_FRAMES:
        frames = frames[np.linspace(0, len(frames) - 1, FLOOR_FRAMES).astype(int)]
    blocks = np.split(frames, range(_BLOCK, len(frames), _BLOCK))
    return np.concatenate([(motion.vertices(body, block) @ up).min(axis=1) for block in blocks])


def _moved(motion: "Motion", body: BodyModel, turn: np.ndarray, shift: np.ndarray) -> WorldMotion:
    """Rotates by `turn` (3, 3) and then moves by `shift` (3,)."""
    rest_pelvis = np.asarray(body.J_template[0] + motion.betas @ body.J_shapedirs[:, 0], np.float64)
    # The root turns about the pelvis at rest, not about the origin.
    transl = (motion.trans + rest_pelvis) @ turn.T + shift - rest_pelvis
    world_to_camera = np.eye(4)
    world_to_camera[:3] = np.column_stack([turn.T, -turn.T @ shift])
    return WorldMotion(
        global_orient=(
            Rotation.from_matrix(turn) * Rotation.from_rotvec(motion.global_orient.astype(np.float64))
        ).as_rotvec(),
        body_pose=motion.body_pose.astype(np.float64),
        transl=transl,
        joints=motion.joints @ turn.T + shift,
        betas=motion.betas.astype(np.float64),
        times=motion.times,
        fps=motion.mocap_framerate,
        confidence=motion.confidence.astype(np.float64),
        gender=motion.gender,
        body=motion.body,
        world_to_camera=world_to_camera,
        focal_length=motion.focal_length,
        image_size=motion.image_size,
    )
