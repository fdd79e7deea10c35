"""Which parts of the body rest on the floor: heels, toes, hands, knees and the seat.

A plain rule: a point is in contact if it hardly moves and is hardly higher than the lowest point of the body. The
camera must stand still. `docs/world.md` compares the rule with a learned one.
"""

from typing import TYPE_CHECKING

import numpy as np

from hpof_jax.body.numpy_kinematics import global_rotations
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.motion import Motion

# Contact point -> the joint that it moves with, and its height above the floor in contact, in metres.
POINTS = {
    "left_heel": ("left_ankle", 0.02),
    "left_toe": ("left_foot", 0.02),
    "right_heel": ("right_ankle", 0.02),
    "right_toe": ("right_foot", 0.02),
    "left_hand": ("left_hand", 0.05),
    "right_hand": ("right_hand", 0.05),
    "left_knee": ("left_knee", 0.06),
    "right_knee": ("right_knee", 0.06),
    "seat": ("pelvis", 0.12),
}
FEET = 4  # the first points are those of the feet
SPEED = 0.8  # m/s at which a point on the floor counts as moving; the reconstruction's own error is 0.15 m/s
HEIGHT = 0.12  # metres over the lowest point at which a still point counts as lifted
STAY = 1.2  # factor on both limits for a point that is already in contact
REACH = 2 / 30  # seconds before and after a frame over which the speed is taken
SHORTEST = 0.1  # seconds of a contact


def find_contacts(motion: "Motion", body: "BodyModel", up: np.ndarray) -> np.ndarray:
    """(T, 9) bool: which of `POINTS` are in contact with the floor. False where the person is not seen.

    Args:
      up: (3,) against gravity in the camera frame; see `gravity.up_in_camera`.
    """
    if len(motion) == 0:
        return np.zeros((0, len(POINTS)), bool)
    points = contact_points(motion, body)
    heights = points @ up - np.array([clearance for _, clearance in POINTS.values()])
    heights = heights - heights.min(axis=1, keepdims=True)
    speed = speeds(points, motion.times, max(1, round(REACH * motion.mocap_framerate)))
    doubt = np.hypot(speed / SPEED, heights / HEIGHT)
    doubt[~motion.seen] = np.inf
    shortest = max(1, round(SHORTEST * motion.mocap_framerate))
    return np.stack([_hysteresis(column, shortest) for column in doubt.T], axis=1)


def contact_points(motion: "Motion", body: "BodyModel") -> np.ndarray:
    """(T, 9, 3) metres, camera frame: `POINTS`. Heels and toes are BlazePose's landmarks, rigid with a joint."""
    offsets = rest_offsets(motion, body)
    joints = [SMPL_JOINTS.index(joint) for joint, _ in POINTS.values()]
    turns = global_rotations(motion.pose)[:, joints]
    return motion.joints[:, joints] + np.einsum("tkij,kj->tki", turns, offsets)


def rest_offsets(motion: "Motion", body: "BodyModel") -> np.ndarray:
    """(9, 3) from the joint to the contact point in the rest pose, metres; zero for points that are joints."""
    betas = np.asarray(motion.betas, np.float64)[: body.num_betas]
    names = ("left_heel", "left_foot_index", "right_heel", "right_foot_index")
    regressor = np.asarray(body.landmark_regressor)[[BLAZEPOSE_LANDMARKS.index(name) for name in names]]
    landmarks = regressor @ (np.asarray(body.v_template) + np.asarray(body.shapedirs) @ betas)
    rest = np.asarray(body.J_template) + np.einsum("b,bjc->jc", betas, np.asarray(body.J_shapedirs))
    owners = [SMPL_JOINTS.index(joint) for joint, _ in list(POINTS.values())[:FEET]]
    return np.concatenate([landmarks - rest[owners], np.zeros((len(POINTS) - FEET, 3))])


def contact_runs(planted: np.ndarray) -> list[tuple[int, int, int]]:
    """(point, first frame, frame after the last) of each contact in (T, K) bool."""
    runs = []
    for point, column in enumerate(planted.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], column, [False]]).astype(int)))
        runs += [(point, int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
    return runs


def speeds(points: np.ndarray, times: np.ndarray, reach: int) -> np.ndarray:
    """(T, K) m/s of points (T, K, 3), from `reach` frames before to after; at the ends over fewer frames."""
    rows = np.arange(len(points))
    before, after = np.maximum(rows - reach, 0), np.minimum(rows + reach, len(points) - 1)
    span = np.maximum(times[after] - times[before], 1e-6)
    return np.linalg.norm(points[after] - points[before], axis=-1) / span[:, None]


def _hysteresis(doubt: np.ndarray, shortest: int) -> np.ndarray:
    """(T,) bool: runs of doubt below `STAY` that reach below 1, and have at least `shortest` frames."""
    found = np.zeros(len(doubt), bool)
    for _, start, stop in contact_runs((doubt < STAY)[:, None]):
        if stop - start >= shortest and doubt[start:stop].min() < 1:
            found[start:stop] = True
    return found
