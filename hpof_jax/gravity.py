"""Which way is up in the camera frame, from the people whom a still camera films.

Two measurements and a prior meet on a grid of pitch and roll, each as a log-likelihood:

- People stand and walk with the neck above the ankles, so the mean direction from the ankles to the neck is near the
  vertical. Frames in which knees and hips are bent count less.
- Feet that are planted lie in one plane, so their heights along the vertical are equal. This counts only if the
  heights agree and the result is near that of the first measurement: stairs and climbing must not.
- The prior: cameras are nearly level and look slightly down.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.contacts import FEET, contact_points, contact_runs, find_contacts
from hpof_jax.errors import UserError

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.motion import Motion

KNEE_SIGMA = 30.0  # degrees of bend of the straighter knee at which a frame's weight has fallen to 61 %
HIP_SIGMA = 20.0  # the same for the angle between trunk and legs
LEAN = 5.0  # degrees; how far from the vertical people lean on average over a clip
LEAN_SPREAD = 0.5  # how much of the spread over the frames counts as error of the mean
BENT = 0.1  # weight of a frame with bent legs over that of a straight one
ROBUST = 8.0  # degrees; frames further from the mean than this count less
SHORTEST = 0.2  # seconds of upright standing or walking, below which the camera is taken as level
FLAT = 0.06  # metres, standard deviation of the height of a planted foot
FLAT_LIMIT = 0.05  # metres, the largest spread of the heights that still speaks of one plane
FLAT_APART = 15.0  # degrees, the largest difference between the two measurements
LONG = 8  # frames; contacts of this length or longer have the full weight
MOST = 200  # contacts, evenly spaced, that are looked at
PRIOR_PITCH = (-4.0, 12.0)  # degrees, mean and sigma: people look down at whom they film
PRIOR_ROLL = (0.0, 4.0)
PITCHES = np.arange(-84.0, 85.0, 1.5)  # degrees, the grid
ROLLS = np.arange(-40.0, 40.5, 1.5)
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
    motions: Sequence["Motion"],
    pitch: float | None = None,
    roll: float | None = None,
    body: "BodyModel | None" = None,
) -> Gravity:
    """The tilt of the still camera that saw these motions.

    Args:
      body: the body that the motions were made with, for the places of the feet. None: they are not used.
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
    return _estimate(motions, pitch, roll, body)


def up_in_camera(motion: "Motion", body: "BodyModel | None" = None) -> np.ndarray:
    """(3,) the unit vector against gravity in the camera frame: of the motion's world, or estimated."""
    if motion.world_to_camera is not None:
        return motion.world_to_camera[:3, 2]
    return find_gravity([motion], body=body).up


def up_of(pitch: ArrayLike, roll: ArrayLike) -> np.ndarray:
    """(..., 3) the direction against gravity in the camera frame, of angles (...) in degrees."""
    pitch, roll = np.radians(pitch), np.radians(roll)
    parts = [-np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), np.sin(pitch)]
    return np.stack(np.broadcast_arrays(*parts), axis=-1)


def angles_of(up: np.ndarray) -> tuple[float, float]:
    """Pitch and roll in degrees; the inverse of `up_of`."""
    x, y, z = np.asarray(up, np.float64) / np.linalg.norm(up)
    return float(np.degrees(np.arcsin(np.clip(z, -1, 1)))), float(np.degrees(np.arctan2(-x, -y)))


def _estimate(
    motions: Sequence["Motion"], pitch: float | None, roll: float | None, body: "BodyModel | None"
) -> Gravity:
    measured = [_uprightness(motion) for motion in motions]
    seconds = sum(straight.sum() / motion.mocap_framerate for (_, straight), motion in zip(measured, motions))
    if seconds < SHORTEST:
        level = Gravity(0.0, 0.0, float(np.hypot(PRIOR_PITCH[1], PRIOR_ROLL[1])), "level")
        return dataclasses.replace(level, pitch=pitch or 0.0, roll=roll or 0.0)
    pitches, roll_grid = np.meshgrid(PITCHES, ROLLS, indexing="ij")
    ups = up_of(pitches, roll_grid)
    given = dict(pitch=(pitch, PITCHES, pitches, PRIOR_PITCH), roll=(roll, ROLLS, roll_grid, PRIOR_ROLL))
    score = np.zeros(pitches.shape)
    for value, steps, grid, (mean, sigma) in given.values():
        if value is None:
            score -= 0.5 * ((grid - mean) / sigma) ** 2
        else:
            score = np.where(grid == steps[np.abs(steps - value).argmin()], score, -np.inf)
    vectors = np.concatenate([vectors for vectors, _ in measured])
    weights = [straight + BENT * motion.seen for (_, straight), motion in zip(measured, motions)]
    mean, sigma = _mean_direction(vectors, np.concatenate(weights))
    score -= 0.5 * (_degrees_between(ups, mean) / sigma) ** 2
    if body is not None:
        score = _with_plane(score, ups, mean, _planted(motions, body, mean))
    share = np.exp(score - score.max())
    share /= share.sum()
    up = _unit((share[..., None] * ups).sum(axis=(0, 1)))
    found = angles_of(up)
    error = float(np.sqrt((share * _degrees_between(ups, up) ** 2).sum()))
    return Gravity(
        found[0] if pitch is None else float(pitch),
        found[1] if roll is None else float(roll),
        error,
        "estimated",
    )


def _mean_direction(vectors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean direction (3,) of unit vectors (N, 3), and its standard deviation in degrees."""
    mean = _robust_mean(vectors, weights)
    spread = np.sqrt(np.average(_degrees_between(vectors, mean) ** 2, weights=weights))
    return mean, float(np.hypot(LEAN, LEAN_SPREAD * spread))


def _planted(motions: Sequence["Motion"], body: "BodyModel", up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean place (N, 3) of each contact of a heel or toe, and its weight (N,), 0 to 1."""
    places, weights = [], []
    for motion in motions:
        points, found = contact_points(motion, body), find_contacts(motion, body, up)[:, :FEET]
        for point, start, stop in contact_runs(found):
            places.append(points[start:stop, point].mean(axis=0))
            weights.append(min(stop - start, LONG) / LONG)
    chosen = np.linspace(0, len(places) - 1, min(len(places), MOST)).astype(int)
    return np.reshape(places, (-1, 3))[chosen], np.array(weights)[chosen]


def _with_plane(
    score: np.ndarray, ups: np.ndarray, mean: np.ndarray, planted: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Adds the log-likelihood of the feet's plane to that of each direction `ups` (..., 3), if it can be trusted."""
    places, weights = planted
    if len(places) <= FEET:
        return score
    heights = ups @ places.T
    heights -= np.average(heights, axis=-1, weights=weights)[..., None]
    # Cauchy: a foot on a box, or a contact that is none, counts less.
    both = score - 2 * (weights * np.log1p((heights / FLAT) ** 2 / 4)).sum(axis=-1)
    best = np.unravel_index(both.argmax(), both.shape)
    spread = np.sqrt(np.average(heights[best] ** 2, weights=weights))
    return both if spread < FLAT_LIMIT and _degrees_between(ups[best], mean) < FLAT_APART else score


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
    return _unit(at["neck"] - middle["ankle"]), straight * motion.seen


def _robust_mean(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean direction (3,) of unit vectors (N, 3), with Cauchy weights by iterative reweighting."""
    mean = _unit(weights @ vectors)
    for _ in range(5):
        mean = _unit((weights / (1 + (_degrees_between(vectors, mean) / ROBUST) ** 2)) @ vectors)
    return mean


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((_unit(a) * _unit(b)).sum(axis=-1), -1, 1)))
