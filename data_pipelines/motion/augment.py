"""Augmentation of motion, in batches of windows: pose (B, T, 24, 3) axis-angle, pelvis (B, T, 3), y up.

NumPy; all random numbers come from one generator. Smooth perturbation of the joints and leaning help a small
motion collection most.
"""

import dataclasses

import numpy as np

from data_pipelines.motion.skeleton import clamp_to_limits
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_MIRROR
from hpof_jax.geometry.numpy_rotations import multiply, to_axis_angle, to_quaternion


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The share of the clips that each augmentation changes, and by how much. Angles in degrees."""

    mirror: float = 0.5  # share
    speed: tuple[float, float] = (0.6, 1.7)  # bounds of a log-uniform factor
    arms_from_another: float = 0.2  # share
    upper_body_from_another: float = 0.1  # share
    lean: float = 0.45  # share
    lean_sigma: float = 16.0
    lean_limit: float = 30.0
    # Factors on PERTURBATION_SIGMAS, one for each clip, and their probabilities.
    perturbation: tuple[float, ...] = (0.0, 0.6, 1.0, 1.5)
    perturbation_odds: tuple[float, ...] = (0.15, 0.3, 0.35, 0.2)


def augment(
    rng: np.random.Generator,
    pose: np.ndarray,
    transl: np.ndarray,
    options: Augmentation = Augmentation(),  # noqa: B008
) -> tuple[np.ndarray, np.ndarray]:
    """Applies all augmentations but speed, which `draw_positions` applies.

    Args:
      pose: (B, T, 24, 3) axis-angle. transl: (B, T, 3) metres.

    Returns:
      new pose and transl, float32. The arguments are not changed.
    """
    clips = len(pose)
    pose = recombine(rng, pose, options.arms_from_another, ARMS)
    pose = recombine(rng, pose, options.upper_body_from_another, UPPER_BODY)
    factor = rng.choice(options.perturbation, size=clips, p=options.perturbation_odds)
    pose = np.where(factor[:, None, None, None] > 0, perturb(rng, pose, factor), pose)
    leaning = rng.random(clips) < options.lean
    pose = lean(rng, pose, options.lean_sigma * leaning, options.lean_limit)
    mirrored_pose, mirrored_transl = mirror(pose, transl)
    flip = rng.random(clips) < options.mirror
    pose = np.where(flip[:, None, None, None], mirrored_pose, pose)
    transl = np.where(flip[:, None, None], mirrored_transl, transl)
    return pose.astype(np.float32), transl.astype(np.float32)


def mirror(pose: np.ndarray, transl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirrors motion at the plane x = 0: pose (..., 24, 3) and transl (..., 3)."""
    return pose[..., SMPL_MIRROR, :] * _FLIP_ROTATION, transl * _FLIP_PLACE


def recombine(rng: np.random.Generator, pose: np.ndarray, share: float, joints: np.ndarray) -> np.ndarray:
    """In a share of the clips, these joints get their rotations from another clip of the batch."""
    other = pose[rng.permutation(len(pose))]
    chosen = rng.random(len(pose)) < share
    pose = pose.copy()
    pose[:, :, joints] = np.where(chosen[:, None, None, None], other[:, :, joints], pose[:, :, joints])
    return pose


def perturb(rng: np.random.Generator, pose: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Rotates each joint but the root by a constant and a slow oscillation, and clips it to the joint limits.

    Args:
      pose: (B, T, 24, 3) axis-angle.
      factor: (B,) on `PERTURBATION_SIGMAS`.
    """
    clips, frames, joints = pose.shape[:3]
    sigma = np.deg2rad(PERTURBATION_SIGMAS)[:, None] * factor[:, None, None, None]
    period = rng.uniform(25.0, 120.0, (clips, 1, joints, 3))
    phase = rng.uniform(0.0, 2 * np.pi, (clips, 1, joints, 3))
    wave = np.sin(2 * np.pi / period * np.arange(frames)[:, None, None] + phase)
    size = rng.normal(size=(2, clips, 1, joints, 3))
    turn = sigma * (0.8 * size[0] + 0.6 * size[1] * wave)
    quaternion = multiply(to_quaternion(pose), to_quaternion(turn.astype(np.float32)))
    return clamp_to_limits(to_axis_angle(quaternion))


def lean(rng: np.random.Generator, pose: np.ndarray, sigma: np.ndarray, limit: float = 30.0) -> np.ndarray:
    """Leans the body about its pelvis, forward and sideways, by a slowly oscillating angle.

    Args:
      pose: (B, T, 24, 3) axis-angle.
      sigma: (B,) degrees; zero leaves a clip unchanged. limit: degrees.
    """
    clips, frames = pose.shape[:2]
    angle = np.clip(rng.normal(size=(clips, 1, 2)) * sigma[:, None, None], -limit, limit)
    period = rng.uniform(40.0, 160.0, (clips, 1, 1))
    wave = np.sin(2 * np.pi / period * np.arange(frames)[:, None] + rng.uniform(0, 2 * np.pi, (clips, 1, 1)))
    angle = np.deg2rad(angle * (1 + 0.3 * wave))
    turn = np.stack([angle[..., 0], np.zeros_like(angle[..., 0]), angle[..., 1]], axis=-1).astype(np.float32)
    pose = pose.copy()
    root = to_axis_angle(multiply(to_quaternion(turn), to_quaternion(pose[:, :, 0])))
    pose[:, :, 0] = np.where(sigma[:, None, None] > 0, root, pose[:, :, 0])
    return pose


def draw_positions(
    rng: np.random.Generator, lengths: np.ndarray, frames: int, speed: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """Positions of random windows in clips, (B, frames): fractional frame numbers in [0, length - 1].

    At an end of its clip a window continues in reverse, so that a clip of any length fills a window.

    Args:
      lengths: (B,) frames in each clip. speed: bounds of the log-uniform factor.
    """
    factor = np.exp(rng.uniform(np.log(speed[0]), np.log(speed[1]), len(lengths)))
    last = lengths - 1.0
    start = rng.uniform(size=len(lengths)) * np.maximum(last - factor * (frames - 1), 0.0)
    if speed[0] == speed[1] == 1.0:
        start = np.floor(start)
    position = start[:, None] + factor[:, None] * np.arange(frames)
    there_and_back = np.mod(position, np.maximum(2 * last, 1.0)[:, None])
    return np.where(last[:, None] > 0, np.minimum(there_and_back, 2 * last[:, None] - there_and_back), 0.0)


def _joints(*parts: str) -> np.ndarray:
    return np.array([i for i, name in enumerate(SMPL_JOINTS) if any(part in name for part in parts)])


_FLIP_ROTATION = np.array([1.0, -1.0, -1.0], np.float32)
_FLIP_PLACE = np.array([-1.0, 1.0, 1.0], np.float32)
ARMS = _joints("collar", "shoulder", "elbow", "wrist", "hand")
UPPER_BODY = np.sort(np.concatenate([ARMS, _joints("spine", "neck", "head")]))
_SIGMAS = {
    "hip": 26,
    "shoulder": 28,
    "knee": 18,
    "elbow": 18,
    "spine": 6,
    "neck": 8,
    "head": 10,
    "collar": 5,
    "wrist": 10,
    "ankle": 10,
    "foot": 4,
    "hand": 0,
    "pelvis": 0,
}
PERTURBATION_SIGMAS = np.array(
    [_SIGMAS[name.split("_")[-1].rstrip("123")] for name in SMPL_JOINTS], np.float32
)
