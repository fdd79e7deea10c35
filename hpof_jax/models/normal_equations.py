"""One Gauss-Newton step of a posed body towards its landmarks, solved along the kinematic tree.

The unknowns of a frame are a small turn of each joint and a change of the camera. A turn moves the landmarks of all
joints below it, so the normal equations are dense: 75 unknowns from 165 residuals. Nothing of that size is made here.
Each body part has a twist, its angular and linear velocity, and the twist of a child is that of its parent, shifted
to the child's joint, plus the child's own turn. Elimination from the hands and feet to the pelvis, as in articulated
body dynamics (Featherstone, 1983), then needs 3x3 matrices alone and takes time linear in the joints.

A twist has two linear velocities. 2D landmarks also move with the camera. 3D landmarks are relative to a point of the
detector's, so they have a translation of their own that is solved for and dropped.

Everything is in camera axes. Arrays are planes: components first, then joints or landmarks, then F frames.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.skeletons import tree_levels

FREE = 1.0  # 1/m^2, precision of the 3D landmarks' common translation: next to none


class Linearisation(NamedTuple):
    """The derivative of the landmarks by the unknowns, for J joints and K landmarks."""

    bones: jax.Array  # (3, J, F) metres, from the parent's joint to the joint; of the root it is not used
    arms: jax.Array  # (3, K, F) metres, from the joint that carries a landmark to the landmark
    rays: jax.Array  # (2, K, F) landmark x/z and y/z in the camera
    zoom: jax.Array  # (K, F) change of a 2D landmark per metre across the line of sight
    camera: jax.Array  # (3, 3, F) movement of the pelvis, metres, per unit of each camera parameter


class Residuals(NamedTuple):
    """Observed minus predicted landmarks, and how far to trust them."""

    landmarks_2d: jax.Array  # (2, K, F)
    landmarks_3d: jax.Array  # (3, K, F) metres
    precision_2d: jax.Array  # (K, F)
    precision_3d: jax.Array  # (2, K, F) 1/m^2, across the line of sight and in depth


class Prior(NamedTuple):
    """How far the unknowns may go, and how far they already went."""

    pose: jax.Array  # (J, F) precision of a joint's turn, 1/rad^2
    camera: jax.Array  # (3, F) precision of the camera parameters
    turned: jax.Array  # (3, J, F) radians from the prior's mean
    moved: jax.Array  # (3, F) camera parameters minus the prior's mean


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def map_step(
    parents: tuple[int, ...],
    carriers: tuple[int, ...],
    linear: Linearisation,
    residuals: Residuals,
    prior: Prior,
) -> tuple[jax.Array, jax.Array]:
    """The turns and the camera change x that minimise sum w (r - J x)^2 + sum p (x - mean)^2.

    The derivative is the implicit one, by residuals, precisions and prior. The linearisation J counts as constant.

    Args:
      parents: of the joints, each before its children.
      carriers: for each landmark the joint that moves it, in ascending order.

    Returns:
      Turns (3, J, F), radians about camera axes, and changes (3, F) of the camera parameters.
    """
    return _forward(parents, carriers, linear, residuals, prior)[0]


def _forward(parents, carriers, linear, residuals, prior):
    tree = _Tree(parents, carriers)
    factors = _factorise(tree, linear, residuals, prior)
    across, depth = residuals.precision_3d
    push_2d = _pull_back(linear, residuals.precision_2d * residuals.landmarks_2d)
    push_3d = residuals.landmarks_3d * jnp.stack([across, across, depth])
    wrench = tree.collect(jnp.stack([_cross(linear.arms, push_2d + push_3d), push_2d, push_3d]))
    turns, camera, twists = _solve(
        tree, linear, factors, prior, wrench, -prior.pose * prior.turned, -prior.camera * prior.moved
    )
    return (turns, camera), (linear, residuals, prior, factors, turns, camera, twists)


def _backward(parents, carriers, saved, bar):
    linear, residuals, prior, factors, turns, camera, twists = saved
    tree = _Tree(parents, carriers)
    # The matrix is symmetric: the adjoint is one more solution, for the incoming gradient as force.
    adjoint = _solve(tree, linear, factors, prior, jnp.zeros_like(twists), *bar)
    adjoint_turns, adjoint_camera, adjoint_twists = adjoint
    moved_2d, moved_3d = _landmark_moves(tree, linear, twists)
    adjoint_2d, adjoint_3d = _landmark_moves(tree, linear, adjoint_twists)
    across, depth = residuals.precision_3d
    of_3d = adjoint_3d * (residuals.landmarks_3d - moved_3d)
    residuals_bar = Residuals(
        residuals.precision_2d * adjoint_2d,
        jnp.stack([across, across, depth]) * adjoint_3d,
        jnp.sum(adjoint_2d * (residuals.landmarks_2d - moved_2d), axis=0),
        jnp.stack([of_3d[0] + of_3d[1], of_3d[2]]),
    )
    prior_bar = Prior(
        -jnp.sum(adjoint_turns * (prior.turned + turns), axis=0),
        -adjoint_camera * (prior.moved + camera),
        -prior.pose * adjoint_turns,
        -prior.camera * adjoint_camera,
    )
    return jax.tree.map(jnp.zeros_like, linear), residuals_bar, prior_bar


map_step.defvjp(_forward, _backward)


class _Tree:
    """The tree by levels, root first, each filled up with joints that do not exist to the width of the widest.

    The recursions are loops over the levels, because a program of all levels one by one takes long to compile.
    """

    def __init__(self, parents, carriers):
        if np.any(np.diff(carriers) < 0):
            raise ValueError(f"carriers must be in ascending order, not {carriers}")
        levels = tree_levels(parents)
        width = max(map(len, levels))
        self.cells = {
            joint: (depth, slot) for depth, level in enumerate(levels) for slot, joint in enumerate(level)
        }
        self.joints = [[*level, *[None] * (width - len(level))] for level in levels]
        self.carriers = carriers
        # 1 where a joint of the level (last axis) is a child of a joint of the level above; the root's parent is there.
        self.child = np.zeros((len(levels), width, width), np.float32)
        for joint, (depth, slot) in self.cells.items():
            self.child[depth, self.cells[parents[joint]][1] if depth else 0, slot] = 1.0

    def by_level(self, values, missing):
        """Values of joints, frames last: (..., J, F) -> (L, ..., n, F)."""
        missing = jnp.full_like(values[..., 0, :], missing)
        rows = [[missing if j is None else values[..., j, :] for j in level] for level in self.joints]
        return jnp.stack([jnp.stack(row, axis=-2) for row in rows])

    def by_joint(self, values, joints):
        """The values of some joints: (L, ..., n, F) -> (..., len(joints), F)."""
        cells = (self.cells[joint] for joint in joints)
        return jnp.stack([values[depth, ..., slot, :] for depth, slot in cells], axis=-2)

    def collect(self, values):
        """Sums over the landmarks of each joint: (..., K, F) -> (L, ..., n, F)."""
        none = jnp.zeros_like(values[..., 0, :])

        def of_joint(joint):
            return sum((values[..., k, :] for k, j in enumerate(self.carriers) if j == joint), none)

        return jnp.stack([jnp.stack([of_joint(j) for j in level], axis=-2) for level in self.joints])


class _Factors(NamedTuple):
    """What elimination leaves of the matrix."""

    inverse: jax.Array  # (L, 3, 3, n, F) of the matrix of each turn
    gain_2d: jax.Array  # (L, 3, 3, n, F) that inverse times the turn's cross terms with the 2D velocity
    gain_3d: jax.Array  # (L, 3, 3, n, F) the same with the 3D velocity
    free: jax.Array  # (3, 3, F) inverse for the 3D landmarks' common translation
    coupling: jax.Array  # (3, 3, F) pelvis in the camera by that translation
    camera: jax.Array  # (3, 3, F) inverse for the camera


def _factorise(tree, linear, residuals, prior):
    """Eliminates the turns from the leaves to the root, then the common translation, then the camera."""
    identity = jnp.eye(3, dtype=linear.arms.dtype)[..., None]

    def eliminate(below, level):
        """Without the turns of one level: what is left of its blocks, as blocks of the level above."""
        own, child, bone, precision = level
        turn, turn_2d, turn_3d, both_2d, mixed, both_3d = own + below
        inverse = _inverse(turn + precision * identity[..., None])
        gain_2d, gain_3d = _product(inverse, turn_2d), _product(inverse, turn_3d)
        # H - H (H + p)^-1 H = p (1 - p (H + p)^-1): no difference of large numbers.
        left = [
            precision * (identity[..., None] - precision * inverse),
            precision * gain_2d,
            precision * gain_3d,
            both_2d - _product_t(turn_2d, gain_2d),
            mixed - _product_t(turn_2d, gain_3d),
            both_3d - _product_t(turn_3d, gain_3d),
        ]
        return _merge(child, jnp.stack(_shift(bone, left))), (inverse, gain_2d, gain_3d)

    own = _information(tree, linear, residuals)
    blocks, gains = _scan_upwards(eliminate, jnp.zeros_like(own[0]), (own, *_levels(tree, linear, prior)))
    both_2d, mixed, both_3d = blocks[3:, ..., 0, :]
    free = _inverse(both_3d + FREE * identity)
    coupling = _product(mixed, free)
    pelvis = both_2d - _product(coupling, jnp.swapaxes(mixed, 0, 1))
    pelvis = _product_t(linear.camera, _product(pelvis, linear.camera))
    return _Factors(*gains, free, coupling, _inverse(pelvis + prior.camera * identity))


def _scan_upwards(function, first, levels):
    """`jax.lax.scan` from the last level to the first. Not by `reverse=True`: jax2onnx cannot write that."""
    flip = functools.partial(jax.tree.map, lambda x: x[::-1])
    result, values = jax.lax.scan(function, first, flip(levels))
    return result, flip(values)


def _levels(tree, linear, prior):
    """What a step of the recursions takes of each level: children, bones (3, n, F) and precisions (n, F)."""
    bones = jnp.concatenate([jnp.zeros_like(linear.bones[:, :1]), linear.bones[:, 1:]], axis=1)
    return tree.child, tree.by_level(bones, 0.0), tree.by_level(prior.pose, 1.0)


def _merge(child, values):
    """Sums over the children of each joint: (..., n, F) of a level -> the same of the level above."""
    return sum(child[:, slot, None] * values[..., slot, None, :] for slot in range(child.shape[1]))


def _spread(child, values):
    """The parent's values: (..., n, F) of a level -> the same of the level below."""
    return sum(child[slot, :, None] * values[..., slot, None, :] for slot in range(child.shape[0]))


def _information(tree, linear, residuals):
    """Sums over each joint's landmarks of the six blocks of J^T W J by its twist: (L, 6, 3, 3, n, F).

    Turn by turn, turn by both linear velocities, and these by themselves and by each other.
    """
    (a, b), weight = linear.rays, residuals.precision_2d * linear.zoom**2
    zero = jnp.zeros_like(a)
    in_2d = weight * jnp.array([[1 + zero, zero, -a], [zero, 1 + zero, -b], [-a, -b, a * a + b * b]])
    across, depth = residuals.precision_3d
    in_3d = jnp.array([[across, zero, zero], [zero, across, zero], [zero, zero, depth]])
    turn_2d, turn_3d = _cross(linear.arms, in_2d), _cross(linear.arms, in_3d)
    turn = jnp.swapaxes(_cross(linear.arms, jnp.swapaxes(turn_2d + turn_3d, 0, 1)), 0, 1)
    turn, turn_2d, turn_3d, in_2d, in_3d = map(tree.collect, (turn, turn_2d, turn_3d, in_2d, in_3d))
    return jnp.stack([turn, turn_2d, turn_3d, in_2d, jnp.zeros_like(in_2d), in_3d], axis=1)


def _shift(bone, blocks):
    """The six blocks of twists at a joint as blocks of the twists at its parent."""
    turn, turn_2d, turn_3d, both_2d, mixed, both_3d = blocks
    mixed_t = jnp.swapaxes(mixed, 0, 1)
    before = turn_2d + turn_3d
    turn_2d = turn_2d + _cross(bone, both_2d + mixed_t)
    turn_3d = turn_3d + _cross(bone, mixed + both_3d)
    turn = turn + _cross(bone, jnp.swapaxes(before, 0, 1))
    turn = turn + jnp.swapaxes(_cross(bone, jnp.swapaxes(turn_2d + turn_3d, 0, 1)), 0, 1)
    return [turn, turn_2d, turn_3d, both_2d, mixed, both_3d]


def _solve(tree, linear, factors, prior, wrench, force, camera_force):
    """The solution for a wrench on each body part, a torque on each joint and a force on the camera.

    Args:
      wrench: (L, 3, 3, n, F), of each joint the torque, the force through 2D and the force through 3D landmarks.
      force: (3, J, F). camera_force: (3, F).

    Returns:
      turns (3, J, F), camera (3, F), and the twists (L, 3, 3, n, F).
    """

    def pull(below, level):
        wrench, force, inverse, gain_2d, gain_3d, child, bone, precision = level
        torque, push_2d, push_3d = wrench + below
        torque = torque + force
        push_2d, push_3d = push_2d - _times_t(gain_2d, torque), push_3d - _times_t(gain_3d, torque)
        own = _times(inverse, torque)
        left = precision * own - force + _cross(bone, push_2d + push_3d)
        return _merge(child, jnp.stack([left, push_2d, push_3d])), own

    def move(above, level):
        own, inverse, gain_2d, gain_3d, child, bone, precision = level
        spin, moved_2d, moved_3d = _spread(child, above)
        step = _cross(spin, bone)
        moved_2d, moved_3d = moved_2d + step, moved_3d + step
        total = (
            own + precision * _times(inverse, spin) - _times(gain_2d, moved_2d) - _times(gain_3d, moved_3d)
        )
        twist = jnp.stack([total, moved_2d, moved_3d])
        return twist, (twist, total - spin)

    levels = (*factors[:3], *_levels(tree, linear, prior))
    force = tree.by_level(force, 0.0)
    left, own = _scan_upwards(pull, jnp.zeros_like(wrench[0]), (wrench, force, *levels))
    _, push_2d, push_3d = left[..., 0, :]
    camera_force = camera_force + _times_t(linear.camera, push_2d - _times(factors.coupling, push_3d))
    camera = _times(factors.camera, camera_force)
    pelvis = _times(linear.camera, camera)
    common = _times(factors.free, push_3d) - _times_t(factors.coupling, pelvis)
    root = jnp.stack([jnp.zeros_like(pelvis), pelvis, common])
    root = jnp.broadcast_to(root[..., None, :], left.shape)  # only the first one is anybody's parent
    _, (twists, turns) = jax.lax.scan(move, root, (own, *levels))
    return tree.by_joint(turns, range(len(prior.pose))), camera, twists


def _landmark_moves(tree, linear, twists):
    """What twists do to the landmarks: in 2D (2, K, F), and in 3D (3, K, F) with the common translation."""
    spin, moved_2d, moved_3d = tree.by_joint(twists, tree.carriers)
    step = _cross(spin, linear.arms)
    x, y, z = moved_2d + step
    return linear.zoom * jnp.stack([x - linear.rays[0] * z, y - linear.rays[1] * z]), moved_3d + step


def _pull_back(linear, pixels):
    """Forces on 2D landmarks (2, K, F) as forces on the points (3, K, F)."""
    x, y = linear.zoom * pixels
    return jnp.stack([x, y, -linear.rays[0] * x - linear.rays[1] * y])


# Small matrices as planes (3, 3, ...) and vectors (3, ...), written out: XLA fuses them over the frames.


def _cross(a, b):
    """a x b for vectors (3, ...) a and vectors or the columns of matrices b."""
    x, y, z = a
    return jnp.stack([y * b[2] - z * b[1], z * b[0] - x * b[2], x * b[1] - y * b[0]])


def _product(a, b):
    return sum(a[:, k, None] * b[None, k] for k in range(3))


def _product_t(a, b):
    """The transpose of a, times b."""
    return sum(a[k, :, None] * b[k, None] for k in range(3))


def _times(a, v):
    return sum(a[:, k] * v[k] for k in range(3))


def _times_t(a, v):
    """The transpose of a, times v."""
    return sum(a[k] * v[k] for k in range(3))


def _inverse(matrix):
    """Of symmetric matrices."""
    x, y, z = matrix
    columns = jnp.stack([_cross(y, z), _cross(z, x), _cross(x, y)])
    return columns / jnp.sum(x * columns[0], axis=0)
