import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpof_jax.body import BodyModel, forward, load_body
from hpof_jax.body.model import fold_regressor, keypoints, posed_joints, rest_joints, skin
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.geometry.rotations import axis_angle_to_matrix

VERTICES = 60


@pytest.fixture(scope="module")
def small() -> BodyModel:
    """A made-up body with pose blend shapes: the layer is linear algebra, 60 vertices test it like 6,890."""
    rng = np.random.default_rng(0)
    template, shapedirs = rng.normal(size=(VERTICES, 3)), 0.05 * rng.normal(size=(VERTICES, 3, 10))
    posedirs = 0.02 * rng.normal(size=(VERTICES, 3, 207))
    regressor, weights = rng.dirichlet(np.ones(VERTICES), 24), rng.dirichlet(np.ones(24), VERTICES)
    components = np.concatenate([template[..., None], shapedirs, posedirs], axis=-1)
    rest = np.einsum("jv,vck->kjc", regressor, components[..., :11])
    basis = components.transpose(2, 1, 0).reshape(218, -1)
    picks = rng.dirichlet(np.ones(VERTICES), 5)
    return jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32),
        BodyModel(
            basis, rest[0], rest[1:], regressor, weights, rng.integers(0, VERTICES, (9, 3)),
            picks, fold_regressor(basis, weights, picks),
        ),
    )  # fmt: skip


def reference(model, betas, pose, transl):
    """SMPL as its paper writes it, in float64 NumPy, one body, joint after joint."""
    f64 = functools.partial(np.asarray, dtype=np.float64)
    rotations = f64(axis_angle_to_matrix(jnp.asarray(pose, jnp.float32)))
    shaped = f64(model.v_template) + f64(model.shapedirs) @ betas
    joints = f64(model.J_regressor) @ shaped
    posed = shaped + f64(model.posedirs) @ (rotations[1:] - np.eye(3)).ravel()
    world = []
    for joint, parent in enumerate(SMPL_PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if joint else 0)
        world.append(world[parent] @ local if joint else local)
    world = np.stack(world)
    moved = world.copy()
    moved[:, :3, 3] -= np.einsum("jik,jk->ji", world[:, :3, :3], joints)
    skinning = np.einsum("vj,jik->vik", f64(model.lbs_weights), moved)
    homogeneous = np.concatenate([posed, np.ones((len(posed), 1))], axis=1)
    vertices = np.einsum("vik,vk->vi", skinning, homogeneous)[:, :3]
    return vertices + transl, world[:, :3, 3] + transl


def example(seed=0, batch=()):
    rng = np.random.default_rng(seed)
    shapes = (*batch, 10), (*batch, 24, 3), (*batch, 3)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def test_forward_is_smpl(small):
    betas, pose, transl = example()
    vertices, joints = forward(small, betas, pose[0], pose[1:], transl)
    want_vertices, want_joints = reference(small, np.asarray(betas), pose, np.asarray(transl))
    np.testing.assert_allclose(vertices, want_vertices, atol=2e-5)
    np.testing.assert_allclose(joints, want_joints, atol=2e-5)


def test_any_leading_axes_jit_and_vmap(small):
    betas, pose, transl = example(1, (2, 3))
    vertices, joints = jax.jit(forward)(small, betas, pose[..., 0, :], pose[..., 1:, :], transl)
    assert vertices.shape == (2, 3, VERTICES, 3) and joints.shape == (2, 3, 24, 3)
    mapped = jax.vmap(jax.vmap(lambda b, p, t: forward(small, b, p[0], p[1:], t)))(betas, pose, transl)
    np.testing.assert_allclose(vertices, mapped[0], atol=2e-5)
    np.testing.assert_allclose(joints, mapped[1], atol=2e-5)
    one_shape, _ = jax.jit(forward)(small, betas[:, :1], pose[..., 0, :], pose[..., 1:, :])
    np.testing.assert_allclose(one_shape[:, 0], vertices[:, 0] - transl[:, 0, None], atol=2e-5)


def test_gradients_are_finite_at_the_rest_pose(small):
    def far(betas, pose):
        vertices, joints = forward(small, betas, pose[0], pose[1:])
        return jnp.sum(vertices**2) + jnp.sum(joints**2)

    gradients = jax.jit(jax.grad(far, argnums=(0, 1)))(jnp.zeros(10), jnp.zeros((24, 3)))
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients)


def test_keypoints_need_no_mesh(small):
    betas, pose, transl = example(2, (4,))
    rotations = axis_angle_to_matrix(pose)
    picks = np.random.default_rng(7).dirichlet(np.ones(VERTICES), 6)
    basis = fold_regressor(np.asarray(small.basis), np.asarray(small.lbs_weights), picks)
    points, joints = jax.jit(keypoints)(small, basis, betas, rotations, transl)
    vertices, same_joints = jax.jit(skin)(small, betas, rotations, transl)
    np.testing.assert_allclose(points, np.einsum("kv,bvc->bkc", picks, vertices), atol=2e-5)
    np.testing.assert_allclose(joints, same_joints, atol=2e-5)
    np.testing.assert_allclose(posed_joints(small, betas, rotations, transl), joints, atol=2e-5)


def test_rest_joints_are_the_regressed_ones(small):
    betas, _, _ = example(3)
    want = small.J_regressor @ (small.v_template + small.shapedirs @ betas)
    np.testing.assert_allclose(rest_joints(small, betas), want, atol=1e-5)


def test_a_limbs_landmark_is_the_joint_itself():
    body = load_body()
    betas, pose, _ = example(4)
    points, joints = jax.jit(keypoints)(body, body.landmarks, betas, axis_angle_to_matrix(0.5 * pose))
    for name in ("left_knee", "right_elbow", "left_hip", "right_wrist"):
        np.testing.assert_allclose(
            points[BLAZEPOSE_LANDMARKS.index(name)], joints[SMPL_JOINTS.index(name)], atol=3e-3
        )


def test_it_stands_on_its_feet_and_bends_the_right_way():
    body = load_body()
    pose = jnp.zeros((24, 3)).at[SMPL_JOINTS.index("left_knee"), 0].set(np.pi / 2)
    pose = pose.at[SMPL_JOINTS.index("left_elbow"), 1].set(-np.pi / 2)
    _, joints = jax.jit(forward)(body, jnp.zeros(10), pose[0], pose[1:])
    at = {name: np.asarray(joints[index]) for index, name in enumerate(SMPL_JOINTS)}
    assert at["head"][1] > 0.4 and at["right_ankle"][1] < -0.7
    assert at["left_shoulder"][0] > 0 > at["right_shoulder"][0]
    assert at["left_ankle"][2] < at["left_knee"][2] - 0.3, "a bent knee moves the foot backwards"
    assert at["left_wrist"][2] > at["left_elbow"][2] + 0.2, "a bent elbow moves the hand forwards"
