"""A stand-in for BlazePose: what it would say of 33 true 3D landmarks, errors included.

The errors are those measured on the real detector: a pelvis that sits beside the true one, noise that is correlated
in time, larger for fast and hidden limbs, left and right exchanged for a second at full confidence, limbs lost,
frames dropped; in its 3D landmarks a squeezed depth, a leaning trunk and an average person's bones. 2D and 3D come from one wrong picture
of the body, so they are wrong together. Everything works on a batch of clips, (B, T, ...), float32, from one key.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, BLAZEPOSE_MIRROR
from hpof_jax.geometry.camera import project
from hpof_jax.geometry.rotations import axis_angle_to_matrix

AVERAGE_SIZE = 1.28  # metres of trunk + thigh + shank that the detector's 3D landmarks show for everybody


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DetectorNoise:
    """Rates and sizes of the errors. Sigmas in metres at the body and angles in degrees; events per frame at 30 fps.

    Each clip's sigmas are multiplied by one number drawn from `severity`, so that a model learns not to trust blindly.
    A pytree: other numbers need no new compilation, but for `timescale`.
    """

    severity: tuple[float, float] = (0.5, 1.6)
    # Errors of the picture: 2D and 3D together.
    # Frames over which everything that wanders keeps its place.
    timescale: float = dataclasses.field(default=20.0, metadata={"static": True})
    slow: float = 0.013  # wandering of a body part
    fast: float = 0.0025  # jitter of a single landmark, new in each frame
    hip_bias: float = 0.035  # the pelvis's constant offset in a clip
    hip_drift: float = 0.015  # and its wandering
    speed_gain: float = 0.15  # errors grow by this share per m/s of the landmark
    occlusion_gain: float = 1.0  # and by this share for a landmark behind the body
    truncation_gain: float = 2.5  # and outside the frame
    swap_rate: float = 0.0016  # left and right exchanged: the whole body, the legs or the arms
    swap_frames: tuple[int, int] = (5, 40)
    lost_rate: float = 0.002  # a limb drifts to a wrong place
    lost_frames: tuple[int, int] = (6, 40)
    lost_offset: float = 0.18
    outlier_rate: float = 0.004  # one or two frames are far off
    outlier_offset: float = 0.08
    dropout_rate: float = 0.0012  # nobody is seen
    dropout_frames: tuple[int, int] = (1, 15)
    min_in_frame: float = 0.3  # nor where fewer landmarks than this share lie in the frame
    # Errors of the 3D landmarks alone.
    depth_slope: tuple[float, float] = (0.5, 1.0)  # predicted over true depth, one number a clip
    limb_depth: float = 0.27  # relative error of each limb's depth, wandering
    bone_direction: float = 0.095  # wandering of each bone's end, in bone lengths
    bone_length: float = 0.10  # relative, constant in a clip, the same left and right
    tilt: float = (
        10.0  # degrees the trunk leans wrongly (about x and about z), constant in a clip; the legs half
    )
    tilt_drift: float = 4.0
    jitter_3d: float = 0.002
    average_size: float = 1.0  # 1: the skeleton always has AVERAGE_SIZE; 0: the true size
    crop_view: float = (
        1.0  # 1: the detector sees a crop and knows nothing of where in the view it lies; 0: it does
    )
    # Visibility = sigmoid(logit - falls).
    visibility_logit: float = 5.0
    visibility_spread: float = 1.2
    occlusion_fall: float = 4.0
    error_fall: float = 8.0  # per metre of error
    truncation_fall: float = 5.0
    lost_fall: float = 4.0
    outlier_fall: float = 2.0

    @classmethod
    def none(cls) -> "DetectorNoise":
        """A perfect detector: true places, visibility 1, everything seen."""
        off = {}
        for field in dataclasses.fields(cls):
            keep = isinstance(field.default, tuple) or field.name == "timescale"
            off[field.name] = field.default if keep else 0.0
        return cls(**{**off, "depth_slope": (1.0, 1.0), "visibility_logit": 100.0})


def detect(
    key: jax.Array, points: jax.Array, focal_length: jax.Array, image_size: jax.Array, noise: DetectorNoise
) -> dict[str, jax.Array]:
    """The detector's view of true landmarks.

    Args:
      key: JAX random key.
      points: (B, T, 33, 3) true BlazePose landmarks, camera frame, metres.
      focal_length: (B,) the true one, px. image_size: (B, 2) = [height, width].
      noise: sizes of the errors.

    Returns:
      landmarks_2d (B, T, 33, 3) [x px, y px, visibility], landmarks_3d (B, T, 33, 3) metres about the mid-hip in
      camera axes, seen (B, T) bool; all-zero landmarks where not seen.
    """
    dice = _Dice(key, *points.shape[:2], noise.timescale)
    severity = _between(noise.severity, dice.clip_chance(1, 1))[:, None]
    size = image_size[:, None, None, :]
    pixels = project(points, focal_length[:, None, None], size)
    outside = _outside(pixels, size)
    hidden = _occlusion(points)
    error, lowered = _picture_error(dice, points, hidden, outside, severity, noise)

    wrong = points + error * jnp.array([1.0, 1.0, 0.0])
    pixels = project(wrong, focal_length[:, None, None], size)
    logit = noise.visibility_logit - noise.occlusion_fall * hidden - noise.truncation_fall * outside - lowered
    logit = logit - noise.error_fall * jnp.linalg.norm(error, axis=-1)
    logit = logit + noise.visibility_spread * dice.wander(17)[:, :, _PART]
    landmarks_2d = jnp.concatenate([pixels, jax.nn.sigmoid(logit)[..., None]], axis=-1)
    landmarks_3d = _world_landmarks(dice, points, error, severity, noise)

    swapped = _swaps(dice, noise)[..., None]
    landmarks_2d = jnp.where(swapped, landmarks_2d[:, :, BLAZEPOSE_MIRROR], landmarks_2d)
    landmarks_3d = jnp.where(swapped, landmarks_3d[:, :, BLAZEPOSE_MIRROR], landmarks_3d)
    dropped, _ = _events(dice, noise.dropout_rate, noise.dropout_frames)
    seen = ~dropped & (jnp.mean(outside < 0.5, axis=-1) >= noise.min_in_frame)
    blank = seen[..., None, None]
    return dict(
        landmarks_2d=jnp.where(blank, landmarks_2d, 0.0),
        landmarks_3d=jnp.where(blank, landmarks_3d, 0.0),
        seen=seen,
    )


def _picture_error(dice, points, hidden, outside, severity, noise):
    """Displacement of each landmark in metres (B, T, 33, 3), and how far its visibility logit falls (B, T, 33)."""
    step = jnp.diff(points, axis=1, prepend=points[:, :1])
    speed = jnp.minimum(30.0 * jnp.linalg.norm(step, axis=-1), 6.0)
    gain = 1 + noise.speed_gain * speed + noise.occlusion_gain * hidden + noise.truncation_gain * outside

    outlier, _ = _events(dice, noise.outlier_rate, (1, 2))
    outlier = outlier[..., None, None]
    error = noise.slow * dice.wander(17, 3)[:, :, _PART]
    error = error + (noise.fast + noise.outlier_offset * outlier) * dice.jitter(33, 3)
    error = error * _SHARE[:, None] * gain[..., None]
    error = error + noise.outlier_offset * outlier * dice.jitter(1, 3)
    hips = noise.hip_bias * dice.clip(1, 1, 3) + noise.hip_drift * dice.wander(1, 3)
    error = error + hips * _HIPS[:, None]

    lost, since = _events(dice, noise.lost_rate, noise.lost_frames)
    limb = _hold(_choice(dice.chance(), 4), since)
    offset = _hold(noise.lost_offset * dice.jitter(3), since)
    reach = jnp.asarray(_LIMB_REACH)[limb] * _soften(lost)[..., None]
    error = error + reach[..., None] * offset[..., None, :]
    return severity * error, noise.lost_fall * reach + noise.outlier_fall * outlier[..., 0]


def _world_landmarks(dice, points, error, severity, noise):
    """The detector's 3D landmarks about the mid-hip, (B, T, 33, 3)."""
    body = points - _middle(points)
    # A crop shows the body as if the camera looked straight at it.
    body = jnp.einsum("btij,btkj->btki", _crop_rotation(_middle(points)[:, :, 0], noise.crop_view), body)
    bones = jnp.einsum("lk,btkc->btlc", _TO_BONES, body)
    length = jnp.linalg.norm(bones, axis=-1, keepdims=True)

    stretch = dice.clip(1, 33, 1)
    stretch = (stretch + stretch[:, :, BLAZEPOSE_MIRROR]) / math.sqrt(2)
    bones = bones * jnp.exp(noise.bone_length * severity * stretch)
    slope = _between(noise.depth_slope, dice.clip_chance(1, 1))
    depth = slope * (1 + noise.limb_depth * severity[..., 0] * dice.wander(6)[:, :, _LIMB])
    bones = bones * jnp.stack([jnp.ones_like(depth), jnp.ones_like(depth), depth], axis=-1)
    turn = noise.bone_direction * dice.wander(17, 3)[:, :, _PART]
    bones = bones + severity * length * turn * jnp.array([0.7, 0.7, 1.4])

    lean = noise.tilt * dice.clip(1, 2, 2) + noise.tilt_drift * dice.wander(2, 2)
    lean = jnp.deg2rad(severity * lean * jnp.array([[1.0], [0.5]]))
    lean = jnp.stack([lean[..., 0], jnp.zeros_like(lean[..., 0]), lean[..., 1]], axis=-1)
    trunk, legs = jnp.moveaxis(axis_angle_to_matrix(lean), 2, 0)
    upper = jnp.einsum("btij,btkj->btki", trunk, bones[:, :, :23])
    lower = jnp.einsum("btij,btkj->btki", legs, bones[:, :, 23:])
    body = jnp.einsum("kl,btlc->btkc", _FROM_BONES, jnp.concatenate([upper, lower], axis=2))

    body = body + error + noise.jitter_3d * severity * dice.jitter(33, 3)
    body = body - _middle(body)
    size = jnp.mean(length[..., 0] @ _SIZE, axis=1)
    scale = (AVERAGE_SIZE / jnp.maximum(size, 0.1)) ** noise.average_size
    return body * scale[:, None, None, None]


def _occlusion(points):
    """How much of each landmark other parts of the body hide, (B, T, 33) in 0..1.

    The trunk, the head and the thighs are balls; a landmark well behind one, within its outline, is hidden.
    """
    balls = jnp.einsum("sk,btkc->btsc", _BALLS, points)
    apart = points[:, :, :, None] - balls[:, :, None]
    aside = jnp.sqrt(jnp.sum(apart[..., :2] ** 2, axis=-1))
    inside = jax.nn.sigmoid((_BALL_RADII - aside) / 0.02)
    behind = jax.nn.sigmoid((apart[..., 2] - 0.07) / 0.02)
    return 1 - jnp.prod(1 - inside * behind, axis=-1)


def _outside(pixels, size):
    """How far each landmark lies outside the frame, (B, T, 33): 0 inside, 1 from a tenth of the frame on."""
    limit = size[..., ::-1]
    beyond = jnp.maximum(-pixels, pixels - limit) / (0.1 * jnp.min(limit, axis=-1, keepdims=True))
    return jnp.clip(jnp.max(beyond, axis=-1), 0.0, 1.0)


def _swaps(dice, noise):
    """Which landmarks carry their partner's place, (B, T, 33) bool."""
    active, since = _events(dice, noise.swap_rate, noise.swap_frames)
    kind = _hold(_choice(dice.chance(), 3), since)
    return active[..., None] & jnp.asarray(SWAP_GROUPS)[kind]


def _events(dice, rate, frames):
    """Events that start at random frames and last a random number of them.

    Returns:
      active (B, T) bool, and the frame in which the latest one started (B, T) int32: the index for `_hold`.
    """
    starts, length = dice.chance() < rate, frames[0] + _choice(dice.chance(), frames[1] - frames[0] + 1)
    frame = jnp.arange(starts.shape[1])
    end = jax.lax.cummax(jnp.where(starts, frame + length, 0), axis=1)
    return frame < end, jax.lax.cummax(jnp.where(starts, frame, 0), axis=1)


def _hold(values, since):
    """Keeps what was drawn for the event's first frame: (B, T, ...), (B, T) -> (B, T, ...)."""
    return jnp.take_along_axis(values, since.reshape(*since.shape, *[1] * (values.ndim - 2)), axis=1)


def _soften(active):
    """(B, T) bool -> (B, T) in 0..1 with ramps of two frames on both sides."""
    padded = jnp.pad(active.astype(jnp.float32), ((0, 0), (2, 2)), mode="edge")
    return sum(padded[:, i : i + active.shape[1]] for i in range(5)) / 5


class _Dice:
    """All random numbers of a batch of clips, drawn in few calls (each costs seconds to compile) and dealt out.

    Every method takes a shape and returns fresh numbers of shape (B, T, *shape); those named clip, (B, *shape).
    """

    def __init__(self, key, clips, frames, timescale):
        keys = jax.random.split(key, 5)
        white = jax.random.normal(keys[0], (frames, clips, 132))
        # Slow and smooth, stationary, unit variance.
        self.wander = _dealer(jnp.einsum("ts,sbk->btk", _smooth_mixing(frames, timescale), white))
        self.jitter = _dealer(jax.random.normal(keys[1], (clips, frames, 204)))  # white, unit variance
        self.chance = _dealer(jax.random.uniform(keys[2], (clips, frames, 10)))  # uniform in 0..1
        self.clip = _dealer(jax.random.normal(keys[3], (clips, 40)))
        self.clip_chance = _dealer(jax.random.uniform(keys[4], (clips, 2)))


@functools.lru_cache(maxsize=16)
def _smooth_mixing(frames, timescale):
    """(T, T) whose product with white noise has the Matern-3/2 covariance (1 + a) exp(-a), a = sqrt(3) |dt| / timescale."""
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


def _between(bounds, chance):
    return bounds[0] + (bounds[1] - bounds[0]) * chance


def _choice(chance, count):
    """Uniform numbers -> one of 0 .. count - 1."""
    return jnp.minimum((chance * count).astype(jnp.int32), count - 1)


def _crop_rotation(middle, share):
    """Turns the ray to `middle` (B, T, 3) by `share` of the way into the optical axis, (B, T, 3, 3)."""
    x, y, z = middle[..., 0], middle[..., 1], middle[..., 2]
    aside = jnp.sqrt(x * x + y * y + 1e-12)
    angle = share * jnp.arctan2(aside, z) / aside
    return axis_angle_to_matrix(jnp.stack([y * angle, -x * angle, jnp.zeros_like(x)], axis=-1))


def _middle(points):
    return (points[..., 23:24, :] + points[..., 24:25, :]) / 2


def _rows(table: dict[str, float], default: float = 0.0) -> np.ndarray:
    """(33,) float32: the number of the first key that the landmark's name contains."""
    values = [next((v for k, v in table.items() if k in name), default) for name in BLAZEPOSE_LANDMARKS]
    return np.array(values, np.float32)


_HIPS = _rows({"hip": 1.0})
# The noise of a landmark over that of an elbow or a knee.
_SHARE = _rows(
    {
        "shoulder": 0.9,
        "hip": 0.8,
        "elbow": 1.0,
        "wrist": 1.3,
        "knee": 1.0,
        "ankle": 1.1,
        "eye": 0.5,
        "ear": 0.5,
        "nose": 0.5,
        "mouth": 0.5,
    },
    default=1.4,
)
_HANDS = ("wrist", "pinky", "index", "thumb")


def _side(name: str) -> int:
    return 1 if name.startswith("right") else 0


def _part_of(name: str) -> int:
    """The body part, 0 the head, then pairs: shoulder, hip, elbow, wrist, hand, knee, ankle, foot."""
    if "foot" in name or "heel" in name:
        return 15 + _side(name)
    for index, part in enumerate(("shoulder", "hip", "elbow", "wrist", "", "knee", "ankle")):
        if part and part in name:
            return 1 + 2 * index + _side(name)
    return 9 + _side(name) if any(part in name for part in ("pinky", "index", "thumb")) else 0


def _limb_of(name: str) -> int:
    """0 trunk, 1 head, 2 and 3 arms, 4 and 5 legs."""
    part = _part_of(name)
    return 0 if 1 <= part <= 4 else 1 if part == 0 else (2 if part <= 10 else 4) + _side(name)


_PART = np.array([_part_of(name) for name in BLAZEPOSE_LANDMARKS])
_LIMB = np.array([_limb_of(name) for name in BLAZEPOSE_LANDMARKS])
_DISTAL = np.where(np.isin(_PART, (5, 6, 11, 12)), 0.5, 1.0)
_LIMB_REACH = np.stack([np.where(limb == _LIMB, _DISTAL, 0.0) for limb in (2, 3, 4, 5)]).astype(np.float32)
_INDEX = np.arange(33)
# Which landmarks a swap of left and right takes: the whole body's, the legs', the arms'.
SWAP_GROUPS = np.stack([_INDEX >= 11, _INDEX >= 23, (_INDEX >= 11) & (_INDEX < 23)])


def _bone_matrices() -> tuple[np.ndarray, np.ndarray]:
    """Landmarks about the mid-hip -> bones from the landmark nearer to the trunk, (33, 33), and the way back."""
    at = BLAZEPOSE_LANDMARKS.index
    nearer = {
        "elbow": "shoulder",
        "wrist": "elbow",
        "pinky": "wrist",
        "index": "wrist",
        "thumb": "wrist",
        "knee": "hip",
        "ankle": "knee",
        "heel": "ankle",
        "foot_index": "ankle",
    }
    matrix = np.eye(33, dtype=np.float32)
    for row, name in enumerate(BLAZEPOSE_LANDMARKS):
        side, _, part = name.partition("_")
        if part in nearer:
            matrix[row, at(f"{side}_{nearer[part]}")] -= 1
        elif row < 11:
            matrix[row, [at("left_shoulder"), at("right_shoulder")]] -= 0.5
    return matrix, np.linalg.inv(matrix).astype(np.float32)


def _balls() -> tuple[np.ndarray, np.ndarray]:
    """Balls that hide what is behind them: weights over the landmarks (7, 33) and radii (7,) in metres."""
    at = BLAZEPOSE_LANDMARKS.index
    shoulders, hips = [at("left_shoulder"), at("right_shoulder")], [at("left_hip"), at("right_hip")]
    rows, radii = [], []
    for share, radius in ((0.9, 0.15), (0.5, 0.14), (0.1, 0.15)):
        row = np.zeros(33)
        row[shoulders], row[hips] = share / 2, (1 - share) / 2
        rows.append(row)
        radii.append(radius)
    row = np.zeros(33)
    row[[at("left_ear"), at("right_ear")]] = 0.5
    rows.append(row)
    radii.append(0.1)
    for side in ("left", "right"):
        row = np.zeros(33)
        row[[at(f"{side}_hip"), at(f"{side}_knee")]] = 0.5
        rows.append(row)
        radii.append(0.08)
    return np.stack(rows).astype(np.float32), np.array(radii, np.float32)


_TO_BONES, _FROM_BONES = _bone_matrices()
_BALLS, _BALL_RADII = _balls()
_SIZE = _rows({"shoulder": 0.5, "knee": 0.5, "ankle": 0.5})  # trunk + thigh + shank from bone lengths
