"""Measures how well a motion agrees with the detector's landmarks and with itself; no ground truth is needed.

Frames are rows of the motion. A value that cannot be measured in a frame is NaN.

The constants were chosen on 96 rendered clips of 60 frames with ground truth, half of ordinary and half of
unusual motion, and not on real video:

- A foot counts as planted if its landmarks move by less than `PLANTED` of the person's box per second. 94 % of
  the feet found so were at rest (less than 0.15 m/s), and 56 % of the feet at rest were found.
- `VISIBLE` is the detector's own threshold. An arm whose landmarks lie below it is wrong by more than 10 cm
  twice as often as one whose landmarks lie above 0.8 (35 % against 18 % of the frames).
"""

import functools
from typing import TYPE_CHECKING

import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS
from hpof_jax.geometry.temporal import sliding_mean
from hpof_jax.geometry.two_views import in_first_frame, pixels_in_first_frame
from hpof_jax.stature import stature

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.motion import Motion

# The landmarks that show whether a part of the body fits.
PARTS = {
    "head": ("nose", "left_ear", "right_ear"),
    "torso": ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    "left arm": ("left_elbow", "left_wrist"),
    "right arm": ("right_elbow", "right_wrist"),
    "left leg": ("left_knee", "left_ankle", "left_heel", "left_foot_index"),
    "right leg": ("right_knee", "right_ankle", "right_heel", "right_foot_index"),
}
# Bones of the shape: its ends, averaged over both sides where the names leave out the side.
LENGTHS = {
    "shoulder to shoulder": ("left_shoulder", "right_shoulder"),
    "upper arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
    "hip to hip": ("left_hip", "right_hip"),
    "thigh": ("hip", "knee"),
    "shin": ("knee", "ankle"),
}
VISIBLE = 0.5  # visibility from which on a landmark counts
PLANTED = 8.0  # % of the box per second
FOOT_REACH = 2 / 30  # seconds before and after a frame over which a foot's speed is taken
FIT_WINDOW = 5 / 30  # seconds over which the error of a part is averaged
CHUNK = 512  # frames whose landmarks are computed at once


def reprojection(motion: "Motion", body: "BodyModel") -> np.ndarray:
    """(T, 33) distance of the body's landmarks from the detector's, in % of the person's box.

    NaN where the detector's landmark is not visible or the body's lies behind the camera.
    """
    points = landmarks(motion, body)
    depth = np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
    height, width = motion.image_size
    pixels = points[..., :2] * (motion.focal_length / depth) + np.array([width, height]) / 2
    distance = np.linalg.norm(pixels - motion.keypoints_2d[..., :2], axis=-1)
    visible = motion.keypoints_2d[..., 2] >= VISIBLE
    return np.where(visible, 100 * distance / np.maximum(motion.box[:, 2:], 1.0), np.nan)


def landmarks(motion: "Motion", body: "BodyModel") -> np.ndarray:
    """(T, 33, 3) the body's BlazePose landmarks, metres, camera frame."""
    frames, parts = np.arange(len(motion)), [np.zeros((0, len(BLAZEPOSE_LANDMARKS), 3))]
    for start in range(0, len(frames), CHUNK):
        rows = frames[start : start + CHUNK]
        filled = np.resize(rows, CHUNK)  # one size compiles once
        points = _landmarks_on()(body, motion.betas, motion.pose[filled], motion.trans[filled])
        parts.append(np.asarray(points, np.float64)[: len(rows)])
    return np.concatenate(parts)


@functools.cache
def _landmarks_on():
    import jax  # here, because reading a motion does not need it

    from hpof_jax.body.model import keypoints
    from hpof_jax.geometry.rotations import axis_angle_to_matrix

    @jax.jit
    def landmarks(body, betas, pose, trans):
        return keypoints(body, body.landmarks, betas, axis_angle_to_matrix(pose), trans)[0]

    return landmarks


def part_errors(motion: "Motion", errors: np.ndarray) -> dict[str, np.ndarray]:
    """The error (T,) of each part, from that of each landmark (T, 33), averaged over `FIT_WINDOW`.

    NaN where no landmark of the part is visible.
    """
    window = 2 * round(FIT_WINDOW * motion.mocap_framerate / 2) + 1
    parts = {}
    for part, names in PARTS.items():
        columns = errors[:, [BLAZEPOSE_LANDMARKS.index(name) for name in names]]
        measured = np.isfinite(columns)
        total, count = np.where(measured, columns, 0.0).sum(axis=1), measured.sum(axis=1)
        here = total / np.maximum(count, 1)
        parts[part] = np.where(count > 0, sliding_mean(here, count > 0, window), np.nan)
    return parts


def outside(motion: "Motion") -> dict[str, np.ndarray]:
    """(T,) bool of each part: most of its landmarks lie outside the picture, where the detector guesses."""
    height, width = motion.image_size
    x, y = motion.keypoints_2d[..., 0], motion.keypoints_2d[..., 1]
    out = (x < 0) | (y < 0) | (x > width) | (y > height)
    return {
        part: out[:, [BLAZEPOSE_LANDMARKS.index(name) for name in names]].mean(axis=1) > 0.5
        for part, names in PARTS.items()
    }


def acceleration(motion: "Motion") -> np.ndarray:
    """(T,) mean acceleration of the joints, m/s^2; NaN in the first and the last frame."""
    times, joints = motion.times, _still(motion, motion.joints)
    found = np.full(len(motion), np.nan)
    if len(motion) >= 3:
        step = np.diff(times)[:, None, None]
        speed = np.diff(joints, axis=0) / step
        change = np.diff(speed, axis=0) / ((step[1:] + step[:-1]) / 2)
        found[1:-1] = np.linalg.norm(change, axis=-1).mean(axis=1)
    return found


def foot_slide(motion: "Motion") -> dict[str, np.ndarray]:
    """(T,) speed of each planted foot of the body, m/s; NaN where the foot is not planted.

    Whether a foot is planted is told by the detector's landmarks, which do not depend on the body. The camera's
    rotation is undone; it is wrong if the camera moves otherwise.
    """
    reach = max(1, round(FOOT_REACH * motion.mocap_framerate))
    box = np.maximum(motion.box[:, 2], 1.0)
    slides = {}
    for side in ("left", "right"):
        names = [f"{side}_{name}" for name in ("ankle", "heel", "foot_index")]
        points = motion.keypoints_2d[:, [BLAZEPOSE_LANDMARKS.index(name) for name in names]]
        pixels = pixels_in_first_frame(
            points[..., :2], motion.camera_rotation, motion.focal_length, motion.image_size
        )
        in_picture = _speed(pixels, motion.times, reach) / box * 100
        visible = (points[..., 2] >= VISIBLE).all(axis=1) & motion.seen
        joints = [SMPL_JOINTS.index(f"{side}_{name}") for name in ("ankle", "foot")]
        in_space = _speed(_still(motion, motion.joints[:, joints]), motion.times, reach)
        slides[f"{side} foot"] = np.where(visible & (in_picture < PLANTED), in_space, np.nan)
    return slides


def shape(motion: "Motion", body: "BodyModel") -> dict:
    """Stature and lengths of the body's bones in metres."""
    betas = np.asarray(motion.betas, np.float64)[: body.num_betas]
    rest = np.asarray(body.J_template) + np.einsum("b,bjc->jc", betas, np.asarray(body.J_shapedirs))

    def length(ends: tuple[str, str]) -> float:
        sides = (
            [ends] if ends[0] in SMPL_JOINTS else [[f"{s}_{end}" for end in ends] for s in ("left", "right")]
        )
        pairs = [[rest[SMPL_JOINTS.index(end)] for end in pair] for pair in sides]
        return float(np.mean([np.linalg.norm(one - other) for one, other in pairs]))

    lengths = {name: round(length(ends), 3) for name, ends in LENGTHS.items()}
    return {"stature_m": round(stature(betas, body), 3), "lengths_m": lengths}


def _still(motion: "Motion", points: np.ndarray) -> np.ndarray:
    """Points (T, K, 3) of the camera frame in the axes of the first frame of the shot."""
    return in_first_frame(points.astype(np.float64), motion.camera_rotation, motion.camera_position)


def _speed(points: np.ndarray, times: np.ndarray, reach: int) -> np.ndarray:
    """(T,) speed of the fastest of the points (T, K, C), per second, from `reach` frames before to after."""
    found = np.full(len(points), np.nan)
    if len(points) > 2 * reach:
        moved = np.linalg.norm(points[2 * reach :] - points[: -2 * reach], axis=-1).max(axis=1)
        found[reach:-reach] = moved / (times[2 * reach :] - times[: -2 * reach])
    return found
