"""SMPL as pure functions of a pytree of constants (Loper et al., SMPL, SIGGRAPH Asia 2015).

Rest frame: x to the body's left, y up, z out of the chest, metres; the rest pose is SMPL's T-pose.
All functions take any leading axes, are jit-, vmap- and grad-clean, and never need the mesh unless vertices are asked for.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.skeletons import SMPL_PARENTS, tree_levels
from hpof_jax.geometry.rotations import axis_angle_to_matrix, compose, rotate


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "basis",
        "J_template",
        "J_shapedirs",
        "J_regressor",
        "lbs_weights",
        "faces",
        "landmark_regressor",
        "landmarks",
    ],
    meta_fields=["parents", "num_betas", "name"],
)
@dataclasses.dataclass(frozen=True)
class BodyModel:
    """The constants of an SMPL-format body. V vertices, F triangles, 24 joints, B shape and P pose components."""

    basis: jax.Array  # (1 + B + P, 3 V) template, shapedirs and posedirs, component-planar: [x of all, y, z]
    J_template: jax.Array  # (24, 3) rest joints of betas = 0
    J_shapedirs: jax.Array  # (B, 24, 3) rest joints per unit of each beta
    J_regressor: jax.Array  # (24, V) rest joints from rest vertices
    lbs_weights: jax.Array  # (V, 24) skinning weights, rows sum to 1
    faces: jax.Array  # (F, 3) int32, counter-clockwise from outside
    landmark_regressor: jax.Array  # (33, V) BlazePose's landmarks from vertices
    landmarks: "KeypointBasis"  # the same, folded: see `keypoints`
    parents: tuple[int, ...] = SMPL_PARENTS
    num_betas: int = 10
    name: str = "body"

    @property
    def v_template(self) -> jax.Array:
        """(V, 3) the mean body in its rest pose."""
        return self.basis[0].reshape(3, -1).T

    @property
    def shapedirs(self) -> jax.Array:
        """(V, 3, B) displacement per unit of each beta."""
        return jnp.moveaxis(
            self.basis[1 : 1 + self.num_betas].reshape(self.num_betas, 3, -1), -1, 0
        ).swapaxes(1, 2)

    @property
    def posedirs(self) -> jax.Array:
        """(V, 3, P) displacement per element of (R - I) of the 23 body joints; P is 207, or 0 where there is none."""
        rows = self.basis[1 + self.num_betas :]
        return jnp.moveaxis(rows.reshape(rows.shape[0], 3, self.basis.shape[1] // 3), -1, 0).swapaxes(1, 2)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["blend", "mass", "collect"], meta_fields=["joints"]
)
@dataclasses.dataclass(frozen=True)
class KeypointBasis:
    """Keypoints that are linear in the vertices, folded with the blend basis: no mesh is made to find them.

    One row for each of the N pairs (keypoint, joint that moves part of it); see `fold_regressor`.
    """

    blend: jax.Array  # (1 + B + P, N * 3) the pair's share of the rest keypoint, per blend component
    mass: jax.Array  # (N,) the pair's share of the keypoint's weight
    collect: jax.Array  # (K, N) 0/1 sums the pairs of each keypoint
    joints: tuple[int, ...]  # (N,) the joint of each pair


def forward(
    model: BodyModel,
    betas: jax.Array,
    global_orient: jax.Array,
    body_pose: jax.Array,
    transl: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The posed body.

    Args:
      model: the body's constants.
      betas: (..., B) shape.
      global_orient: (..., 3) axis-angle of the root, about the pelvis.
      body_pose: (..., 23, 3) axis-angle of the other joints relative to their parents.
      transl: (..., 3) metres, added to everything; none by default.

    Returns:
      vertices (..., V, 3) and joints (..., 24, 3), metres, in the frame that `global_orient` leads to.
    """
    pose = jnp.concatenate([global_orient[..., None, :], body_pose], axis=-2)
    return skin(model, betas, axis_angle_to_matrix(pose), transl)


def skin(
    model: BodyModel, betas: jax.Array, rotations: jax.Array, transl: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """`forward` for rotation matrices (..., 24, 3, 3), root first, relative to the parents."""
    betas, rotations, batch = _broadcast(betas, rotations)
    transforms, joints = _transforms(model, betas, rotations)
    rest = (_blend_weights(model, betas, rotations) @ model.basis).reshape(-1, 3, model.basis.shape[1] // 3)
    # Planar layout: the last axis runs over vertices, so both products are plain matrix products.
    flat = jnp.moveaxis(transforms.reshape(-1, len(model.parents), 12), 1, 2).reshape(-1, len(model.parents))
    per_vertex = (flat @ model.lbs_weights.T).reshape(-1, 3, 4, rest.shape[-1])
    vertices = per_vertex[:, :, 3] + sum(per_vertex[:, :, k] * rest[:, None, k] for k in range(3))
    vertices = jnp.swapaxes(vertices, -1, -2).reshape(*batch, -1, 3)
    joints = joints.reshape(*batch, -1, 3)
    if transl is None:
        return vertices, joints
    return vertices + transl[..., None, :], joints + transl[..., None, :]


def rest_joints(model: BodyModel, betas: jax.Array) -> jax.Array:
    """(..., B) -> (..., 24, 3): the joints of this shape in the rest pose; linear in betas, no mesh needed."""
    return model.J_template + jnp.tensordot(betas, model.J_shapedirs, axes=1)


def forward_kinematics(
    rest: jax.Array, rotations: jax.Array, parents: tuple[int, ...] = SMPL_PARENTS
) -> tuple[jax.Array, jax.Array]:
    """Rotations along the tree, level by level.

    Args:
      rest: (..., J, 3) rest joints.
      rotations: (..., J, 3, 3) relative to the parent.

    Returns:
      global rotations (..., J, 3, 3) and joint positions (..., J, 3); the root stays at its rest place.
    """
    rest, rotations = jnp.broadcast_arrays(rest[..., None], rotations)
    rest = rest[..., 0]
    levels = tree_levels(parents)
    parents_ = np.array(parents)
    world, place = [rotations[..., levels[0], :, :]], [rest[..., levels[0], :]]
    for above, level in zip(levels, levels[1:], strict=False):
        up = np.searchsorted(above, parents_[level])
        bones = rest[..., level, :] - rest[..., parents_[level], :]
        turn = world[-1][..., up, :, :]
        place.append(place[-1][..., up, :] + rotate(turn, bones))
        world.append(compose(turn, rotations[..., level, :, :]))
    order = np.argsort(np.concatenate(levels))
    return jnp.concatenate(world, axis=-3)[..., order, :, :], jnp.concatenate(place, axis=-2)[..., order, :]


def posed_joints(
    model: BodyModel, betas: jax.Array, rotations: jax.Array, transl: jax.Array | None = None
) -> jax.Array:
    """The 24 joints alone: (..., B) and (..., 24, 3, 3) -> (..., 24, 3)."""
    _, joints = forward_kinematics(rest_joints(model, betas), rotations, model.parents)
    return joints if transl is None else joints + transl[..., None, :]


def keypoints(
    model: BodyModel,
    basis: KeypointBasis,
    betas: jax.Array,
    rotations: jax.Array,
    transl: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Keypoints and joints without the mesh.

    Args:
      basis: from `fold_regressor`, or `model.landmarks`.
      betas: (..., B). rotations: (..., 24, 3, 3). transl: (..., 3).

    Returns:
      keypoints (..., K, 3) and joints (..., 24, 3), metres; the regressor applied to `skin`'s vertices, but for
      keypoints that were folded as rigid.
    """
    betas, rotations, batch = _broadcast(betas, rotations)
    transforms, joints = _transforms(model, betas, rotations)
    rest = (_blend_weights(model, betas, rotations) @ basis.blend).reshape(-1, len(basis.joints), 3)
    moved = transforms[:, np.array(basis.joints)]
    pairs = rotate(moved[..., :3], rest) + moved[..., 3] * basis.mass[:, None]
    points = jnp.einsum("kn,bnc->bkc", basis.collect, pairs).reshape(*batch, -1, 3)
    joints = joints.reshape(*batch, -1, 3)
    if transl is None:
        return points, joints
    return points + transl[..., None, :], joints + transl[..., None, :]


def fold_regressor(
    basis: np.ndarray, lbs_weights: np.ndarray, regressor: np.ndarray, rigid: dict[int, int] | None = None
) -> KeypointBasis:
    """Folds a vertex regressor with blend basis and skinning weights.

    A keypoint is sum_v r_v sum_j w_vj (R_j x_v + t_j), with x_v linear in the blend weights: summing over v first
    leaves one small vector and one weight for each joint that moves the keypoint.

    Args:
      basis: (1 + B + P, 3 V) planar. lbs_weights: (V, 24). regressor: (K, V).
      rigid: keypoint -> joint, for keypoints that move with one joint as if no skin were between: with a row of
        `J_regressor`, that is the joint itself, which the skinned vertices around a bent joint do not give.
    """
    rigid = rigid or {}
    planar = np.asarray(basis, np.float64).reshape(len(basis), 3, -1)
    blend, mass, owners, joints = [], [], [], []
    for owner, row in enumerate(np.asarray(regressor, np.float64)):
        vertices = np.flatnonzero(row)
        if owner in rigid:
            moved_by = np.eye(lbs_weights.shape[1])[[rigid[owner]] * len(vertices)]
        else:
            moved_by = np.asarray(lbs_weights, np.float64)[vertices]
        shares = row[vertices, None] * moved_by
        for joint in np.flatnonzero(np.abs(shares).sum(axis=0) > 1e-7):
            blend.append(planar[:, :, vertices] @ shares[:, joint])
            mass.append(shares[:, joint].sum())
            owners.append(owner)
            joints.append(int(joint))
    collect = np.arange(len(regressor))[:, None] == np.array(owners)[None]
    return KeypointBasis(
        blend=jnp.asarray(np.stack(blend, axis=1).reshape(len(basis), -1), jnp.float32),
        mass=jnp.asarray(np.array(mass), jnp.float32),
        collect=jnp.asarray(collect, jnp.float32),
        joints=tuple(joints),
    )


def _broadcast(betas, rotations):
    """Common leading axes, flattened: (N, B), (N, 24, 3, 3) and the leading shape."""
    batch = jnp.broadcast_shapes(betas.shape[:-1], rotations.shape[:-3])
    betas = jnp.broadcast_to(betas, (*batch, betas.shape[-1])).reshape(-1, betas.shape[-1])
    rotations = jnp.broadcast_to(rotations, (*batch, *rotations.shape[-3:])).reshape(
        -1, *rotations.shape[-3:]
    )
    return betas, rotations, batch


def _transforms(model, betas, rotations):
    """Each joint's rigid motion from the rest pose, (N, 24, 3, 4), and the posed joints, (N, 24, 3)."""
    rest = rest_joints(model, betas)
    world, joints = forward_kinematics(rest, rotations, model.parents)
    shift = joints - rotate(world, rest)
    return jnp.concatenate([world, shift[..., None]], axis=-1), joints


def _blend_weights(model, betas, rotations):
    """(N, 1 + B + P): the factor of each row of the blend basis."""
    parts = [jnp.ones_like(betas[:, :1]), betas]
    if model.basis.shape[0] > 1 + model.num_betas:
        features = rotations[:, 1:] - jnp.eye(3, dtype=rotations.dtype)
        parts.append(features.reshape(features.shape[0], -1))
    return jnp.concatenate(parts, axis=1)
