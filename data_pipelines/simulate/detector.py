"""A simulated BlazePose: observations of 33 true landmarks with the errors measured on the real one.

In 2D and 3D: an offset of the pelvis; noise that is correlated in time and larger for fast and occluded
limbs; left-right swaps of up to a second at full confidence; lost limbs; frames without a detection. In 3D
only: too small a depth, a leaning trunk, and the bone lengths of an average person. 2D and 3D come from one
perturbed body, so their errors are correlated. All functions take a batch of clips (B, T, ...), float32.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.simulate.camera import between
from data_pipelines.simulate.landmark_tables import (
    BALL_RADII,
    BALLS,
    BODY_SIZE,
    FROM_BONES,
    HIPS,
    LIMB,
    LIMB_REACH,
    NOISE_SHARE,
    PART,
    SWAP_GROUPS,
    TO_BONES,
)
from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR
from hpof_jax.geometry.camera import project
from hpof_jax.geometry.rotations import axis_angle_to_matrix

AVERAGE_SIZE = 1.28  # metres of trunk + thigh + shank in the detector's 3D landmarks of any person


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DetectorNoise:
    """Rates and sizes of the errors.

    Sizes are sigmas, in metres at the body and in degrees. Rates are events per frame at 30 frames/s. One
    factor per clip, drawn from `severity`, scales all sigmas. "Drift" is slow Gaussian noise with the time
    constant `timescale`; "jitter" is independent in each frame. A pytree: only a change of `timescale` needs
    a new compilation.
    """

    severity: tuple[float, float] = (0.5, 1.6)
    timescale: float = dataclasses.field(default=20.0, metadata={"static": True})  # frames
    # Errors of 2D and 3D landmarks.
    slow: float = 0.013  # drift of a body part
    fast: float = 0.0025  # jitter of a landmark
    hip_bias: float = 0.035  # offset of the pelvis, constant in a clip
    hip_drift: float = 0.015
    speed_gain: float = 0.15  # relative growth of the errors per m/s of the landmark
    occlusion_gain: float = 1.0  # relative growth for a landmark behind the body
    truncation_gain: float = 2.5  # relative growth for a landmark outside the frame
    swap_rate: float = 0.0016  # left-right swaps of the whole body, the legs or the arms
    swap_frames: tuple[int, int] = (5, 40)
    lost_rate: float = 0.002  # a limb moves to a wrong place
    lost_frames: tuple[int, int] = (6, 40)
    lost_offset: float = 0.18
    outlier_rate: float = 0.004  # a large error in one or two frames
    outlier_offset: float = 0.08
    dropout_rate: float = 0.0012  # no detection
    dropout_frames: tuple[int, int] = (1, 15)
    min_in_frame: float = 0.3  # no detection where a smaller share of the landmarks is in the frame
    # Errors of 3D landmarks only.
    depth_slope: tuple[float, float] = (0.5, 1.0)  # detected over true depth, constant in a clip
    limb_depth: float = 0.27  # relative drift of each limb's depth
    bone_direction: float = 0.095  # drift of each bone's end, in bone lengths
    bone_length: float = 0.10  # relative error, constant in a clip, equal left and right
    tilt: float = 10.0  # lean of the trunk about x and z, constant in a clip; half of it for the legs
    tilt_drift: float = 4.0
    jitter_3d: float = 0.002
    average_size: float = 1.0  # 1: the skeleton has AVERAGE_SIZE; 0: the true size
    crop_view: float = 1.0  # 1: 3D landmarks as if the camera looked straight at the person; 0: camera axes
    # Visibility = sigmoid(logit - falls).
    visibility_logit: float = 5.0
    visibility_spread: float = 1.2  # drift of the logit
    occlusion_fall: float = 4.0
    error_fall: float = 8.0  # per metre of error
    truncation_fall: float = 5.0
    lost_fall: float = 4.0
    outlier_fall: float = 2.0

    @classmethod
    def none(cls) -> "DetectorNoise":
        """A perfect detector: true positions, visibility 1, every frame seen."""
        off = {}
        for field in dataclasses.fields(cls):
            keep = isinstance(field.default, tuple) or field.name == "timescale"
            off[field.name] = field.default if keep else 0.0
        return cls(**{**off, "depth_slope": (1.0, 1.0), "visibility_logit": 100.0})


def detect(
    key: jax.Array, points: jax.Array, focal_length: jax.Array, image_size: jax.Array, noise: DetectorNoise
) -> dict[str, jax.Array]:
    """Simulated observations of true landmarks.

    Args:
      key: JAX random key.
      points: (B, T, 33, 3) true BlazePose landmarks, metres, camera frame.
      focal_length: (B,) true focal length, px. image_size: (B, 2) = [height, width].
      noise: sizes and rates of the errors.

    Returns:
      landmarks_2d (B, T, 33, 3) = [x px, y px, visibility], landmarks_3d (B, T, 33, 3) metres about the
      mid-hip in camera axes, seen (B, T) bool. Landmarks are zero in frames that are not seen.
    """
    draws = _Draws(key, *points.shape[:2], noise.timescale)
    severity = between(noise.severity, draws.clip_chance(1, 1))[:, None]
    size = image_size[:, None, None, :]
    pixels = project(points, focal_length[:, None, None], size)
    outside = _outside(pixels, size)
    occluded = _occlusion(points)
    error, lowered = _picture_error(draws, points, occluded, outside, severity, noise)

    wrong = points + error * jnp.array([1.0, 1.0, 0.0])
    pixels = project(wrong, focal_length[:, None, None], size)
    logit = (
        noise.visibility_logit - noise.occlusion_fall * occluded - noise.truncation_fall * outside - lowered
    )
    logit = logit - noise.error_fall * jnp.linalg.norm(error, axis=-1)
    logit = logit + noise.visibility_spread * draws.drift(17)[:, :, PART]
    landmarks_2d = jnp.concatenate([pixels, jax.nn.sigmoid(logit)[..., None]], axis=-1)
    landmarks_3d = _world_landmarks(draws, points, error, severity, noise)

    swapped = _swaps(draws, noise)[..., None]
    landmarks_2d = jnp.where(swapped, landmarks_2d[:, :, BLAZEPOSE_MIRROR], landmarks_2d)
    landmarks_3d = jnp.where(swapped, landmarks_3d[:, :, BLAZEPOSE_MIRROR], landmarks_3d)
    dropped, _ = _events(draws, noise.dropout_rate, noise.dropout_frames)
    seen = ~dropped & (jnp.mean(outside < 0.5, axis=-1) >= noise.min_in_frame)
    blank = seen[..., None, None]
    return dict(
        landmarks_2d=jnp.where(blank, landmarks_2d, 0.0),
        landmarks_3d=jnp.where(blank, landmarks_3d, 0.0),
        seen=seen,
    )


def _picture_error(draws, points, occluded, outside, severity, noise):
    """The landmarks' errors in metres (B, T, 33, 3) and the fall of their visibility logits (B, T, 33)."""
    step = jnp.diff(points, axis=1, prepend=points[:, :1])
    speed = jnp.minimum(30.0 * jnp.linalg.norm(step, axis=-1), 6.0)
    gain = 1 + noise.speed_gain * speed + noise.occlusion_gain * occluded + noise.truncation_gain * outside

    outlier, _ = _events(draws, noise.outlier_rate, (1, 2))
    outlier = outlier[..., None, None]
    error = noise.slow * draws.drift(17, 3)[:, :, PART]
    error = error + (noise.fast + noise.outlier_offset * outlier) * draws.jitter(33, 3)
    error = error * NOISE_SHARE[:, None] * gain[..., None]
    error = error + noise.outlier_offset * outlier * draws.jitter(1, 3)
    hips = noise.hip_bias * draws.clip(1, 1, 3) + noise.hip_drift * draws.drift(1, 3)
    error = error + hips * HIPS[:, None]

    lost, since = _events(draws, noise.lost_rate, noise.lost_frames)
    limb = _hold(_choice(draws.chance(), 4), since)
    offset = _hold(noise.lost_offset * draws.jitter(3), since)
    reach = jnp.asarray(LIMB_REACH)[limb] * _soften(lost)[..., None]
    error = error + reach[..., None] * offset[..., None, :]
    return severity * error, noise.lost_fall * reach + noise.outlier_fall * outlier[..., 0]


def _world_landmarks(draws, points, error, severity, noise):
    """The detector's 3D landmarks about the mid-hip, (B, T, 33, 3)."""
    body = points - _middle(points)
    # The detector sees a crop and does not know where in the frame it is.
    body = jnp.einsum("btij,btkj->btki", _crop_rotation(_middle(points)[:, :, 0], noise.crop_view), body)
    bones = jnp.einsum("lk,btkc->btlc", TO_BONES, body)
    length = jnp.linalg.norm(bones, axis=-1, keepdims=True)

    stretch = draws.clip(1, 33, 1)
    stretch = (stretch + stretch[:, :, BLAZEPOSE_MIRROR]) / math.sqrt(2)
    bones = bones * jnp.exp(noise.bone_length * severity * stretch)
    slope = between(noise.depth_slope, draws.clip_chance(1, 1))
    depth = slope * (1 + noise.limb_depth * severity[..., 0] * draws.drift(6)[:, :, LIMB])
    bones = bones * jnp.stack([jnp.ones_like(depth), jnp.ones_like(depth), depth], axis=-1)
    turn = noise.bone_direction * draws.drift(17, 3)[:, :, PART]
    bones = bones + severity * length * turn * jnp.array([0.7, 0.7, 1.4])

    lean = noise.tilt * draws.clip(1, 2, 2) + noise.tilt_drift * draws.drift(2, 2)
    lean = jnp.deg2rad(severity * lean * jnp.array([[1.0], [0.5]]))
    lean = jnp.stack([lean[..., 0], jnp.zeros_like(lean[..., 0]), lean[..., 1]], axis=-1)
    trunk, legs = jnp.moveaxis(axis_angle_to_matrix(lean), 2, 0)
    upper = jnp.einsum("btij,btkj->btki", trunk, bones[:, :, :23])
    lower = jnp.einsum("btij,btkj->btki", legs, bones[:, :, 23:])
    body = jnp.einsum("kl,btlc->btkc", FROM_BONES, jnp.concatenate([upper, lower], axis=2))

    body = body + error + noise.jitter_3d * severity * draws.jitter(33, 3)
    body = body - _middle(body)
    size = jnp.mean(length[..., 0] @ BODY_SIZE, axis=1)
    scale = (AVERAGE_SIZE / jnp.maximum(size, 0.1)) ** noise.average_size
    return body * scale[:, None, None, None]


def _occlusion(points):
    """How much each landmark is occluded by the body, (B, T, 33) in 0..1.

    Balls approximate the trunk, the head and the thighs. A landmark behind a ball and within its outline is
    occluded.
    """
    balls = jnp.einsum("sk,btkc->btsc", BALLS, points)
    apart = points[:, :, :, None] - balls[:, :, None]
    aside = jnp.sqrt(jnp.sum(apart[..., :2] ** 2, axis=-1))
    inside = jax.nn.sigmoid((BALL_RADII - aside) / 0.02)
    behind = jax.nn.sigmoid((apart[..., 2] - 0.07) / 0.02)
    return 1 - jnp.prod(1 - inside * behind, axis=-1)


def _outside(pixels, size):
    """How far landmarks are outside the frame, (B, T, 33): 0 inside, 1 from a tenth of its shorter side."""
    limit = size[..., ::-1]
    beyond = jnp.maximum(-pixels, pixels - limit) / (0.1 * jnp.min(limit, axis=-1, keepdims=True))
    return jnp.clip(jnp.max(beyond, axis=-1), 0.0, 1.0)


def _swaps(draws, noise):
    """Which landmarks a left-right swap affects, (B, T, 33) bool."""
    active, since = _events(draws, noise.swap_rate, noise.swap_frames)
    kind = _hold(_choice(draws.chance(), 3), since)
    return active[..., None] & jnp.asarray(SWAP_GROUPS)[kind]


def _events(draws, rate, frames):
    """Random events. `frames`: bounds of their length.

    Returns:
      active (B, T) bool, and the first frame of the latest event (B, T) int32, the index for `_hold`.
    """
    starts, length = draws.chance() < rate, frames[0] + _choice(draws.chance(), frames[1] - frames[0] + 1)
    frame = jnp.arange(starts.shape[1])
    end = jax.lax.cummax(jnp.where(starts, frame + length, 0), axis=1)
    return frame < end, jax.lax.cummax(jnp.where(starts, frame, 0), axis=1)


def _hold(values, since):
    """The values of each event's first frame: values (B, T, ...), since (B, T) -> (B, T, ...)."""
    return jnp.take_along_axis(values, since.reshape(*since.shape, *[1] * (values.ndim - 2)), axis=1)


def _soften(active):
    """(B, T) bool -> (B, T) in 0..1, with ramps of two frames on both sides."""
    padded = jnp.pad(active.astype(jnp.float32), ((0, 0), (2, 2)), mode="edge")
    return sum(padded[:, i : i + active.shape[1]] for i in range(5)) / 5


class _Draws:
    """All random numbers of a batch of clips, in five calls, because each takes seconds to compile.

    Every attribute is a function that takes a shape and returns new numbers: (B, T, *shape), or (B, *shape)
    if its name starts with `clip`.
    """

    def __init__(self, key, clips, frames, timescale):
        keys = jax.random.split(key, 5)
        white = jax.random.normal(keys[0], (frames, clips, 132))
        # Smooth in time, stationary, unit variance.
        self.drift = _dealer(jnp.einsum("ts,sbk->btk", _smooth_mixing(frames, timescale), white))
        self.jitter = _dealer(jax.random.normal(keys[1], (clips, frames, 204)))  # white, unit variance
        self.chance = _dealer(jax.random.uniform(keys[2], (clips, frames, 10)))  # uniform in 0..1
        self.clip = _dealer(jax.random.normal(keys[3], (clips, 40)))
        self.clip_chance = _dealer(jax.random.uniform(keys[4], (clips, 2)))


@functools.lru_cache(maxsize=16)
def _smooth_mixing(frames, timescale):
    """The matrix (T, T) that turns white noise into noise with Matern-3/2 covariance.

    The covariance is (1 + a) exp(-a) with a = sqrt(3) |dt| / timescale.
    """
    frame = np.arange(frames)
    lag = math.sqrt(3) / timescale * np.abs(frame[:, None] - frame[None])
    covariance = (1 + lag) * np.exp(-lag) + 1e-6 * np.eye(frames)
    return np.linalg.cholesky(covariance).astype(np.float32)


def _dealer(numbers):
    used = 0

    def deal(*shape):
        nonlocal used
        start, used = used, used + math.prod(shape)
        assert used <= numbers.shape[-1], "draw more numbers"
        return numbers[..., start:used].reshape(*numbers.shape[:-1], *shape)

    return deal


def _choice(chance, count):
    """Uniform numbers -> one of 0 .. count - 1."""
    return jnp.minimum((chance * count).astype(jnp.int32), count - 1)


def _crop_rotation(middle, share):
    """Rotations (B, T, 3, 3) of the ray to `middle` (B, T, 3) by `share` of its angle to the optical axis."""
    x, y, z = middle[..., 0], middle[..., 1], middle[..., 2]
    aside = jnp.sqrt(x * x + y * y + 1e-12)
    angle = share * jnp.arctan2(aside, z) / aside
    return axis_angle_to_matrix(jnp.stack([y * angle, -x * angle, jnp.zeros_like(x)], axis=-1))


def _middle(points):
    return (points[..., 23:24, :] + points[..., 24:25, :]) / 2
