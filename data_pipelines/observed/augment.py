"""Augmentation of observed clips: ground truth and observations change together, so that they still agree.

All functions take and return batches of the stream, see `stream.make_stream`. Randomness comes from one
`numpy.random.Generator`.
"""

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.feed import Batch
from data_pipelines.motion.augment import mirror, perturb
from data_pipelines.simulate.landmark_tables import SWAP_GROUPS
from hpof_jax.body.mirror import mirror_observations
from hpof_jax.body.skeletons import BLAZEPOSE_HIPS, BLAZEPOSE_MIRROR, SPIN24, mirror_permutation
from hpof_jax.geometry.numpy_rotations import multiply, to_axis_angle, to_quaternion

MIRROR_SHARE = 0.5  # of the windows
SPEED_SHARE, SPEEDS = 0.4, (0.75, 1.3)  # windows at another speed; bounds of the factor
# Windows seen by a turned camera; the largest shift, as a share of the picture's sides; sigma and limit of
# the roll in degrees.
TURN_SHARE, SHIFT, ROLL = 0.7, 0.2, (5.0, 12.0)
# Windows with another body; the largest factor on `motion.augment.PERTURBATION_SIGMAS`; correlation of the
# new betas with the old.
BODY_SHARE, POSE_FACTOR, BETAS_CORRELATION = 0.8, 0.8, 0.8
# Events per frame, and the bounds of their length in frames. Rendered clips rarely show left-right swaps of a
# second or longer, which real video does.
SWAP_RATE, SWAP_FRAMES = 0.003, (5, 40)
DROP_RATE, DROP_FRAMES = 0.0012, (1, 15)
_POINTS_MIRROR = mirror_permutation(SPIN24)


def draw_speeds(rng: np.random.Generator, count: int) -> np.ndarray:
    """Frames of the clip per frame of the window, (count,)."""
    factor = np.exp(rng.uniform(*np.log(SPEEDS), count))
    return np.where(rng.random(count) < SPEED_SHARE, factor, 1.0)


def draw_turns(rng: np.random.Generator, batch: Batch) -> np.ndarray:
    """Rotations of the camera about its centre, (B, 3, 3), from the old camera frame to the new.

    They shift and roll the person in the picture. A shift never cuts off more of the person.
    """
    count, (height, width) = len(batch["seen"]), batch["image_size"].T
    points, seen = batch["landmarks_2d"][..., :2], batch["seen"][..., None, None]
    shifts = []
    for axis, side in enumerate((width, height)):
        low = np.min(np.where(seen, points, np.inf)[..., axis], axis=(1, 2))
        high = np.max(np.where(seen, points, -np.inf)[..., axis], axis=(1, 2))
        room = np.maximum(low, 0), np.maximum(side - high, 0)  # to the left or up, to the right or down
        shifts.append(rng.uniform(*(sign * np.minimum(r, SHIFT * side) for sign, r in zip((-1, 1), room))))
    turned = rng.random(count) < TURN_SHARE
    yaw, pitch = (np.arctan(shift / batch["true_focal_length"]) for shift in shifts)
    roll = np.deg2rad(np.clip(rng.normal(0, ROLL[0], count), -ROLL[1], ROLL[1]))
    angles = np.stack([yaw, -pitch, roll], axis=-1) * turned[:, None]
    return Rotation.from_euler("yxz", angles).as_matrix().astype(np.float32)


def turn_camera(batch: Batch, turn: np.ndarray, pelvis: np.ndarray) -> Batch:
    """The batch as seen by a camera that is rotated about its centre.

    Pure camera rotation: no parallax, so visibility is unchanged.

    Args:
      turn: (B, 3, 3), see `draw_turns`.
      pelvis: (B, 3) metres, the pelvis of each body in the rest pose.
    """
    focal = batch["true_focal_length"][:, None, None, None]
    centre = batch["image_size"][:, None, None, ::-1] / 2
    flat = (batch["landmarks_2d"][..., :2] - centre) / focal
    rays = np.concatenate([flat, np.ones_like(flat[..., :1])], axis=-1) @ turn[:, None].swapaxes(-1, -2)
    seen = batch["seen"][..., None, None]
    pixels = rays[..., :2] / np.maximum(rays[..., 2:], 0.1) * focal + centre
    landmarks_2d = np.concatenate([np.where(seen, pixels, 0), batch["landmarks_2d"][..., 2:]], axis=-1)
    pose = batch["pose"].copy()
    rotation = to_quaternion(Rotation.from_matrix(turn).as_rotvec())[:, None]
    pose[:, :, 0] = to_axis_angle(multiply(rotation, to_quaternion(pose[:, :, 0])))
    transl = (batch["transl"] + pelvis[:, None]) @ turn.swapaxes(-1, -2) - pelvis[:, None]
    landmarks_3d = batch["landmarks_3d"] @ turn[:, None].swapaxes(-1, -2)
    changed = {"landmarks_2d": landmarks_2d, "landmarks_3d": landmarks_3d, "pose": pose, "transl": transl}
    return batch | {key: value.astype(np.float32) for key, value in changed.items()}


def draw_bodies(rng: np.random.Generator, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Poses (B, T, 24, 3) and betas (B, 10) near those of the batch; unchanged in clips without `has_smpl`.

    The variance of the betas stays 1.
    """
    chosen = (rng.random(len(batch["pose"])) < BODY_SHARE) & batch["has_smpl"]
    pose = perturb(rng, batch["pose"], chosen * rng.uniform(0, POSE_FACTOR, len(chosen)))
    change = rng.normal(size=batch["betas"].shape) * np.sqrt(1 - BETAS_CORRELATION**2)
    betas = np.where(chosen[:, None], BETAS_CORRELATION * batch["betas"] + change, batch["betas"])
    pose = np.where(chosen[:, None, None, None], pose, batch["pose"])
    return np.float32(pose), np.float32(betas)


def replace_bodies(
    batch: Batch,
    pose: np.ndarray,
    betas: np.ndarray,
    landmarks: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> Batch:
    """Replaces pose and shape; keeps the detector's residual.

    The pelvis stays in its place. Observed landmarks move by as much as the ground truth's: in pixels for
    `landmarks_2d`, in metres about the mid-hip for `landmarks_3d`. The residual depends on the pose, so the
    new pose and shape must be near the old.

    Args:
      pose: (B, T, 24, 3). betas: (B, 10).
      landmarks: function of pose, betas and transl that gives the landmarks (B, T, 33, 3) and the pelvis
        (B, T, 3) in the camera frame, metres.
    """
    old, old_pelvis = landmarks(batch["pose"], batch["betas"], batch["transl"])
    new, new_pelvis = landmarks(pose, betas, batch["transl"])
    shift = old_pelvis - new_pelvis
    new = new + shift[:, :, None]
    focal, seen = batch["true_focal_length"][:, None, None, None], batch["seen"][..., None, None]
    old_pixels, new_pixels = (
        focal * points[..., :2] / np.maximum(points[..., 2:], 0.1) for points in (old, new)
    )
    old_centred, new_centred = (
        points - points[:, :, BLAZEPOSE_HIPS].mean(axis=2, keepdims=True) for points in (old, new)
    )
    landmarks_2d = batch["landmarks_2d"].copy()
    landmarks_2d[..., :2] += np.where(seen, new_pixels - old_pixels, 0)
    changed = {
        "pose": pose,
        "betas": betas,
        "transl": batch["transl"] + shift,
        "landmarks_2d": landmarks_2d,
        "landmarks_3d": batch["landmarks_3d"] + np.where(seen, new_centred - old_centred, 0),
    }
    return batch | {key: value.astype(np.float32) for key, value in changed.items()}


def mirror_clips(batch: Batch, chosen: np.ndarray) -> Batch:
    """Mirrors ground truth and observations of the clips in `chosen`, (B,) bool, from left to right."""
    pose, transl = mirror(batch["pose"], batch["transl"])
    mirrored = mirror_observations(batch) | {"pose": pose, "transl": transl}
    keys = ("pose", "transl", "landmarks_2d", "landmarks_3d")
    return batch | {key: _where(chosen, mirrored[key], batch[key], np.float32) for key in keys}


def mirror_points(batch: Batch, chosen: np.ndarray) -> Batch:
    """Mirrors annotated `keypoints_2d` and `keypoints_3d` of the clips in `chosen`, (B,) bool."""
    flat, solid = (batch[key][..., _POINTS_MIRROR, :] for key in ("keypoints_2d", "keypoints_3d"))
    there = flat[..., 2:] > 0
    x = np.where(there, batch["image_size"][:, None, None, 1:] - flat[..., :1], 0)
    flat = np.concatenate([x, flat[..., 1:]], axis=-1)
    solid = solid * np.float32([-1, 1, 1, 1])
    mirrored = {"keypoints_2d": flat, "keypoints_3d": solid}
    return batch | {key: _where(chosen, value, batch[key], np.float32) for key, value in mirrored.items()}


def mirror_flow(batch: Batch, chosen: np.ndarray) -> Batch:
    """Mirrors optical flow, masks and boxes of the clips in `chosen`, (B,) bool, from left to right."""
    box = batch["flow_box"].copy()
    box[..., 0] = (batch["image_size"][:, 1, None] - box[..., 0]) * (box[..., 2] > 0)
    mirrored = {
        "flow_box": box,
        "flow": batch["flow"][..., ::-1, :] * np.float16([-1, 1]),
        "flow_valid": batch["flow_valid"][..., ::-1],
        "masks": batch["masks"][..., ::-1],
    }
    return batch | {key: _where(chosen, value, batch[key], value.dtype) for key, value in mirrored.items()}


def drop_and_swap(rng: np.random.Generator, batch: Batch) -> Batch:
    """Adds failures of the detector: left-right swaps, and frames in which it does not see the person.

    Clips without `has_3d` get no swaps, because their landmarks are also the training target.
    """
    shape = batch["seen"].shape
    group = draw_events(rng, shape, SWAP_RATE, SWAP_FRAMES, len(SWAP_GROUPS))
    group = np.where(batch["has_3d"][:, None], group, -1)
    swapped = np.concatenate([SWAP_GROUPS, np.zeros((1, 33), bool)])[group][..., None]
    seen = batch["seen"] & (draw_events(rng, shape, DROP_RATE, DROP_FRAMES, 1) < 0)
    changed = {}
    for key in ("landmarks_2d", "landmarks_3d"):
        landmarks = np.where(swapped, batch[key][:, :, BLAZEPOSE_MIRROR], batch[key])
        changed[key] = np.where(seen[..., None, None], landmarks, np.float32(0))
    return batch | changed | {"seen": seen}


def clear_unseen_flow(batch: Batch) -> Batch:
    """Sets boxes and flow to 0 in frames in which the person is not seen, and in padding."""
    frames = batch["flow_first"][:, None] + np.arange(batch["flow_box"].shape[1])
    seen = np.take_along_axis(batch["seen"] & batch["mask"], frames, axis=1)
    valid = batch["flow_valid"] & (seen[:, 1:] & seen[:, :-1])[:, :, None, None, None]
    return batch | {
        "flow_box": np.where(seen[..., None], batch["flow_box"], np.float32(0)),
        "flow_valid": valid,
        "flow": np.where(valid[..., None], batch["flow"], np.float16(0)),
    }


def draw_events(
    rng: np.random.Generator, shape: tuple[int, int], rate: float, frames: tuple[int, int], kinds: int
) -> np.ndarray:
    """Random events in clips: the kind of event in each frame, or -1 for none, of `shape` (B, T).

    Args:
      rate: events per frame. frames: bounds of an event's length. kinds: number of kinds.
    """
    state = np.full(shape, -1)
    for clip, start in zip(*np.nonzero(rng.random(shape) < rate)):
        state[clip, start : start + rng.integers(frames[0], frames[1] + 1)] = rng.integers(kinds)
    return state


def _where(chosen: np.ndarray, new: np.ndarray, old: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.where(chosen.reshape(-1, *[1] * (new.ndim - 1)), new, old).astype(dtype)
