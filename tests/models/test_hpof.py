import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.body.model import posed_joints
from hpof_jax.models.build import init_params
from hpof_jax.models.hpof import HPOF, Prediction, predict_long
from hpof_jax.models.inputs import Inputs, make_inputs
from hpof_jax.models.temporal_encoder import receptive_field

MODEL = HPOF(channels=32, dilations=(1, 3), hidden=8)


# Compiled, because the tests' time is compilation, and op by op it takes longest.
predict = jax.jit(lambda params, inputs, body: MODEL.apply({"params": params}, inputs, body))
prepare = jax.jit(make_inputs)
joints_of = jax.jit(
    lambda body, prediction: posed_joints(body, prediction.betas[:, None], prediction.rotations)
)


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def fresh(body):
    return init_params(MODEL, body, 0)


@pytest.fixture(scope="module")
def params(fresh):
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: np.asarray(x + 0.05 * rng.normal(size=x.shape), np.float32), fresh)


def observe(frames, clips=2, seed=0) -> Inputs:
    rng = np.random.default_rng(seed)
    landmarks_2d = np.concatenate(
        [rng.uniform(100, 500, (clips, frames, 33, 2)), rng.uniform(0.5, 1, (clips, frames, 33, 1))], axis=-1
    )
    return prepare(
        jnp.asarray(landmarks_2d, jnp.float32),
        jnp.asarray(rng.normal(0, 0.3, (clips, frames, 33, 3)), jnp.float32),
        jnp.asarray(rng.uniform(size=(clips, frames)) > 0.1),
        jnp.ones((clips, frames), bool),
        jnp.full((clips, 2), 720.0),
        jnp.full((clips,), 1000.0),
    )


def test_a_clip_has_one_shape_and_constant_bones(params, body):
    prediction = predict(params, observe(20), body)
    assert prediction.betas.shape == (2, 10)
    assert prediction.rotations.shape == (2, 20, 24, 3, 3)
    joints = np.asarray(joints_of(body, prediction))
    bones = np.linalg.norm(joints[:, :, 1:] - joints[:, :, np.array(body.parents[1:])], axis=-1)
    assert bones.std(axis=1).max() < 1e-6


def test_it_starts_upright_and_facing_the_camera(fresh, body):
    joints = np.asarray(joints_of(body, predict(fresh, observe(20), body)))
    up = joints[..., 15, :] - joints[..., 0, :]
    assert (up[..., 1] < -0.9 * np.linalg.norm(up, axis=-1)).all()
    assert (joints[..., 16, 0] > joints[..., 17, 0]).all(), "the left shoulder is on the right of the picture"


@pytest.mark.parametrize("frames", [1, 40, 41])
def test_chunks_give_what_one_pass_gives(params, body, frames):
    inputs = observe(frames)
    whole = predict(params, inputs, body)
    chunked = predict_long(MODEL, params, inputs, body, chunk=20)
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_padding_changes_nothing(params, body):
    inputs = observe(20)
    rng = np.random.default_rng(5)
    padded = Inputs(
        jnp.concatenate(
            [inputs.features, jnp.asarray(rng.normal(size=(2, 9, inputs.features.shape[-1])))], axis=1
        ),
        jnp.concatenate([inputs.box, jnp.full((2, 9, 3), 7.0)], axis=1),
        jnp.concatenate([inputs.mask, jnp.zeros((2, 9), bool)], axis=1),
        jnp.concatenate([inputs.seen, jnp.zeros((2, 9), bool)], axis=1),
    )
    short, long = (predict(params, x, body) for x in (inputs, padded))
    np.testing.assert_allclose(short.betas, long.betas, atol=1e-6)
    np.testing.assert_allclose(short.rotations, long.rotations[:, :20], atol=1e-6)


def test_the_receptive_field_is_what_it_says(params, body):
    frames, middle = 31, 15
    inputs = observe(frames, clips=1)

    def feature(x):
        return MODEL.apply({"params": params}, x, inputs.mask, method=HPOF.encode)[0, middle].sum()

    reached = np.abs(np.asarray(jax.jit(jax.grad(feature))(inputs.features)))[0].sum(axis=-1) > 0
    reach = receptive_field(3, (1, 3)) // 2
    assert reached[middle - reach] and reached[middle + reach]
    assert not reached[: middle - reach].any() and not reached[middle + reach + 1 :].any()


def test_hidden_3d_landmarks_do_not_matter(params, body):
    a, b = observe(8, seed=0), observe(8, seed=0)
    rng = np.random.default_rng(9)
    args = (jnp.asarray(rng.uniform(0, 9, (2, 8, 33, 3))),)
    tail = (jnp.ones((2, 8), bool), jnp.ones((2, 8), bool), jnp.full((2, 2), 9.0), jnp.full((2,), 9.0))
    a = prepare(*args, jnp.zeros((2, 8, 33, 3)), *tail, hide_3d=np.ones(2, bool))
    b = prepare(*args, jnp.ones((2, 8, 33, 3)), *tail, hide_3d=np.ones(2, bool))
    np.testing.assert_array_equal(a.features, b.features)


def test_later_joints_see_their_ancestors(params, body):
    """A change of the shape alone moves the bones and, through them, the rotations: shape comes before pose."""
    features = jax.random.normal(jax.random.key(0), (1, 3, 32))
    thin, tall = jnp.zeros((1, 10)), jnp.zeros((1, 10)).at[0, 0].set(2.0)
    pose = jax.jit(lambda betas: MODEL.apply({"params": params}, features, betas, body, method=HPOF.pose)[0])
    a, b = pose(thin), pose(tall)
    assert float(jnp.abs(a - b).max()) > 1e-4


VARIANTS = {
    "gru": {"encoder_type": "gru"},
    "flat": {"head_type": "flat"},
    "per frame": {"shape_per": "frame"},
    "flat, per frame": {"head_type": "flat", "shape_per": "frame"},
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS)
def variant(request, body):
    """A model to compare with, and parameters that are not the initial ones."""
    model = MODEL.clone(**request.param)
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda x: np.asarray(x + 0.05 * rng.normal(size=x.shape), np.float32),
        init_params(model, body, 0),
    )
    return model, params


def test_what_the_variants_predict(variant, body):
    model, params = variant
    inputs = observe(11)
    whole = jax.jit(lambda params, inputs, body: model.apply({"params": params}, inputs, body))(
        params, inputs, body
    )
    per_frame = model.shape_per == "frame"
    assert whole.betas.shape == ((2, 11, 10) if per_frame else (2, 10)) and whole.cam.shape == (2, 11, 3)
    assert whole.frame_betas.shape == (2, 11 if per_frame else 1, 10)
    assert whole.clip_betas(inputs.mask).shape == (2, 10)
    rotations = np.asarray(whole.rotations)
    assert rotations.shape == (2, 11, 24, 3, 3)
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-5)
    chunked = predict_long(model, params, inputs, body, chunk=4)
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_the_shape_of_a_clip_is_the_mean_of_its_frames():
    betas = np.arange(60.0).reshape(2, 3, 10)
    prediction = Prediction(betas, np.zeros((2, 3, 24, 3, 3)), np.zeros((2, 3, 3)))
    mask = np.array([[True, True, False], [False, True, False]])
    np.testing.assert_allclose(prediction.clip_betas(mask), [betas[0, :2].mean(axis=0), betas[1, 1]])


def test_the_flat_head_knows_the_shape_and_no_ancestor(body):
    model = MODEL.clone(head_type="flat")
    params = init_params(model, body, 0)
    pose = jax.jit(
        lambda params, betas: model.apply(
            {"params": params}, jnp.ones((1, 3, 32)), betas, body, method=HPOF.pose
        )[0]
    )
    before, tall = pose(params, jnp.zeros((1, 10))), pose(params, jnp.zeros((1, 10)).at[0, 0].set(2.0))
    assert float(jnp.abs(before - tall).max()) > 1e-4
    params["flat_head"]["bias"] = params["flat_head"]["bias"].at[0].add(0.3)
    moved = np.abs(np.asarray(pose(params, jnp.zeros((1, 10))) - before)).max(axis=(0, 1, 3, 4)) > 1e-6
    assert moved.tolist() == [True] + 23 * [False]
