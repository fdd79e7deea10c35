"""Which way is up in the camera frame: from the uprightness of the people whom a still camera films.

People stand and walk with the neck above the ankles. The direction from the ankles to the neck, averaged over
the frames in which knees and hips are straight, is a measurement of the vertical. A prior towards a level
camera that looks slightly down is combined with it, each weighted by its variance.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError

if TYPE_CHECKING:
    from hpof_jax.motion import Motion

KNEE_SIGMA = 30.0  # degrees of bend of the straighter knee at which a frame's weight has fallen to 61 %
HIP_SIGMA = 20.0  # the same for the angle between trunk and legs
LEAN = 5.0  # degrees; how far from the vertical people lean on average over a clip
LEAN_SPREAD = 0.5  # how much of the spread over the frames counts as error of the mean
ROBUST = 8.0  # degrees; frames further from the mean than this count less
SHORTEST = 15 / 30  # seconds of upright standing or walking, below which the camera is taken as level
PRIOR_PITCH = (-4.0, 12.0)  # degrees, mean and sigma: people look down at whom they film
PRIOR_ROLL = (0.0, 4.0)
LIMITS = {"pitch": 90.0, "roll": 180.0}


@dataclasses.dataclass(frozen=True)
class Gravity:
    """The camera's tilt, in degrees."""

    pitch: float  # positive if the camera looks up
    roll: float  # positive if it is turned clockwise, seen from behind it
    sigma: float  # standard deviation of the estimate; 0 where both angles are given
    source: str  # 'given', 'estimated', or 'level' if nobody stands upright for long enough

    @property
    def up(self) -> np.ndarray:
        """(3,) the unit vector against gravity in the camera frame (x right, y down, z forward)."""
        return up_of(self.pitch, self.roll)


def find_gravity(
    motions: Sequence["Motion"], pitch: float | None = None, roll: float | None = None
) -> Gravity:
    """The tilt of the still camera that saw these motions.

    Args:
      pitch, roll: degrees where they are known, as in `Gravity`. None: they are estimated.

    Raises:
      UserError: an angle is out of range.
    """
    for name, angle in (("pitch", pitch), ("roll", roll)):
        if angle is not None and not abs(angle) <= LIMITS[name]:  # NaN fails as well
            limit = f"{LIMITS[name]:g}"
            raise UserError(f"The camera's {name} is {angle} degrees: give one from -{limit} to {limit}.")
    if pitch is not None and roll is not None:
        return Gravity(float(pitch), float(roll), 0.0, "given")
    found = _estimate(motions)
    return dataclasses.replace(
        found,
        pitch=found.pitch if pitch is None else float(pitch),
        roll=found.roll if roll is None else float(roll),
    )


def up_of(pitch: float, roll: float) -> np.ndarray:
    """(3,) the direction against gravity in the camera frame, of angles in degrees."""
    pitch, roll = np.radians(pitch), np.radians(roll)
    return np.array([-np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), np.sin(pitch)])


def angles_of(up: np.ndarray) -> tuple[float, float]:
    """Pitch and roll in degrees; the inverse of `up_of`."""
    x, y, z = np.asarray(up, np.float64) / np.linalg.norm(up)
    return float(np.degrees(np.arcsin(np.clip(z, -1, 1)))), float(np.degrees(np.arctan2(-x, -y)))


def _estimate(motions: Sequence["Motion"]) -> Gravity:
    measured = [_uprightness(motion) for motion in motions]
    seconds = sum(weight.sum() / motion.mocap_framerate for (_, weight), motion in zip(measured, motions))
    if seconds < SHORTEST:
        return Gravity(0.0, 0.0, float(np.hypot(PRIOR_PITCH[1], PRIOR_ROLL[1])), "level")
    vectors, weights = (np.concatenate(parts) for parts in zip(*measured))
    mean = _robust_mean(vectors, weights)
    spread = np.sqrt(np.average(_degrees_between(vectors, mean) ** 2, weights=weights))
    sigma = np.hypot(LEAN, LEAN_SPREAD * spread)
    pitch, roll = angles_of(mean)
    pitch, pitch_sigma = _combine(pitch, sigma, *PRIOR_PITCH)
    roll, roll_sigma = _combine(roll, sigma, *PRIOR_ROLL)
    return Gravity(pitch, roll, float(np.hypot(pitch_sigma, roll_sigma)), "estimated")


def _uprightness(motion: "Motion") -> tuple[np.ndarray, np.ndarray]:
    """The direction from ankles to neck (T, 3) in each frame, and how much it says about gravity (T,), 0 to 1."""
    joints = motion.joints.astype(np.float64)
    at = {name: joints[:, number] for number, name in enumerate(SMPL_JOINTS)}
    middle = {name: (at[f"left_{name}"] + at[f"right_{name}"]) / 2 for name in ("hip", "ankle")}
    bends = []
    for side in ("left", "right"):
        hip, knee, ankle = (at[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        bends.append(_degrees_between(knee - hip, ankle - knee))
    hip_bend = _degrees_between(at["neck"] - middle["hip"], middle["hip"] - middle["ankle"])
    straight = np.exp(-0.5 * ((np.min(bends, axis=0) / KNEE_SIGMA) ** 2 + (hip_bend / HIP_SIGMA) ** 2))
    return _unit(at["neck"] - middle["ankle"]), straight * motion.confidence


def _robust_mean(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean direction (3,) of unit vectors (N, 3), with Cauchy weights by iterative reweighting."""
    mean = _unit(weights @ vectors)
    for _ in range(5):
        mean = _unit((weights / (1 + (_degrees_between(vectors, mean) / ROBUST) ** 2)) @ vectors)
    return mean


def _combine(value: float, sigma: float, prior: float, prior_sigma: float) -> tuple[float, float]:
    """The mean and sigma of the product of two normal distributions."""
    precision = sigma**-2 + prior_sigma**-2
    return float((value * sigma**-2 + prior * prior_sigma**-2) / precision), float(precision**-0.5)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((_unit(a) * _unit(b)).sum(axis=-1), -1, 1)))
