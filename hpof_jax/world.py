"""Motion in a world with a floor: from the camera frame to AMASS's world frame.

World frame: z up, metres, the floor at z = 0; seen from the camera in the first frame, x points right and y away from
it. The camera's motion is that of `Motion.camera_rotation` and `camera_position`. Its tilt is given, or estimated from
the people (`hpof_jax.gravity`).
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation

from hpof_jax.body.model import BodyModel
from hpof_jax.errors import UserError
from hpof_jax.geometry.numpy_rotations import compose
from hpof_jax.geometry.two_views import in_first_frame
from hpof_jax.gravity import Gravity, find_gravity, up_of

if TYPE_CHECKING:
    from hpof_jax.motion import Motion

FLOOR_PERCENTILE = 5.0  # of the lowest vertices: jumps stay above the floor, a few noisy frames may be below
FLOOR_FRAMES = 1000  # at most so many frames, evenly spaced, decide where the floor is
HIGHEST = 100.0  # metres of a camera above the floor
STEEPEST = 60.0  # degrees that a given height may change the pitch by
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
    world_to_camera: np.ndarray  # (4, 4), or (T, 4, 4) if the camera moves: to x right, y down, z forward
    focal_length: float  # px
    image_size: np.ndarray  # (2,) [height, width]

    def __len__(self) -> int:
        return len(self.transl)

    @property
    def pose(self) -> np.ndarray:
        """(T, 24, 3) axis-angle, root first."""
        return np.concatenate([self.global_orient[:, None], self.body_pose], axis=1)


def to_world(motion: "Motion", body: BodyModel, **camera: float | None) -> WorldMotion:
    """`share_world` for one motion."""
    return share_world([motion], body, **camera)[0]


def share_world(
    motions: Sequence["Motion"],
    body: BodyModel,
    *,
    camera_pitch: float | None = None,
    camera_roll: float | None = None,
    camera_height: float | None = None,
) -> list[WorldMotion]:
    """Motions that one camera saw, in one world. Distances between the people stay as they are.

    The world is that of `Motion.world_to_camera` if the motions have one in common and nothing is given, and
    that of `find_world` otherwise.

    Args:
      motions: at least one.
      body: the body that the motions were made with.
      camera_pitch, camera_roll, camera_height: as in `find_world`.

    Raises:
      UserError: a motion has no frame or another body, or a number is out of range.
    """
    for motion in motions:
        check(motion, body)
    given = (camera_pitch, camera_roll, camera_height) != (None, None, None)
    poses = [motion.world_to_camera for motion in motions]
    if given or any(pose is None or not np.array_equal(pose, poses[0]) for pose in poses):
        found, _ = find_world(motions, body, camera_pitch, camera_roll, camera_height)
        poses = [found] * len(motions)
    return [_moved(motion, pose) for motion, pose in zip(motions, poses)]


def with_world(
    motions: Sequence["Motion"],
    body: BodyModel,
    *,
    camera_pitch: float | None = None,
    camera_roll: float | None = None,
    camera_height: float | None = None,
) -> list["Motion"]:
    """The motions with the world of `find_world`, which `Motion.save` and `to_world` then use."""
    for motion in motions:
        check(motion, body)
    pose, gravity = find_world(motions, body, camera_pitch, camera_roll, camera_height)
    found = dict(world_to_camera=pose, gravity_source=gravity.source, gravity_sigma=gravity.sigma)
    return [dataclasses.replace(motion, **found) for motion in motions]


def find_world(
    motions: Sequence["Motion"],
    body: BodyModel,
    camera_pitch: float | None = None,
    camera_roll: float | None = None,
    camera_height: float | None = None,
) -> tuple[np.ndarray, Gravity]:
    """The pose of a camera, in the first frame of a shot, in the world of the people whom it filmed.

    Without a given height, the floor is at a low percentile of the lowest vertex of the bodies. The first
    motion's pelvis stands above the origin in the first frame that shows the person.

    Args:
      motions: at least one; each has frames and was made with `body`.
      camera_pitch: degrees, positive if the camera looks up. None: estimated, see `gravity.find_gravity`. If the
        height is given, the pitch is the one that puts the people's feet at the floor.
      camera_roll: degrees, positive if the camera is turned clockwise, seen from behind it. None: estimated.
      camera_height: metres above the floor. None: from the people's feet.

    Returns:
      world_to_camera (4, 4) and the camera's tilt.

    Raises:
      UserError: a number is out of range.
    """
    if camera_height is not None and not 0 < camera_height < HIGHEST:  # NaN fails as well
        raise UserError(
            f"The camera's height is {camera_height} metres: give one above 0 and below {HIGHEST:g}."
        )
    motions = [stilled(motion) for motion in motions]
    gravity = find_gravity(motions, camera_pitch, camera_roll, body)
    if camera_height is not None and camera_pitch is None:
        gravity = _pitch_of_height(motions, body, gravity, camera_height)
    turn = camera_to_world(gravity.pitch, gravity.roll)
    start = turn @ motions[0].joints[_seen(motions[0])[0], 0].astype(np.float64)
    floor = _floor(motions, body, turn[2]) if camera_height is None else -camera_height
    world_to_camera = np.eye(4)
    world_to_camera[:3] = np.column_stack([turn.T, turn.T @ (start[0], start[1], floor)])
    return world_to_camera, gravity


def camera_to_world(pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The rotation (3, 3) from the camera frame to a world with z up; angles as in `find_world`.

    Raises:
      UserError: an angle is out of range.
    """
    gravity = find_gravity([], pitch, roll)
    return _LEVEL @ Rotation.from_euler("XZ", [gravity.pitch, gravity.roll], degrees=True).as_matrix()


def upright_pose(
    motion: "Motion", camera_pitch: float | None = None, camera_roll: float | None = None
) -> np.ndarray:
    """(T, 24, 3) float64 axis-angle with the root in the world; angles as in `find_world`."""
    still = stilled(motion)
    if motion.world_to_camera is not None and camera_pitch is None and camera_roll is None:
        turn = motion.world_to_camera[:3, :3].T
    else:
        gravity = find_gravity([still], camera_pitch, camera_roll)
        turn = camera_to_world(gravity.pitch, gravity.roll)
    pose = still.pose.astype(np.float64)
    pose[:, 0] = compose(Rotation.from_matrix(turn).as_rotvec(), pose[:, 0])
    return pose


def root_in_world(motion: "Motion", world_to_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The root of a motion in a world: axis-angle (T, 3) and SMPL's translation (T, 3), float64.

    Args:
      world_to_camera: (4, 4) rigid, of the first frame of a shot.
    """
    motion = stilled(motion)
    to_world_ = np.linalg.inv(world_to_camera)
    turn = Rotation.from_matrix(to_world_[:3, :3])
    # The root turns about the pelvis at rest, not about the origin.
    pelvis = motion.joints[:, 0].astype(np.float64)
    rest_pelvis = (pelvis - motion.trans).mean(axis=0) if len(motion) else np.zeros(3)
    transl = (motion.trans + rest_pelvis) @ to_world_[:3, :3].T + to_world_[:3, 3] - rest_pelvis
    return (turn * Rotation.from_rotvec(motion.global_orient.astype(np.float64))).as_rotvec(), transl


def stilled(motion: "Motion") -> "Motion":
    """The motion as a camera would have seen it that stays as in the first frame of each shot."""
    if not motion.camera_moves:
        return motion
    rotation, position = motion.camera_rotation.astype(np.float64), motion.camera_position
    joints = in_first_frame(motion.joints.astype(np.float64), rotation, position)
    root = Rotation.from_matrix(np.swapaxes(rotation, 1, 2)) * Rotation.from_rotvec(motion.global_orient)
    return dataclasses.replace(
        motion,
        poses=np.concatenate([root.as_rotvec(), motion.poses[:, 3:]], axis=1),
        trans=motion.trans + joints[:, 0] - motion.joints[:, 0],
        joints=joints,
        camera_rotation=None,
        camera_position=None,
    )


def _camera_poses(motion: "Motion", world_to_camera: np.ndarray) -> np.ndarray:
    """The camera's pose in each frame, (T, 4, 4), or (4, 4) if it stands still; from that of the first frame."""
    if not motion.camera_moves:
        return world_to_camera
    moved = np.tile(np.eye(4), (len(motion), 1, 1))
    moved[:, :3, :3] = motion.camera_rotation
    moved[:, :3, 3] = -np.einsum("tij,tj->ti", motion.camera_rotation, motion.camera_position)
    return moved @ world_to_camera


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


def _seen(motion: "Motion") -> np.ndarray:
    """The numbers of the frames that show the person; all frames if none does."""
    frames = np.flatnonzero(motion.seen)
    return frames if len(frames) else np.arange(len(motion))


def _floor(motions: Sequence["Motion"], body: BodyModel, up: np.ndarray) -> float:
    """The floor's height over the camera, along `up` (3,) in the camera frame."""
    lowest = np.concatenate([_lowest_vertices(motion, body, up) for motion in motions])
    return float(np.percentile(lowest, FLOOR_PERCENTILE))


def _lowest_vertices(motion: "Motion", body: BodyModel, up: np.ndarray) -> np.ndarray:
    """The height of the lowest vertex in each of some frames that show the person, along `up` (3,) in the camera frame."""
    frames = _seen(motion)
    if len(frames) > FLOOR_FRAMES:
        frames = frames[np.linspace(0, len(frames) - 1, FLOOR_FRAMES).astype(int)]
    blocks = np.split(frames, range(_BLOCK, len(frames), _BLOCK))
    return np.concatenate([(motion.vertices(body, block) @ up).min(axis=1) for block in blocks])


def _pitch_of_height(
    motions: Sequence["Motion"], body: BodyModel, gravity: Gravity, height: float
) -> Gravity:
    """The pitch nearest to the estimate at which the floor is `height` metres below the camera."""

    def excess(pitch: float) -> float:
        return _floor(motions, body, up_of(pitch, gravity.roll)) + height

    pitches = gravity.pitch + np.linspace(-STEEPEST, STEEPEST, 25)
    pitches = pitches[abs(pitches) < 90]
    values = np.array([excess(pitch) for pitch in pitches])
    crossings = np.flatnonzero(values[:-1] * values[1:] <= 0)
    if not len(crossings):
        raise UserError(
            f"With a camera {height:g} m above the floor, nobody stands on the floor: correct the camera's height, or "
            "give its pitch, too."
        )
    first = crossings[np.abs(pitches[crossings] - gravity.pitch).argmin()]
    pitch = brentq(excess, pitches[first], pitches[first + 1], xtol=0.01)
    return dataclasses.replace(gravity, pitch=float(pitch))


def _moved(motion: "Motion", world_to_camera: np.ndarray) -> WorldMotion:
    """The motion in the world in which the camera has this pose (4, 4) in the first frame."""
    poses, motion = _camera_poses(motion, world_to_camera), stilled(motion)
    global_orient, transl = root_in_world(motion, world_to_camera)
    to_world_ = np.linalg.inv(world_to_camera)
    return WorldMotion(
        global_orient=global_orient,
        body_pose=motion.body_pose.astype(np.float64),
        transl=transl,
        joints=motion.joints @ to_world_[:3, :3].T + to_world_[:3, 3],
        betas=motion.betas.astype(np.float64),
        times=motion.times,
        fps=motion.mocap_framerate,
        confidence=motion.confidence.astype(np.float64),
        gender=motion.gender,
        body=motion.body,
        world_to_camera=poses,
        focal_length=motion.focal_length,
        image_size=motion.image_size,
    )
