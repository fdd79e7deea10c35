"""Clips that a detector has watched, varied: truth and observations alike, so that they still belong together.

All take and give batches of the stream (see `stream.make_stream`). NumPy, all randomness from one `numpy.random.Generator`.
"""

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.feed import Batch
from data_pipelines.motion.augment import mirror, perturb
from data_pipelines.simulate.landmark_tables import SWAP_GROUPS
from hpof_jax.body.mirror import mirror_observations
from hpof_jax.body.skeletons import BLAZEPOSE_HIPS, BLAZEPOSE_MIRROR
from hpof_jax.geometry.numpy_rotations import multiply, to_axis_angle, to_quaternion

MIRRORED = 0.5  # share of the windows
# Another speed: share of the windows, and bounds. What lies between two frames is between their observations.
OTHER_SPEED, SPEED = 0.4, (0.75, 1.3)
# Another place in the picture and a roll: share of the windows, of the picture's width and height, and degrees.
TURNED, SHIFT, ROLL = 0.7, 0.2, (5.0, 12.0)
# Another pose and shape, a little off: share of the windows, the largest factor on `augment.PERTURBATION_SIGMAS`, and the
# correlation of the betas with what they were.
REPOSED, REPOSED_BY, SHAPE_KEPT = 0.8, 0.8, 0.8
# Events a frame and how many frames they last. Renderings hardly show the swaps of left and right that last for a second.
SWAP_RATE, SWAP_FRAMES = 0.003, (5, 40)
DROP_RATE, DROP_FRAMES = 0.0012, (1, 15)


def draw_speeds(rng: np.random.Generator, count: int) -> np.ndarray:
    """Frames of the clip for one of the window, (count,)."""
    factor = np.exp(rng.uniform(*np.log(SPEED), count))
    return np.where(rng.random(count) < OTHER_SPEED, factor, 1.0)


def draw_turns(rng: np.random.Generator, batch: Batch) -> np.ndarray:
    """Turns of the camera about its centre, (B, 3, 3) from the old camera's frame to the new one's.

    They shift the person without driving more of them out of the picture, and roll it a little.
    """
    count, (height, width) = len(batch["seen"]), batch["image_size"].T
    points, seen = batch["landmarks_2d"][..., :2], batch["seen"][..., None, None]
    shifts = []
    for axis, side in enumerate((width, height)):
        low = np.min(np.where(seen, points, np.inf)[..., axis], axis=(1, 2))
        high = np.max(np.where(seen, points, -np.inf)[..., axis], axis=(1, 2))
        room = np.maximum(low, 0), np.maximum(side - high, 0)  # to the left or up, to the right or down
        shifts.append(rng.uniform(*(sign * np.minimum(r, SHIFT * side) for sign, r in zip((-1, 1), room))))
    turned = rng.random(count) < TURNED
    yaw, pitch = (np.arctan(shift / batch["true_focal_length"]) for shift in shifts)
    roll = np.deg2rad(np.clip(rng.normal(0, ROLL[0], count), -ROLL[1], ROLL[1]))
    angles = np.stack([yaw, -pitch, roll], axis=-1) * turned[:, None]
    return Rotation.from_euler("yxz", angles).as_matrix().astype(np.float32)


def turned(batch: Batch, turn: np.ndarray, pelvis: np.ndarray) -> Batch:
    """The batch as a camera sees it that is turned about its centre: nothing is hidden or shown by that.

    Args:
      turn: (B, 3, 3), as `draw_turns` gives it. pelvis: (B, 3) where the pelvis of the shape lies at rest, metres.
    """
    focal, centre = (
        batch["true_focal_length"][:, None, None, None],
        batch["image_size"][:, None, None, ::-1] / 2,
    )
    flat = (batch["landmarks_2d"][..., :2] - centre) / focal
    rays = np.concatenate([flat, np.ones_like(flat[..., :1])], axis=-1) @ turn[:, None].swapaxes(-1, -2)
    seen = batch["seen"][..., None, None]
    places = rays[..., :2] / np.maximum(rays[..., 2:], 0.1) * focal + centre
    points = np.concatenate([np.where(seen, places, 0), batch["landmarks_2d"][..., 2:]], axis=-1)
    pose = batch["pose"].copy()
    whole = to_quaternion(Rotation.from_matrix(turn).as_rotvec())[:, None]
    pose[:, :, 0] = to_axis_angle(multiply(whole, to_quaternion(pose[:, :, 0])))
    at = (batch["transl"] + pelvis[:, None]) @ turn.swapaxes(-1, -2) - pelvis[:, None]
    world = batch["landmarks_3d"] @ turn[:, None].swapaxes(-1, -2)
    changed = {"landmarks_2d": points, "landmarks_3d": world, "pose": pose, "transl": at}
    return batch | {key: value.astype(np.float32) for key, value in changed.items()}


def draw_bodies(rng: np.random.Generator, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Poses (B, T, 24, 3) and betas (B, 10) near those of the batch, and the same where the truth is not to be known.

    The betas' variance stays 1.
    """
    chosen = (rng.random(len(batch["pose"])) < REPOSED) & batch["has_smpl"]
    pose = perturb(rng, batch["pose"], chosen * rng.uniform(0, REPOSED_BY, len(chosen)))
    other = rng.normal(size=batch["betas"].shape) * np.sqrt(1 - SHAPE_KEPT**2)
    betas = np.where(chosen[:, None], SHAPE_KEPT * batch["betas"] + other, batch["betas"])
    pose = np.where(chosen[:, None, None, None], pose, batch["pose"])
    return np.float32(pose), np.float32(betas)


def reposed(
    batch: Batch,
    pose: np.ndarray,
    betas: np.ndarray,
    landmarks: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> Batch:
    """The batch with other bodies in other poses in the same places, about which the detector errs as it did.

    What it saw, in the picture and in 3D about the hips, moves by as much as what there is to see.

    Args:
      pose: (B, T, 24, 3). betas: (B, 10). Both near the batch's, for how a detector errs depends on what it looks at.
      landmarks: as `simulate.landmarks`, of pose, betas and transl.
    """
    before, pelvis = landmarks(batch["pose"], batch["betas"], batch["transl"])
    after, elsewhere = landmarks(pose, betas, batch["transl"])
    back = pelvis - elsewhere
    after = after + back[:, :, None]
    focal, seen = batch["true_focal_length"][:, None, None, None], batch["seen"][..., None, None]
    flat = [focal * points[..., :2] / np.maximum(points[..., 2:], 0.1) for points in (before, after)]
    about = [points - points[:, :, BLAZEPOSE_HIPS].mean(axis=2, keepdims=True) for points in (before, after)]
    points = batch["landmarks_2d"].copy()
    points[..., :2] += np.where(seen, flat[1] - flat[0], 0)
    world = batch["landmarks_3d"] + np.where(seen, about[1] - about[0], 0)
    transl = batch["transl"] + back
    changed = {"pose": pose, "betas": betas, "transl": transl, "landmarks_2d": points, "landmarks_3d": world}
    return batch | {key: value.astype(np.float32) for key, value in changed.items()}


def mirrored(batch: Batch, chosen: np.ndarray) -> Batch:
    """The batch with some clips, (B,) bool, as a mirror shows them: truth and observations alike."""
    pose, transl = mirror(batch["pose"], batch["transl"])
    other = mirror_observations(batch)
    changed = {"pose": pose, "transl": transl} | {key: other[key] for key in ("landmarks_2d", "landmarks_3d")}
    select = {key: chosen.reshape(-1, *[1] * (value.ndim - 1)) for key, value in changed.items()}
    return batch | {
        key: np.where(select[key], value, batch[key]).astype(np.float32) for key, value in changed.items()
    }


def mirrored_flow(batch: Batch, chosen: np.ndarray) -> Batch:
    """The batch with the flow, masks and boxes of some clips, (B,) bool, as a mirror shows them."""
    box, flow = batch["flow_box"].copy(), batch["flow"][..., ::-1, :] * np.float16([-1, 1])
    box[..., 0] = (batch["image_size"][:, 1, None] - box[..., 0]) * (box[..., 2] > 0)
    valid, masks = batch["flow_valid"][..., ::-1], batch["masks"][..., ::-1]
    changed = {"flow_box": box, "flow": flow, "flow_valid": valid, "masks": masks}
    return batch | {
        key: np.where(chosen.reshape(-1, *[1] * (value.ndim - 1)), value, batch[key])
        for key, value in changed.items()
    }


def fail(rng: np.random.Generator, batch: Batch) -> Batch:
    """The batch with further failures of the detector: left and right exchanged, and frames in which nobody is seen.

    Nothing is exchanged in clips without `has_3d`: their landmarks are also what is to be learned.
    """
    shape = batch["seen"].shape
    group = events(rng, shape, SWAP_RATE, SWAP_FRAMES, len(SWAP_GROUPS))
    group = np.where(batch["has_3d"][:, None], group, -1)
    swapped = np.concatenate([SWAP_GROUPS, np.zeros((1, 33), bool)])[group][..., None]
    seen = batch["seen"] & (events(rng, shape, DROP_RATE, DROP_FRAMES, 1) < 0)
    points = {}
    for key in ("landmarks_2d", "landmarks_3d"):
        exchanged = np.where(swapped, batch[key][:, :, BLAZEPOSE_MIRROR], batch[key])
        points[key] = np.where(seen[..., None, None], exchanged, np.float32(0))
    return batch | points | {"seen": seen}


def only_seen(batch: Batch) -> Batch:
    """The batch without boxes and flow of frames in which nobody is seen or that pad the clip."""
    frames = batch["flow_first"][:, None] + np.arange(batch["flow_box"].shape[1])
    seen = np.take_along_axis(batch["seen"] & batch["mask"], frames, axis=1)
    valid = batch["flow_valid"] & (seen[:, 1:] & seen[:, :-1])[:, :, None, None, None]
    return batch | {
        "flow_box": np.where(seen[..., None], batch["flow_box"], np.float32(0)),
        "flow_valid": valid,
        "flow": np.where(valid[..., None], batch["flow"], np.float16(0)),
    }


def events(
    rng: np.random.Generator, shape: tuple[int, int], rate: float, frames: tuple[int, int], kinds: int
) -> np.ndarray:
    """Random events in clips, (B, T): which of `kinds` is under way in a frame, or -1; `frames` bounds their lengths."""
    state = np.full(shape, -1)
    for clip, start in zip(*np.nonzero(rng.random(shape) < rate)):
        state[clip, start : start + rng.integers(frames[0], frames[1] + 1)] = rng.integers(kinds)
    return state
