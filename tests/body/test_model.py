import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpof_jax.body import BodyModel, load_body
from hpof_jax.body import forward as forward_
from hpof_jax.body.model import CHUNK, fold_regressor, keypoints, posed_joints, rest_joints, skin
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.geometry.rotations import axis_angle_to_matrix

VERTICES = 60
forward = jax.jit(forward_)  # compiled once per shape, for all tests


@pytest.fixture(scope="module")
def small() -> BodyModel:
    """A random body of 60 vertices with pose blend shapes."""
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
            basis, rest[0], rest[1:], regressor, weights.T, rng.integers(0, VERTICES, (9, 3)),
            picks, fold_regressor(basis, weights, picks),
        ),
    )  # fmt: skip


def reference(model, betas, pose, transl):
    """SMPL as in its paper, in float64 NumPy, for one body."""
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
    vertices, joints = forward(small, betas, pose[..., 0, :], pose[..., 1:, :], transl)
    assert vertices.shape == (2, 3, VERTICES, 3) and joints.shape == (2, 3, 24, 3)
    mapped = jax.vmap(jax.vmap(lambda b, p, t: forward_(small, b, p[0], p[1:], t)))
    mapped = jax.jit(mapped)(betas, pose, transl)
    np.testing.assert_allclose(vertices, mapped[0], atol=2e-5)
    np.testing.assert_allclose(joints, mapped[1], atol=2e-5)
    one_shape, _ = forward(small, betas[:, :1], pose[..., 0, :], pose[..., 1:, :])
    np.testing.assert_allclose(one_shape[:, 0], vertices[:, 0] - transl[:, 0, None], atol=2e-5)


def objective(model, betas, pose):
    """A scalar that depends on every vertex and joint."""
    vertices, joints = forward(model, betas, pose[..., 0, :], pose[..., 1:, :])
    return jnp.sum(jnp.sin(3 * vertices)) + jnp.sum(joints**2)


value = jax.jit(objective)
gradients = jax.jit(jax.grad(objective, argnums=(1, 2)))
gradient_by_pose = jax.grad(objective, argnums=2)


@jax.jit
def second_derivatives(model, betas, pose, direction):
    """The Hessian by the pose times `direction`: forward over reverse, and reverse over reverse."""

    def along(t):
        return gradient_by_pose(model, betas, pose + t * direction)

    slope = jax.grad(lambda pose: jnp.sum(gradient_by_pose(model, betas, pose) * direction))
    return jax.jvp(along, (0.0,), (1.0,))[1], slope(pose)


def in_double(model):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, model)


def pose_with_angles(angle, seed=0):
    """Every joint rotated by this angle about a random axis, (24, 3)."""
    axes = np.random.default_rng(seed).normal(size=(24, 3))
    return jnp.asarray(angle * axes / np.linalg.norm(axes, axis=1, keepdims=True), jnp.float32)


ANGLES = {"zero": 0.0, "tiny": 1e-4, "small": 1e-2, "some": 1.0, "pi": np.pi, "over": 4.0}


@pytest.mark.slow
@pytest.mark.parametrize("angle", ANGLES.values(), ids=ANGLES)
def test_gradients_agree_with_finite_differences_in_float64(small, angle):
    betas, pose = example(5)[0], pose_with_angles(angle)
    got = gradients(small, betas, pose)
    with jax.enable_x64(True):
        model, rng = in_double(small), np.random.default_rng(6)
        for argument, gradient in enumerate(got):
            for _ in range(4):
                direction = rng.normal(size=gradient.shape)
                ends = []
                for step in (1e-5, -1e-5):
                    moved = [np.asarray(betas, np.float64), np.asarray(pose, np.float64)]
                    moved[argument] = moved[argument] + step * direction
                    ends.append(float(value(model, *moved)))
                slope = (ends[0] - ends[1]) / 2e-5
                size = np.linalg.norm(gradient) * np.linalg.norm(direction)
                assert abs(np.sum(gradient * direction) - slope) < 2e-5 * size


@pytest.mark.slow
@pytest.mark.parametrize("angle", ANGLES.values(), ids=ANGLES)
def test_second_derivatives(small, angle):
    betas, pose, direction = example(7)[0], pose_with_angles(angle), example(8)[1]

    found = second_derivatives(small, betas, pose, direction)
    with jax.enable_x64(True):
        model, step = in_double(small), 1e-5 * np.asarray(direction, np.float64)
        there, back = (
            gradients(model, np.float64(betas), np.float64(pose) + sign * step)[1] for sign in (1, -1)
        )
        want = np.asarray((there - back) / 2e-5)
    for got in found:
        assert np.linalg.norm(got - want) < 1e-3 * np.linalg.norm(want)


@pytest.mark.slow
def test_more_bodies_than_a_chunk(small):
    """Values and gradients do not depend on the division into chunks."""
    betas, pose, _ = example(9, (2 * CHUNK + 5,))
    vertices, _ = forward(small, betas, pose[:, 0], pose[:, 1:])
    _, gradient = gradients(small, betas, pose)
    for body in (0, CHUNK, 2 * CHUNK + 4):
        alone, _ = forward(small, betas[body], pose[body, 0], pose[body, 1:])
        np.testing.assert_allclose(vertices[body], alone, atol=2e-5)
        np.testing.assert_allclose(gradient[body], gradients(small, betas[body], pose[body])[1], atol=2e-3)
    assert forward(small, betas[:0], pose[:0, 0], pose[:0, 1:])[0].shape == (0, VERTICES, 3)


def test_precisions(small):
    betas, pose, transl = example(10, (3,))
    exact = forward(small, betas, pose[:, 0], pose[:, 1:], transl)
    rough = [x.astype(jnp.bfloat16) for x in (betas, pose, transl)]
    vertices, joints = forward(small, rough[0], rough[1][:, 0], rough[1][:, 1:], rough[2])
    assert vertices.dtype == joints.dtype == jnp.float32, "bfloat16 is read, not computed in"
    same = [x.astype(jnp.float32) for x in rough]
    want, _ = forward(small, same[0], same[1][:, 0], same[1][:, 1:], same[2])
    np.testing.assert_array_equal(vertices, want)
    with jax.enable_x64(True):
        double = [np.asarray(x, np.float64) for x in (betas, pose, transl)]
        got = forward(small, double[0], double[1][:, 0], double[1][:, 1:], double[2])
        assert got[0].dtype == got[1].dtype == jnp.float64
        np.testing.assert_allclose(got[0], exact[0], atol=2e-5)
        assert forward(small, betas, pose[:, 0], pose[:, 1:], transl)[0].dtype == jnp.float32


@pytest.mark.slow
def test_remat_and_pmap(small):
    betas, pose, _ = example(11, (8, 2))
    gradient = jax.jit(jax.vmap(gradient_by_pose, (None, 0, 0)))(small, betas, pose)
    saved = jax.jit(jax.vmap(jax.grad(jax.checkpoint(objective), argnums=2), (None, 0, 0)))
    np.testing.assert_allclose(saved(small, betas, pose), gradient, rtol=1e-4, atol=1e-3)
    spread = jax.pmap(gradient_by_pose, in_axes=(None, 0, 0))
    np.testing.assert_allclose(spread(small, betas, pose), gradient, rtol=1e-4, atol=1e-3)


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


def test_limb_landmarks_are_the_joints():
    body = load_body()
    betas, pose, _ = example(4)
    points, joints = jax.jit(keypoints)(body, body.landmarks, betas, axis_angle_to_matrix(0.5 * pose))
    for name in ("left_knee", "right_elbow", "left_hip", "right_wrist"):
        np.testing.assert_allclose(
            points[BLAZEPOSE_LANDMARKS.index(name)], joints[SMPL_JOINTS.index(name)], atol=3e-3
        )


def test_the_free_body_is_upright_and_bends_the_right_way():
    body = load_body()
    pose = jnp.zeros((24, 3)).at[SMPL_JOINTS.index("left_knee"), 0].set(np.pi / 2)
    pose = pose.at[SMPL_JOINTS.index("left_elbow"), 1].set(-np.pi / 2)
    _, joints = forward(body, jnp.zeros(10), pose[0], pose[1:])
    at = {name: np.asarray(joints[index]) for index, name in enumerate(SMPL_JOINTS)}
    assert at["head"][1] > 0.4 and at["right_ankle"][1] < -0.7
    assert at["left_shoulder"][0] > 0 > at["right_shoulder"][0]
    assert at["left_ankle"][2] < at["left_knee"][2] - 0.3, "a bent knee moves the foot backwards"
    assert at["left_wrist"][2] > at["left_elbow"][2] + 0.2, "a bent elbow moves the hand forwards"
