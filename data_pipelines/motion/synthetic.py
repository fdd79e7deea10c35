"""Procedural motion: gaits and movements between random poses, inside anatomical joint limits.

The default source of training motion, because it needs no download. The state of the NumPy generator
determines the clips. World frame: y up, floor at y = 0, metres; 30 frames/s.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.motion.clip import FPS
from data_pipelines.motion.skeleton import (
    JOINT_LIMITS,
    clamp_to_limits,
    joint_positions,
    rest_skeleton,
    sole_height,
)
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.geometry.numpy_rotations import about, compose


def sample_gait(rng: np.random.Generator, num_frames: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Walks and runs along curved paths.

    Joint angles are periodic functions of the stride's phase, after the curves of Winter (Biomechanics and
    Motor Control of Human Movement, 2009). Each clip has its own amplitudes.

    Returns:
      pose (batch, num_frames, 24, 3) axis-angle, the root first; transl (batch, num_frames, 3), the pelvis;
      float32.
    """

    def draw(low, high):
        return rng.uniform(low, high, (batch, 1))

    time = np.arange(num_frames)[None] / FPS
    run = np.clip(rng.normal(0.3, 0.35, (batch, 1)), 0.0, 1.0)  # 0: a walk, 1: a run
    strides = 0.75 + 0.65 * run + draw(-0.15, 0.2)  # per second
    left = 2 * np.pi * (strides * time + draw(0, 1))
    stretch = np.radians(draw(12, 26) + 14 * run)  # amplitude of the hip's flexion
    pose = np.zeros((batch, num_frames, 24, 3))

    def bump(phase, centre, width):
        """A smooth bump of height 1 once per stride; centre and width are shares of the stride."""
        return np.exp((np.cos(phase - 2 * np.pi * centre) - 1) / (2 * np.pi * width) ** 2 * 2)

    swing, stance, toe_off = (
        np.radians(draw(45, 65) + 35 * run),
        np.radians(draw(5, 18)),
        np.radians(draw(10, 22)),
    )
    arms, elbows = np.radians(draw(5, 28) + 15 * run), np.radians(draw(5, 35) + 60 * run)
    hang, toes_out, wide = np.radians(draw(68, 85)), np.radians(draw(-3, 10)), np.radians(draw(-3, 5))
    for side, phase, sign in (("left", left, 1.0), ("right", left + np.pi, -1.0)):
        joint = {
            name: SMPL_JOINTS.index(f"{side}_{name}") for name in ("hip", "knee", "ankle", "foot", "elbow")
        }
        pose[:, :, joint["hip"], 0] = -(0.25 * stretch + 0.3 * run * stretch + stretch * np.cos(phase))
        pose[:, :, joint["hip"], 1] = sign * toes_out
        pose[:, :, joint["hip"], 2] = sign * wide
        pose[:, :, joint["knee"], 0] = (
            0.08 + swing * bump(phase, 0.72, 0.16) + stance * bump(phase, 0.14, 0.1)
        )
        pose[:, :, joint["ankle"], 0] = toe_off * bump(phase, 0.62, 0.08) - 0.12 * bump(phase, 0.42, 0.14)
        pose[:, :, joint["foot"], 0] = -1.2 * toe_off * bump(phase, 0.55, 0.07)
        forward = -arms * np.cos(phase + np.pi) + 0.1  # in phase with the other leg; negative is forward
        shoulder = SMPL_JOINTS.index(f"{side}_shoulder")
        pose[:, :, shoulder] = compose(about(0, forward), about(2, -sign * hang + 0 * forward))
        pose[:, :, joint["elbow"], 1] = -sign * (elbows - 0.4 * forward)
    sway = np.radians(draw(2, 9))
    pose[:, :, 3:7:3, 1] = (sway * np.cos(left) / 2)[..., None]
    pose[:, :, 9, 1] = sway * np.cos(left) / 2
    pose[:, :, [3, 6, 9], 0] = np.radians(draw(-3, 8))[..., None]
    pose[:, :, [12, 15], 0] = np.radians(draw(-12, 12))[..., None]
    pose[:, :, [12, 15], 1] = _smooth_noise(rng, num_frames, batch, np.radians(20))[..., None]
    pose[:, :, 1:] += _smooth_noise(rng, num_frames, batch, np.radians(2.5), (23, 3))
    turning = np.radians(rng.normal(0, 30, (batch, 1))) * (rng.random((batch, 1)) < 0.6)
    heading = draw(-np.pi, np.pi) + turning * time + _smooth_noise(rng, num_frames, batch, np.radians(12))
    lean = np.radians(draw(0, 5) + 7 * run) + 0 * heading
    pose[:, :, 0] = compose(about(1, heading), about(0, lean), about(1, -sway * np.cos(left) / 2))
    speed = strides * 4 * 0.84 * np.sin(stretch) * (1 + 0.4 * run)
    backward = np.where(rng.random((batch, 1)) < 0.05, -1.0, 1.0)
    step = speed * backward / FPS
    path = np.cumsum(np.stack([np.sin(heading) * step, 0 * heading, np.cos(heading) * step], axis=-1), axis=1)
    flipped = backward[:, 0] < 0
    pose[flipped, :, 1:] = pose[flipped, ::-1, 1:]  # walking backwards is walking in reversed time
    flight = 0.06 * run * draw(0, 1) * np.abs(np.sin(left + 0.4)) * (run > 0.5)
    return _stand(clamp_to_limits(pose), path, 0.0, flight)


def sample_poses(rng: np.random.Generator, num_frames: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Movements from one random pose to the next; shapes as in `sample_gait`.

    Poses are standing, squatting, sitting, bending, lunging, kicking and lying, each with random arms. A tenth
    of the clips have any pose inside the joint limits, and any orientation, upside down too.
    """
    keys = int(np.ceil(num_frames / FPS / 0.7)) + 2
    kind = rng.random(batch)
    anyhow, lying = kind < 0.1, kind < 0.25
    poses, tilts = _random_poses(rng, batch * keys, np.repeat(lying, keys))
    poses, tilts = poses.reshape(batch, keys, 24, 3), tilts.reshape(batch, keys, 3)
    poses[anyhow] = _any_poses(rng, (anyhow.sum(), keys))
    # Each clip has its own pace, each segment its own duration; minimum-jerk interpolation between the poses.
    lengths = rng.uniform(0.35, 1.6, (batch, keys)) * rng.uniform(0.7, 1.5, (batch, 1))
    # A whole body turns more slowly than a limb.
    lengths = np.where(lying[:, None], 1.0 + 1.5 * lengths, lengths)
    ends = np.cumsum(np.maximum(lengths, 0.25), axis=1)
    time = np.arange(num_frames)[None] / FPS * np.minimum(1.0, ends[:, -2:-1] / (num_frames / FPS + 1e-6))
    at = np.minimum((time[..., None] >= ends[:, None]).sum(axis=-1), keys - 2)
    starts = np.concatenate([np.zeros((batch, 1)), ends], axis=1)
    rows = np.arange(batch)[:, None]
    part = np.clip((time - starts[rows, at]) / (ends[rows, at] - starts[rows, at]), 0.0, 1.0)
    part = (part**3 * (10 - 15 * part + 6 * part**2))[..., None]
    tilt = tilts[rows, at] * (1 - part) + tilts[rows, at + 1] * part
    turns = Rotation.random(batch, rng).as_rotvec()
    tilt = np.where(anyhow[:, None, None], turns[:, None], tilt)
    pose = poses[rows, at] * (1 - part[..., None]) + poses[rows, at + 1] * part[..., None]
    pose[:, :, 1:] += _smooth_noise(rng, num_frames, batch, np.radians(4), (23, 3))
    heading = rng.uniform(-np.pi, np.pi, (batch, 1)) + _smooth_noise(rng, num_frames, batch, np.radians(35))
    pose[:, :, 0] = compose(about(1, heading), tilt)
    path = _smooth_noise(rng, num_frames, batch, 0.08, (3,))
    jumps = np.where(rng.random((batch, 1)) < 0.1, 0.25, 0.0) * np.maximum(
        0, _smooth_noise(rng, num_frames, batch, 1.0)
    )
    return _stand(
        clamp_to_limits(pose), path, np.where(lying, 0.0, 1.0)[:, None], np.where(lying[:, None], 0, jumps)
    )


def _any_poses(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Poses (*shape, 24, 3) with a zero root: each component is uniform on either side of 0, up to its limit."""
    part = rng.uniform(-1, 1, (*shape, 24, 3))
    pose = np.where(part > 0, part * JOINT_LIMITS[..., 1], -part * JOINT_LIMITS[..., 0])
    pose[..., 0, :] = 0.0
    return pose


def _random_poses(rng: np.random.Generator, count: int, lying: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Random single poses.

    Args:
      lying: (count,) bool, whether a pose lies or crouches on the floor.

    Returns:
      pose (count, 24, 3) axis-angle with a zero root, inside the joint limits; tilt (count, 3), the rotation
      of the root, axis-angle.
    """
    pose = np.radians(rng.normal(0, 6, (count, 24, 3)))
    kinds = rng.choice(len(_STANCES), count, p=[stance[0] for stance in _STANCES])
    means = np.radians(np.array([stance[1:] for stance in _STANCES], np.float64))[kinds]
    legs = means[:, :6].reshape(-1, 2, 3) * rng.uniform(0.7, 1.2, (count, 2, 1))
    swap = rng.random(count) < 0.5
    legs[swap] = legs[swap, ::-1]
    for row, sign, (hip, knee, ankle) in ((0, 1.0, (1, 4, 7)), (1, -1.0, (2, 5, 8))):
        pose[:, hip, 0] -= legs[:, row, 0]
        pose[:, hip, 1] += sign * np.radians(rng.normal(6, 8, count))
        pose[:, hip, 2] += sign * (means[:, 6] * rng.uniform(0.3, 1.3, count) + np.radians(3))
        pose[:, knee] = np.radians(rng.normal(0, 2, (count, 3)))
        pose[:, knee, 0] = np.abs(legs[:, row, 1] + np.radians(rng.normal(0, 5, count)))
        pose[:, ankle, 0] += legs[:, row, 2]
    pose[:, [3, 6, 9]] *= 0.7
    pose[:, [3, 6, 9], 0] += (means[:, 7] * rng.uniform(0.5, 1.2, count))[:, None] / 3
    pose[:, [3, 6, 9], 1] += np.radians(rng.normal(0, 7, (count, 1)))
    pose[:, [12, 15], 1] += np.radians(rng.normal(0, 12, (count, 1)))
    pose[:, [10, 11]] *= 0.5
    for sign, (collar, shoulder, elbow) in ((1.0, (13, 16, 18)), (-1.0, (14, 17, 19))):
        arms = rng.choice(len(_ARMS), count, p=[arm[0] for arm in _ARMS])
        table = np.radians(np.array([arm[1:] for arm in _ARMS], np.float64))[arms]
        table = table + np.radians(rng.normal(0, 14, table.shape))
        raise_, ahead, twist, bend, palm = table.T
        mirrored = np.stack([twist, -sign * ahead, sign * raise_], axis=-1)
        pose[:, shoulder] = compose(about(2, mirrored[:, 2]), about(1, mirrored[:, 1]), about(0, twist))
        pose[:, elbow] = compose(about(1, -sign * np.abs(bend)), about(0, palm))
        pose[:, collar, 2] = sign * (np.clip(raise_, -1.5, 1.5) + 0.9) * 0.16 + pose[:, collar, 2] * 0.5
    tilt = np.zeros((count, 3))
    tilt[:, 0] = means[:, 8] * rng.uniform(0.5, 1.2, count) + np.radians(rng.normal(0, 4, count))
    tilt[:, 2] = np.radians(rng.normal(0, 4, count))
    floor = rng.choice(len(_FLOOR), count)
    angles = np.radians(np.array(_FLOOR, np.float64))[floor] + np.radians(rng.normal(0, 10, (count, 3)))
    tilt = np.where(
        lying[:, None],
        compose(about(1, angles[:, 1]), about(0, angles[:, 0]), about(2, angles[:, 2])),
        tilt,
    )
    pose[:, 0] = 0.0
    return clamp_to_limits(pose), tilt


# Probability, then degrees: hip flexion, knee and ankle of either leg; legs apart; trunk and root forward.
_STANCES = (
    (0.34, 3, 6, 2, 3, 6, 2, 4, 3, 1),  # standing
    (0.13, 95, 110, -25, 95, 110, -25, 15, 30, 25),  # squatting
    (0.13, 88, 85, 0, 88, 85, 0, 8, 8, -3),  # sitting
    (0.12, 35, 15, 0, 35, 15, 0, 5, 55, 30),  # bending
    (0.12, 75, 80, -8, -15, 35, -12, 4, 8, 5),  # lunging
    (0.08, 80, 20, 25, -5, 12, 0, 12, 0, -10),  # kicking
    (0.08, 70, 90, 10, 0, 5, 0, 5, 0, 0),  # a knee up
)
# Probability, then degrees: upper arm up from horizontal, forward, twist; elbow; palm.
_ARMS = (
    (0.40, -72, 5, 0, 20, 0),  # hanging
    (0.12, -60, 15, 20, 90, 0),  # in front of the belly
    (0.12, -15, 70, 0, 35, 0),  # stretched forward
    (0.10, 5, 10, 0, 25, 0),  # out to the side
    (0.10, 65, 10, 0, 25, 0),  # up
    (0.06, -40, -15, 30, 100, 0),  # a hand on the hip
    (0.10, -30, 40, -30, 125, 0),  # a hand at the face or the shoulder
)
# Lying and crouching: the tilt of the root about x, y and z, degrees.
_FLOOR = (
    (-85, 0, 0),
    (-85, 0, 0),
    (85, 0, 0),
    (-80, 90, 0),
    (-80, -90, 0),
    (-45, 0, 0),
    (75, 0, 0),
)

# Radius of the body around each joint, metres. Feet use the height of the sole instead.
_RADII = np.full(24, 0.06)
_RADII[[0, 1, 2]] = 0.1
_RADII[[3, 6, 9]] = 0.11
_RADII[15] = 0.1
_RADII[[20, 21, 22, 23]] = 0.03


def _stand(pose, path, on_feet, flight) -> tuple[np.ndarray, np.ndarray]:
    """Places bodies on the floor by their lowest joint.

    Args:
      pose: (B, T, 24, 3). path: (B, T, 3), of which x and z are used.
      on_feet: (B, 1), 1 where the middle of the feet follows the path, 0 where the pelvis does; or 0.
      flight: (B, T) height above the floor.

    Returns:
      pose and transl (B, T, 3), float32.
    """
    # Relative to the pelvis; float32 for speed.
    places = joint_positions(pose.astype(np.float32), np.zeros(3, np.float32))
    radii = _RADII.copy()
    radii[[7, 8, 10, 11]] = rest_skeleton()[[7, 8, 10, 11], 1] - sole_height()
    lowest = (places[..., 1] - radii).min(axis=-1)
    for _ in range(2):  # smooth, so that a change of the supporting limb is no jump
        padded = np.pad(lowest, ((0, 0), (1, 1)), mode="edge")
        lowest = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    feet = places[:, :, [7, 8, 10, 11]].mean(axis=2)
    transl = path - on_feet[..., None] * feet if np.ndim(on_feet) else path.copy()
    transl[..., 1] = flight - lowest
    return pose.astype(np.float32), transl.astype(np.float32)


def _smooth_noise(rng, num_frames: int, batch: int, size: float, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Smooth noise of RMS `size`, (batch, num_frames, *shape): three sines of at most 1 Hz."""
    time = 2 * np.pi * np.arange(num_frames)[None] / FPS
    total = np.zeros((batch, num_frames, *shape), np.float32)
    ones = (1,) * len(shape)
    for highest in (0.15, 0.4, 1.0):
        frequency = rng.uniform(0.05, highest, (batch, 1)).astype(np.float32)
        angle = (frequency * time).astype(np.float32).reshape(batch, num_frames, *ones)
        turn = rng.uniform(0, 2 * np.pi, (batch, 1, *shape)).astype(np.float32)
        # sin(a + b) from the sines and cosines of a and b, which are much smaller arrays.
        total += np.sin(angle) * np.cos(turn) + np.cos(angle) * np.sin(turn)
    return total * np.float32(size / 1.225)
