"""SMPL as pure functions of a pytree of constants (Loper et al., SMPL, SIGGRAPH Asia 2015).

Rest frame: x to the body's left, y up, z out of the chest, metres; the rest pose is SMPL's T-pose. All
functions take any leading axes and work under jit, vmap and grad. Only those that return vertices compute the
mesh.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.typing import ArrayLike

from hpof_jax.body.kinematics import forward_kinematics
from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.geometry.rotations import axis_angle_to_matrix, rotate

CHUNK = 32  # meshes computed at once: more do not fit the processor's cache


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "basis",
        "J_template",
        "J_shapedirs",
        "J_regressor",
        "skinning",
        "faces",
        "landmark_regressor",
        "landmarks",
    ],
    meta_fields=["parents", "num_betas", "name"],
)
@dataclasses.dataclass(frozen=True)
class BodyModel:
    """The constants of an SMPL-format body: V vertices, F triangles, B shape and P pose components."""

    basis: jax.Array  # (1 + B + P, 3 V) template, shapedirs, posedirs; a row is [all x, all y, all z]
    J_template: jax.Array  # (24, 3) rest joints for betas = 0
    J_shapedirs: jax.Array  # (B, 24, 3) rest joints per unit of each beta
    J_regressor: jax.Array  # (24, V) rest joints from rest vertices
    skinning: jax.Array  # (24, V) skinning weights, columns sum to 1
    faces: jax.Array  # (F, 3) int32, counter-clockwise from outside
    landmark_regressor: jax.Array  # (33, V) BlazePose's landmarks from vertices
    landmarks: "KeypointBasis"  # the same, for `keypoints`
    parents: tuple[int, ...] = SMPL_PARENTS
    num_betas: int = 10
    name: str = "body"

    @property
    def v_template(self) -> jax.Array:
        """(V, 3) the mean body in its rest pose."""
        return self.basis[0].reshape(3, -1).T

    @property
    def lbs_weights(self) -> jax.Array:
        """(V, 24) the skinning weights as in SMPL's files, rows sum to 1."""
        return self.skinning.T

    @property
    def shapedirs(self) -> jax.Array:
        """(V, 3, B) displacement per unit of each beta."""
        return jnp.moveaxis(
            self.basis[1 : 1 + self.num_betas].reshape(self.num_betas, 3, -1), -1, 0
        ).swapaxes(1, 2)

    @property
    def posedirs(self) -> jax.Array:
        """(V, 3, P) displacement per element of R - I of the 23 body joints; P is 207, or 0 for none."""
        rows = self.basis[1 + self.num_betas :]
        return jnp.moveaxis(rows.reshape(rows.shape[0], 3, self.basis.shape[1] // 3), -1, 0).swapaxes(1, 2)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["blend", "mass", "collect"], meta_fields=["joints"]
)
@dataclasses.dataclass(frozen=True)
class KeypointBasis:
    """Keypoints that are linear in the vertices, in a form that needs no mesh; see `fold_regressor`.

    One row for each of the N pairs (keypoint, joint that moves part of it).
    """

    blend: jax.Array  # (1 + B + P, N * 3) the pair's part of the rest keypoint, per blend component
    mass: jax.Array  # (N,) the pair's part of the keypoint's weight
    collect: jax.Array  # (K, N) 1 where the pair belongs to the keypoint, else 0
    joints: tuple[int, ...]  # (N,) the joint of each pair


def forward(
    model: BodyModel,
    betas: ArrayLike,
    global_orient: ArrayLike,
    body_pose: ArrayLike,
    transl: ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The posed body: vertices and joints.

    Args:
      model: the body's constants.
      betas: (..., B) shape.
      global_orient: (..., 3) axis-angle of the root, about the pelvis.
      body_pose: (..., 23, 3) axis-angle of the other joints relative to their parents.
      transl: (..., 3) metres, added to vertices and joints; None is zero.

    Returns:
      vertices (..., V, 3) and joints (..., 24, 3), metres, in the frame that `global_orient` rotates into.
    """
    global_orient, body_pose = jnp.asarray(global_orient), jnp.asarray(body_pose)
    batch = jnp.broadcast_shapes(global_orient.shape[:-1], body_pose.shape[:-2])
    root = jnp.broadcast_to(global_orient[..., None, :], (*batch, 1, 3))
    pose = jnp.concatenate([root, jnp.broadcast_to(body_pose, (*batch, *body_pose.shape[-2:]))], axis=-2)
    # Rotations are not computed in bfloat16: they would be off by a degree.
    pose = pose.astype(jnp.promote_types(pose.dtype, model.basis.dtype))
    offset = None if transl is None else jnp.asarray(transl)
    return skin(model, jnp.asarray(betas), axis_angle_to_matrix(pose), offset)


def skin(
    model: BodyModel, betas: jax.Array, rotations: jax.Array, transl: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """`forward` with rotation matrices (..., 24, 3, 3), relative to the parents, root first."""
    betas, rotations, batch = _broadcast(model, betas, rotations)
    transforms, joints = _transforms(model, betas, rotations)
    weights = _blend_weights(model, betas, rotations)
    one: Callable[..., jax.Array] = functools.partial(_skin_one, model)
    if len(weights) <= CHUNK:
        vertices = jax.vmap(one)(weights, transforms)
    else:
        # The gradient keeps only the rest shape of a chunk: the blended transforms are four times as large,
        # and computing them again is faster than reading them from memory.
        kept = jax.checkpoint_policies.save_only_these_names("rest")
        one = jax.checkpoint(one, policy=kept, prevent_cse=False)
        vertices = jax.lax.map(lambda body: one(*body), (weights, transforms), batch_size=CHUNK)
    vertices = vertices.reshape(*batch, *vertices.shape[1:])
    joints = joints.reshape(*batch, *joints.shape[1:])
    if transl is None:
        return vertices, joints
    return vertices + transl[..., None, :], joints + transl[..., None, :]


def rest_joints(model: BodyModel, betas: jax.Array) -> jax.Array:
    """The joints of a shape in the rest pose, linear in betas: (..., B) -> (..., 24, 3) metres."""
    return model.J_template + jnp.tensordot(betas, model.J_shapedirs, axes=1)


def posed_joints(
    model: BodyModel, betas: jax.Array, rotations: jax.Array, transl: jax.Array | None = None
) -> jax.Array:
    """The 24 posed joints: betas (..., B), rotations (..., 24, 3, 3) -> (..., 24, 3) metres."""
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
      keypoints (..., K, 3) and joints (..., 24, 3), metres. Keypoints equal the regressor applied to the
      vertices of `skin`, except those folded as rigid.
    """
    betas, rotations, batch = _broadcast(model, betas, rotations)
    transforms, joints = _transforms(model, betas, rotations)
    rest = (_blend_weights(model, betas, rotations) @ basis.blend).reshape(-1, len(basis.joints), 3)
    moved = transforms[:, np.array(basis.joints)]
    pairs = rotate(moved[..., :3], rest) + moved[..., 3] * basis.mass[:, None]
    points = jnp.einsum("kn,bnc->bkc", basis.collect, pairs)
    points = points.reshape(*batch, *points.shape[1:])
    joints = joints.reshape(*batch, *joints.shape[1:])
    if transl is None:
        return points, joints
    return points + transl[..., None, :], joints + transl[..., None, :]


def fold_regressor(
    basis: np.ndarray, lbs_weights: np.ndarray, regressor: np.ndarray, rigid: dict[int, int] | None = None
) -> KeypointBasis:
    """Combines a vertex regressor with blend basis and skinning weights.

    A keypoint is sum_v r_v sum_j w_vj (R_j x_v + t_j), with x_v linear in the blend weights. Summing over v
    first leaves one small vector and one weight for each joint that moves the keypoint.

    Args:
      basis: (1 + B + P, 3 V) planar. lbs_weights: (V, 24). regressor: (K, V).
      rigid: keypoint -> joint, for keypoints that move rigidly with one joint. With a row of `J_regressor`
        that is the joint itself; regressed from skinned vertices, it would shift as the joint bends.
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


def _skin_one(model, weights, transforms):
    """One body: blend weights (1 + B + P,) and transforms (24, 3, 4) to vertices (V, 3).

    One product with the skinning weights per coordinate: each step, and each step of the gradient, runs along
    the vertices, and little memory is in use at a time.
    """
    x, y, z = jnp.split(checkpoint_name(weights @ model.basis, "rest"), 3)

    def coordinate(row):
        by_x, by_y, by_z, shift = row.T @ model.skinning
        return by_x * x + by_y * y + by_z * z + shift

    return jnp.stack([coordinate(transforms[:, i]) for i in range(3)], axis=-1)


def _broadcast(model, betas, rotations):
    """betas (N, B), rotations (N, 24, 3, 3), at least in the model's precision; the common leading shape."""
    dtype = jnp.promote_types(jnp.result_type(betas, rotations), model.basis.dtype)
    betas, rotations = betas.astype(dtype), rotations.astype(dtype)
    batch = jnp.broadcast_shapes(betas.shape[:-1], rotations.shape[:-3])
    betas = jnp.broadcast_to(betas, (*batch, betas.shape[-1])).reshape(-1, betas.shape[-1])
    rotations = jnp.broadcast_to(rotations, (*batch, *rotations.shape[-3:])).reshape(
        -1, *rotations.shape[-3:]
    )
    return betas, rotations, batch


def _transforms(model, betas, rotations):
    """Each joint's rigid transform from the rest pose, (N, 24, 3, 4), and the posed joints, (N, 24, 3)."""
    rest = rest_joints(model, betas)
    world, joints = forward_kinematics(rest, rotations, model.parents)
    shift = joints - rotate(world, rest)
    return jnp.concatenate([world, shift[..., None]], axis=-1), joints


def _blend_weights(model, betas, rotations):
    """(N, 1 + B + P): the factor of each row of the blend basis."""
    parts = [jnp.ones_like(betas[:, :1]), betas]
    if model.basis.shape[0] > 1 + model.num_betas:
        features = rotations[:, 1:] - jnp.eye(3, dtype=rotations.dtype)
        parts.append(features.reshape(len(features), 9 * (len(model.parents) - 1)))
    return jnp.concatenate(parts, axis=1)
