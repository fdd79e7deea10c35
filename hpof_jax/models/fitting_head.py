"""The fitting head: a few Gauss-Newton steps from the model's first answer towards the observed landmarks.

The head poses the body, projects its landmarks, compares them with the observed ones and corrects pose and camera, as
LGD (Song et al., ECCV 2020) and ReFit (Wang and Daniilidis, ICCV 2023) do with learned updates. Here each step is a
maximum a posteriori estimate, and the network predicts its precisions: those of every landmark in 2D and in 3D, of
its own pose and of its own camera. `normal_equations` solves for it.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel, keypoints, rest_joints
from hpof_jax.body.skeletons import (
    BLAZEPOSE_CARRIERS,
    BLAZEPOSE_HIPS,
    SMPL_JOINTS,
    SMPL_PARENTS,
    indices_of,
    tree_levels,
)
from hpof_jax.geometry.camera import MIN_DEPTH
from hpof_jax.models.inputs import LANDMARKS, read_features
from hpof_jax.models.normal_equations import Linearisation, Prior, Residuals, map_step

JOINTS = len(SMPL_JOINTS)
# Landmarks stand in the order of the joints that carry them.
ORDER = np.argsort(indices_of(BLAZEPOSE_CARRIERS, SMPL_JOINTS), kind="stable").astype(np.int32)
CARRIERS = tuple(indices_of(BLAZEPOSE_CARRIERS, SMPL_JOINTS)[ORDER].tolist())
HIPS = np.flatnonzero(np.isin(ORDER, BLAZEPOSE_HIPS))
# What a log weight of 0 stands for, standard deviations: of 2D landmarks in half-boxes, of 3D landmarks in metres, of
# turns in radians, of the camera's log scale and place in metres.
SIGMA_2D, SIGMA_3D, SIGMA_POSE, SIGMA_CAMERA = 0.06, 0.2, 0.2, 0.1
ROBUST_2D, ROBUST_3D = 0.15, 0.3  # half-boxes and metres; residuals of this size weigh half (Geman-McClure)
LARGEST_CORRECTION_2D, LARGEST_CORRECTION_3D = 0.2, 0.2  # of a landmark: half-boxes, metres
LIMIT = 3.0  # of log weights: precisions differ by a factor of exp(6) at most
LONGEST_TURN = 0.7  # radians of a joint in one step: the linearisation holds no further
LARGEST_MOVE = 0.7  # of a camera parameter in one step


class FittingHead(nn.Module):
    """Corrects a prediction by what was observed; an unseen frame stays as it is.

    Frames do not influence each other, and the shape stays. The gradient is the implicit derivative of the last step:
    it reaches the precisions, the landmark offsets and, through the prior, the first answer. Linearisation, shape and
    earlier steps count as constant.
    """

    steps: int = 2
    hidden: int = 128
    block: int = 256  # frames that are computed at a time, for the processor's cache; 0: all

    @nn.compact
    def __call__(
        self,
        encoded: jax.Array,
        features: jax.Array,
        betas: jax.Array,
        rotations: jax.Array,
        cam: jax.Array,
        body: BodyModel,
    ) -> tuple[jax.Array, jax.Array]:
        """The corrected pose and camera.

        Args:
          encoded: (B, T, C) of the encoder.
          features: (B, T, NUM_FEATURES) of the inputs.
          betas: (B, S, 10), rotations: (B, T, 24, 3, 3) and cam: (B, T, 3) of the first answer.

        Returns:
          rotations (B, T, 24, 3, 3) and cam (B, T, 3).
        """
        observed = read_features(features)
        misfit = _misfit(body, *jax.lax.stop_gradient((betas, rotations, cam)), observed)
        known = jnp.concatenate([encoded, features, misfit], axis=-1)
        known = nn.gelu(nn.Dense(self.hidden, name="hidden")(known))
        ends = np.cumsum([LANDMARKS, 2 * LANDMARKS, JOINTS])
        head = nn.Dense(int(ends[-1]) + 3, kernel_init=nn.initializers.zeros, name="log_weights")
        logs = LIMIT * jnp.tanh(head(known) / LIMIT)
        # The encoder sees the frames around: it says where the landmarks are rather than where they were observed.
        moves = nn.Dense(5 * LANDMARKS, kernel_init=nn.initializers.zeros, name="corrections")(known)
        moves = jnp.tanh(moves.reshape(*moves.shape[:2], LANDMARKS, 5))
        # The detector's landmarks are not the body's: constant offsets in the axes of the joint, metres.
        offsets = self.param("offsets", nn.initializers.zeros, (LANDMARKS, 3))
        # The detector shows everybody in the same size.
        log_size = self.param("log_size", nn.initializers.zeros, ())
        if self.is_initializing():  # the steps have no parameters, and take long to compile
            return rotations, cam
        rest, arms = _rest(body, jax.lax.stop_gradient(betas))
        scale = jnp.exp(log_size) * _size(rest) / _size(body.J_template)
        observed = observed._replace(
            points=observed.points + LARGEST_CORRECTION_2D * moves[..., :2],
            landmarks_3d=observed.landmarks_3d * scale[..., None, None]
            + LARGEST_CORRECTION_3D * moves[..., 2:],
        )
        weights = _Weights(*(jnp.exp(2.0 * part) for part in jnp.split(logs, ends, axis=-1)))
        frames = cam.shape[:2]
        skeleton = (jnp.broadcast_to(x, (*frames, *x.shape[2:])) for x in (rest, arms + offsets))
        arguments = (rotations, cam, *skeleton, observed, weights)
        arguments = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), arguments)
        rotations, cam = self._in_blocks(arguments)
        return rotations.reshape(*frames, JOINTS, 3, 3), cam.reshape(*frames, 3)

    def _in_blocks(self, arguments):
        frames = arguments[1].shape[0]
        if not self.block or jax.export.is_symbolic_dim(frames) or frames <= self.block:
            return _fit(self.steps, *arguments)
        blocks = -(-frames // self.block)

        def cut(x):
            x = jnp.pad(x, [(0, blocks * self.block - frames), *[(0, 0)] * (x.ndim - 1)], mode="edge")
            return x.reshape(blocks, self.block, *x.shape[1:])

        result = jax.lax.map(lambda block: _fit(self.steps, *block), jax.tree.map(cut, arguments))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:frames], result)


class _Weights(NamedTuple):
    """Factors of the precisions, frames first or last."""

    landmarks_2d: jax.Array  # 33
    landmarks_3d: jax.Array  # 66: across the line of sight, then in depth
    pose: jax.Array  # 24
    camera: jax.Array  # 3


class _State(NamedTuple):
    """Pose and camera, as planes over F frames."""

    rotations: jax.Array  # (3, 3, 24, F) relative to the parents
    camera: jax.Array  # (3, F) [log s, tx, ty]
    turned: jax.Array  # (3, 24, F) the turns so far, radians in the joint's axes
    moved: jax.Array  # (3, F) the changes of the camera so far


def _misfit(body, betas, rotations, cam, observed):
    """What the prediction misses: observed minus predicted landmarks (B, T, 165), in units of 1; 0 where unknown."""
    points, joints = keypoints(body, body.landmarks, betas, rotations)
    planes = jnp.moveaxis(points - joints[..., :1, :], (-1, -2), (0, 1))
    camera = jnp.moveaxis(jnp.concatenate([jnp.log(cam[..., :1]), cam[..., 1:]], axis=-1), -1, 0)
    _, predicted = _project(planes, camera, jnp.moveaxis(observed.place, -1, 0))
    hips = jnp.mean(points[..., np.array(BLAZEPOSE_HIPS), :], axis=-2, keepdims=True)
    misfit_2d = (observed.points - jnp.moveaxis(predicted, (0, 1), (-1, -2))) * observed.there[
        ..., None, None
    ]
    misfit_3d = (observed.landmarks_3d - (points - hips)) * observed.has_3d[..., None, None]
    parts = [jnp.clip(part * 3.0, -1.5, 1.5).reshape(*cam.shape[:2], -1) for part in (misfit_2d, misfit_3d)]
    return jnp.concatenate(parts, axis=-1)


def _rest(body, betas):
    """Rest joints (B, S, 24, 3), and from the joint that carries a landmark to the landmark (B, S, 33, 3)."""
    basis = body.landmarks
    blend = basis.blend[: 1 + body.num_betas].reshape(1 + body.num_betas, -1, 3)
    blend = jnp.einsum("kn,snc->skc", basis.collect, blend)
    landmarks = blend[0] + jnp.tensordot(betas, blend[1:], axes=1)
    rest = rest_joints(body, betas)
    return rest, landmarks - rest[..., indices_of(BLAZEPOSE_CARRIERS, SMPL_JOINTS), :]


def _size(rest):
    """Trunk, thigh and shank of rest joints (..., 24, 3), metres: (...)."""
    points = [
        (rest[..., SMPL_JOINTS.index(f"left_{part}"), :] + rest[..., SMPL_JOINTS.index(f"right_{part}"), :])
        / 2
        for part in ("shoulder", "hip", "knee", "ankle")
    ]
    return sum(jnp.linalg.norm(a - b, axis=-1) for a, b in zip(points, points[1:], strict=False))


def _fit(steps, rotations, cam, rest, arms, observed, weights):
    """All steps for frames (F, ...)."""
    arms, weights = (
        arms[:, ORDER],
        weights._replace(
            landmarks_2d=weights.landmarks_2d[:, ORDER],
            landmarks_3d=weights.landmarks_3d.reshape(-1, 2, LANDMARKS)[..., ORDER],
        ),
    )
    observed = observed._replace(
        points=observed.points[:, ORDER],
        confidence=observed.confidence[:, ORDER],
        landmarks_3d=observed.landmarks_3d[:, ORDER],
    )
    bones = rest - rest[:, np.maximum(SMPL_PARENTS, 0)]
    # Frames last; of points (F, K, 3) the components first.
    rotations = jnp.transpose(rotations, (2, 3, 1, 0))
    bones, arms, points, landmarks_3d = (
        jnp.transpose(x, (2, 1, 0)) for x in (bones, arms, observed.points, observed.landmarks_3d)
    )
    camera = jnp.concatenate([jnp.log(cam[:, :1]), cam[:, 1:]], axis=-1).T
    observed = observed._replace(
        points=points,
        confidence=observed.confidence.T,
        landmarks_3d=landmarks_3d,
        place=observed.place.T,
    )
    weights = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), weights)
    # Zero, but the gradient of the first answer.
    to_first = _turn_between(rotations), camera - jax.lax.stop_gradient(camera)
    state = _State(rotations, camera, jnp.zeros_like(bones), jnp.zeros_like(camera))

    def step(state, _):  # a loop, because each copy of the step takes seconds to compile
        return _step(jax.lax.stop_gradient(state), to_first, bones, arms, observed, weights), None

    state, _ = jax.lax.scan(step, state, length=steps)
    scale, place = jnp.exp(state.camera[:1]), state.camera[1:]
    return jnp.transpose(state.rotations, (3, 2, 0, 1)), jnp.concatenate([scale, place]).T


def _step(state, to_first, bones, arms, observed, weights):
    world, joints = _pose(state.rotations, bones)
    carried, order = world[:, :, np.array(CARRIERS)], np.array(CARRIERS)
    arms = sum(carried[:, k] * arms[k] for k in range(3))
    points = joints[:, order] + arms
    linear, predicted = _project(points, state.camera, observed.place)
    linear = Linearisation(
        bones=jnp.concatenate([bones[:, :1], joints[:, 1:] - joints[:, SMPL_PARENTS[1:]]], axis=1),
        arms=arms,
        **linear,
    )
    residuals = _residuals(observed, weights, predicted, points)
    prior = Prior(
        pose=weights.pose / SIGMA_POSE**2,
        camera=weights.camera / SIGMA_CAMERA**2,
        turned=_rotate(world, state.turned - to_first[0]),
        moved=state.moved - to_first[1],
    )
    turns, moves = map_step(SMPL_PARENTS, CARRIERS, jax.lax.stop_gradient(linear), residuals, prior)
    turns = sum(world[k] * turns[k] for k in range(3))  # about the joint's own axes
    square = jnp.sum(turns * turns, axis=0)
    turns = turns * (LONGEST_TURN * jax.lax.rsqrt(jnp.maximum(square, LONGEST_TURN**2)))
    moves = jnp.clip(moves, -LARGEST_MOVE, LARGEST_MOVE)
    return _State(
        _compose(state.rotations, _cayley(turns)),
        state.camera + moves,
        state.turned + turns,
        state.moved + moves,
    )


def _pose(rotations, bones):
    """World rotations (3, 3, 24, F) and joints about the pelvis (3, 24, F)."""
    levels = tree_levels(SMPL_PARENTS)
    world, joints = [rotations[:, :, :1]], [jnp.zeros_like(bones[:, :1])]
    for above, level in zip(levels, levels[1:], strict=False):
        up = np.searchsorted(above, np.array(SMPL_PARENTS)[level])
        turn = world[-1][:, :, up]
        joints.append(joints[-1][:, up] + _rotate(turn, bones[:, level]))
        world.append(_compose(turn, rotations[:, :, level]))
    order = np.argsort(np.concatenate(levels))
    return jnp.concatenate(world, axis=2)[:, :, order], jnp.concatenate(joints, axis=1)[:, order]


def _project(points, camera, place):
    """Landmarks about the pelvis (3, K, F) in the box (2, K, F), and the derivative's parts."""
    size = jnp.maximum(place[2], 1e-4)
    depth = 2.0 / (jnp.maximum(jnp.exp(camera[0]), 1e-3) * size)
    middle = place[:2] * depth
    z = jnp.maximum(points[2] + depth, MIN_DEPTH)
    rays = (points[:2] + (camera[1:] + middle)[:, None]) / z
    zero, one = jnp.zeros_like(depth), jnp.ones_like(depth)
    by_camera = jnp.array([[-middle[0], one, zero], [-middle[1], zero, one], [-depth, zero, zero]])
    predicted = (rays - place[:2, None]) * (2.0 / size)
    return {"rays": rays, "zoom": 2.0 / (size * z), "camera": by_camera}, predicted


def _residuals(observed, weights, predicted, points):
    relative = points - jnp.mean(points[:, HIPS], axis=1, keepdims=True)
    residuals_2d, residuals_3d = observed.points - predicted, observed.landmarks_3d - relative
    # A landmark far outside the box was clipped.
    trust = observed.confidence * (jnp.max(jnp.abs(observed.points), axis=0) < 2.99)
    trust_2d, trust_3d = (
        trust / (1.0 + jnp.sum(jax.lax.stop_gradient(x) ** 2, axis=0) / size**2)
        for x, size, trust in (
            (residuals_2d, ROBUST_2D, trust),
            (residuals_3d, ROBUST_3D, observed.confidence * observed.has_3d),
        )
    )
    return Residuals(
        residuals_2d,
        residuals_3d,
        weights.landmarks_2d * trust_2d / SIGMA_2D**2,
        weights.landmarks_3d * trust_3d / SIGMA_3D**2,
    )


def _turn_between(rotations):
    """The turn from rotations to themselves: zero, with the derivative by the second."""
    fixed = jax.lax.stop_gradient(rotations)
    turn = sum(fixed[k, :, None] * rotations[k, None] for k in range(3))
    return jnp.stack([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2.0


def _cayley(turns):
    """Rotations (3, 3, ...) by 2 atan(|turn| / 2) about the turns (3, ...): the Cayley map, smooth at zero."""
    x, y, z = turns / 2.0
    square = x * x + y * y + z * z
    factor = 2.0 / (1.0 + square)
    outer = factor * jnp.array([[x * x, x * y, x * z], [y * x, y * y, y * z], [z * x, z * y, z * z]])
    rest = 1.0 - factor * square
    return outer + jnp.array(
        [[rest, -factor * z, factor * y], [factor * z, rest, -factor * x], [-factor * y, factor * x, rest]]
    )


def _compose(a, b):
    return sum(a[:, k, None] * b[None, k] for k in range(3))


def _rotate(matrix, v):
    return sum(matrix[:, k] * v[k] for k in range(3))
