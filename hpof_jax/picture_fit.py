"""The problem that `hpof_jax.refine` solves in a window of a clip: its terms, and their minimisation.

The unknowns are a correction at each of K knots: turns of the 24 joints in their own axes, radians, and a shift of the
body, as a share of its distance. Between knots it is interpolated. The terms are parts of a negative log posterior:

- the prior: corrections are small and change slowly, a first-order Gauss-Markov process over the knots;
- `landmarks`: robust reprojection error of the 33 landmarks, in units of the detector's noise;
- `silhouette`, `flow_silhouette` and `vertex_flow`: see `hpof_jax.geometry.picture_losses`;
- `limits`: joints stay within anatomical limits, or within what the network's answer has.

Adam (Kingma and Ba, ICLR 2015) minimises their weighted sum.
"""

import functools
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.joint_limits import JOINT_LIMITS
from hpof_jax.body.kinematics import forward_kinematics
from hpof_jax.body.model import BodyModel, keypoints, rest_joints, skin
from hpof_jax.body.skeletons import BLAZEPOSE_CARRIERS, SMPL_JOINTS, indices_of
from hpof_jax.geometry import camera, picture_losses
from hpof_jax.geometry.rasterizer import soft_silhouette
from hpof_jax.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from hpof_jax.geometry.visibility import in_front

TERMS = ("landmarks", "silhouette", "limits", "flow_silhouette", "vertex_flow")
STATISTICS = pathlib.Path(__file__).parent / "assets" / "fit_statistics.npz"
RATE = 0.12  # the first size of Adam's steps, in standard deviations of the prior
MEMORY = 0.8  # correlation of the correction with that of the knot before
STEADY = 5.0  # knots: standard deviation of the mean over time of the change of depth
INDEPENDENT = 6.0  # landmarks that a frame's 33 count as: their errors are correlated
LIMIT_SIGMA = 0.1  # radians beyond a joint's limit
STEP = 4  # every fourth row and column of the flow is enough


class Evidence(NamedTuple):
    """What a window's fit takes: K knots, each with P frames, the knot's own and in mode "full" also the next one."""

    pose: jax.Array  # (K, P, 24, 3) the network's axis-angles
    pelvis: jax.Array  # (K, P, 3) metres
    later: jax.Array  # (P,) place of the frames between a knot and the next one, from 0 to 1
    landmarks: jax.Array  # (K, P, 33, 3) [x px, y px, visibility]
    seen: jax.Array  # (K, P) bool
    box: jax.Array  # (K, P, 3) [centre x, centre y, size] px
    masks: jax.Array  # (K, P, R, R) in 0..1
    known: jax.Array  # (K, P, R, R) bool, not in the masks of other people
    flow: jax.Array | None  # (K, 2, R, R, 2) px of the boxes, between the two frames of each knot
    flow_valid: jax.Array | None  # (K, 2, R, R) bool


class Camera(NamedTuple):
    focal_length: jax.Array  # () px
    image_size: jax.Array  # (2,) [height, width] px


class Statistics(NamedTuple):
    """Of the detector and of the network on rendered people, see `benchmarks/fit_statistics.py`."""

    offsets: jax.Array  # (33, 3) metres, axes of the joint that carries the landmark
    edges: jax.Array  # (B + 1,) bins of visibility
    sigmas: jax.Array  # (B, 33) metres
    factor: jax.Array  # (75, 75) of the covariance of the network's errors


@functools.cache
def load_statistics() -> Statistics:
    """The statistics of the package's weights and detector."""
    with np.load(STATISTICS, allow_pickle=False) as table:
        return Statistics(*(np.asarray(table[name]) for name in Statistics._fields))


@jax.jit
def solve(
    steps: jax.Array,
    body: BodyModel,
    outline: BodyModel,
    betas: jax.Array,
    statistics: Statistics,
    lens: Camera,
    weights: Mapping[str, jax.Array],
    evidence: Evidence,
) -> jax.Array:
    """The correction at the knots, (K, 25, 3): the joints' turns, then the shift.

    Args:
      steps: () int, of Adam.
      outline: a coarse body, whose silhouettes are drawn.
      betas: (10,).
      weights: of the terms in `TERMS`; those without a weight are not computed.
    """
    side, zero = evidence.masks.shape[-1], jnp.zeros((len(evidence.pose), 75))
    shown = jnp.any(evidence.seen, axis=1)
    steady = _smoothing(shown)

    def correction(z):
        found = (shown[:, None] * (z @ statistics.factor.T)).reshape(-1, 25, 3)
        return found.at[:, 24, 2].set(steady @ found[:, 24, 2])

    visible = None
    if "vertex_flow" in weights:
        answer = _drawn(outline, betas, lens, evidence, correction(zero))
        visible = in_front(answer.points, answer.depth, outline.faces, side)

    def loss(z):
        change = (z[1:] - MEMORY * z[:-1]) / np.sqrt(1 - MEMORY**2)
        prior = 0.5 * (jnp.sum(z[0] ** 2) + jnp.sum(change**2))
        terms = _terms(weights, body, outline, betas, statistics, lens, evidence, visible, correction(z))
        return prior + sum(weights[name] * value for name, value in terms.items())

    def step(count, state):
        z, mean, square = state
        gradient = jnp.nan_to_num(jax.grad(loss)(z))
        mean, square = 0.9 * mean + 0.1 * gradient, 0.95 * square + 0.05 * gradient**2
        scale = RATE * (1 - count / steps) / (1 - 0.9 ** (count + 1.0))
        z = z - scale * mean / (jnp.sqrt(square / (1 - 0.95 ** (count + 1.0))) + 1e-3)
        return z, mean, square

    return correction(jax.lax.fori_loop(0, steps, step, (zero, zero, zero))[0])


def _smoothing(shown: jax.Array) -> jax.Array:
    """(K, K) the mean over the knots nearby that show the person; 0 in the others.

    A person's depth changes smoothly, but the silhouette's size tells it anew in each frame.
    """
    knots = np.arange(len(shown))
    near = np.exp(-0.5 * (np.subtract.outer(knots, knots) / STEADY) ** 2) * shown
    return shown[:, None] * near / jnp.maximum(jnp.sum(near, axis=1, keepdims=True), 1e-6)


class _Drawn(NamedTuple):
    """The coarse body in each frame."""

    points: jax.Array  # (K, P, V, 2) pixels of the boxes
    depth: jax.Array  # (K, P, V) metres
    silhouettes: jax.Array  # (K, P, R, R)


def _drawn(outline, betas, lens, evidence, correction) -> _Drawn:
    rotations, pelvis = _placed(evidence, correction)
    vertices, joints = skin(outline, betas, rotations)
    vertices = vertices + (pelvis - joints[..., 0, :])[..., None, :]
    pixels = camera.project(vertices, lens.focal_length, lens.image_size)
    points, depth = (
        (camera.to_box(pixels, evidence.box) + 1.0) * (evidence.masks.shape[-1] / 2),
        vertices[..., 2],
    )
    there = jnp.where(depth[..., None] > camera.MIN_DEPTH, points, jnp.nan)
    return _Drawn(points, depth, soft_silhouette(there, outline.faces, evidence.masks.shape[-2:], sigma=0.0))


def _placed(evidence, correction):
    """Rotations (K, P, 24, 3, 3) and pelvis (K, P, 3) of all frames, corrected."""
    following = jnp.concatenate([correction[1:], correction[-1:]])
    later = evidence.later[:, None, None]
    between = correction[:, None] * (1 - later) + following[:, None] * later
    return moved(evidence.pose, evidence.pelvis, between)


def moved(pose: jax.Array, pelvis: jax.Array, correction: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rotations (..., 24, 3, 3) and pelvis (..., 3) of poses (..., 24, 3) after corrections (..., 25, 3)."""
    rotations = axis_angle_to_matrix(pose) @ axis_angle_to_matrix(correction[..., :24, :])
    across, along = correction[..., 24, :2], correction[..., 24, 2:]
    sideways = jnp.concatenate([across, jnp.zeros_like(along)], axis=-1)
    return rotations, pelvis * (1 + along) + sideways * pelvis[..., 2:]  # in depth along the line of sight


def _misfit(drawn, lens, evidence):
    """1 - IoU of body and mask, (K, P)."""
    known = picture_losses.in_frame(evidence.box, lens.image_size, evidence.masks.shape[-1])
    return picture_losses.silhouette(drawn.silhouettes, evidence.masks, known * evidence.known)


def _terms(
    weights, body, outline, betas, statistics, lens, evidence, visible, correction
) -> dict[str, jax.Array]:
    """The terms that `weights` names, each a sum over the knots."""
    drawn = _drawn(outline, betas, lens, evidence, correction)
    rotations, pelvis = _placed(evidence, correction)
    terms = {}
    if "landmarks" in weights:
        errors = _landmark_errors(body, betas, statistics, lens, evidence, rotations, pelvis)
        terms["landmarks"] = jnp.sum(jnp.mean(evidence.seen * errors, axis=1))
    if "silhouette" in weights:
        terms["silhouette"] = jnp.sum(jnp.mean(evidence.seen * _misfit(drawn, lens, evidence), axis=1))
    if "limits" in weights:
        terms["limits"] = jnp.sum(_beyond_limits(evidence.pose[:, 0], rotations[:, 0]))
    if evidence.flow is not None:
        flow, valid = evidence.flow[:, None], evidence.flow_valid[:, None]
        if "flow_silhouette" in weights:
            terms["flow_silhouette"] = _mean_by_knot(
                *picture_losses.flow_silhouette(drawn.silhouettes, flow, valid, STEP)
            )
        if "vertex_flow" in weights:
            # At the body's edge the flow mixes that of the body and of the background.
            on_body = valid & (evidence.masks[:, None] > 0.5)
            terms["vertex_flow"] = _mean_by_knot(
                *picture_losses.vertex_flow(drawn.points, flow, on_body, visible)
            )
    return terms


def _landmark_errors(body, betas, statistics, lens, evidence, rotations, pelvis):
    """Robust reprojection errors in units of the noise, (K, P), each like that of `INDEPENDENT` landmarks."""
    points, joints = detected_landmarks(body, betas, rotations, statistics)
    points = points + (pelvis - joints[..., 0, :])[..., None, :]
    pixels = camera.project(points, lens.focal_length, lens.image_size)
    errors = (pixels - evidence.landmarks[..., :2]) * points[..., 2:] / lens.focal_length
    bins = jnp.searchsorted(statistics.edges[1:-1], evidence.landmarks[..., 2])
    sigmas = jnp.asarray(statistics.sigmas)[bins, np.arange(points.shape[-2])]
    square = jnp.sum(errors**2, axis=-1) / sigmas**2
    return INDEPENDENT * jnp.mean(2.0 * jnp.log1p(square / 4.0), axis=-1)


def detected_landmarks(
    body: BodyModel, betas: jax.Array, rotations: jax.Array, statistics: Statistics
) -> tuple[jax.Array, jax.Array]:
    """Where the detector sees the landmarks of a body, on average, (..., 33, 3), and the joints (..., 24, 3); metres.

    Args:
      betas: (10,). rotations: (..., 24, 3, 3).
    """
    points, joints = keypoints(body, body.landmarks, betas, rotations)
    world, _ = forward_kinematics(rest_joints(body, betas), rotations, body.parents)
    carried = jnp.take(world, indices_of(BLAZEPOSE_CARRIERS, SMPL_JOINTS), axis=-3)
    return points + jnp.einsum("...kij,kj->...ki", carried, statistics.offsets), joints


def _beyond_limits(before, rotations):
    """Squared excess over the joints' limits, or over the values `before` (K, 24, 3) where these exceed them: (K,)."""
    low, high = jnp.minimum(before, JOINT_LIMITS[..., 0]), jnp.maximum(before, JOINT_LIMITS[..., 1])
    now = matrix_to_axis_angle(rotations)
    excess = jnp.maximum(now - high, 0.0) + jnp.maximum(low - now, 0.0)
    return 0.5 * jnp.sum((excess[:, 1:] / LIMIT_SIGMA) ** 2, axis=(-1, -2))


def _mean_by_knot(errors, mask):
    """The sum over the knots of each one's mean over the mask, from (K, ...) arrays."""
    axes = tuple(range(1, errors.ndim))
    total = jnp.sum(jnp.where(mask, errors, 0.0), axis=axes)
    return jnp.sum(total / jnp.maximum(jnp.sum(mask, axis=axes), 1))
