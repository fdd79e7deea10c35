import jax
import numpy as np
import pytest

from hpof_jax.body.model import posed_joints
from hpof_jax.models.hpof import HPOF, Prediction, predict_long
from hpof_jax.models.inputs import Inputs

pytestmark = pytest.mark.slow

joints_of = jax.jit(lambda body, prediction: posed_joints(body, prediction.betas, prediction.rotations))


@pytest.fixture(scope="module")
def predict(model, body):
    """`predict(params, inputs)`, compiled."""
    apply = jax.jit(lambda params, inputs, body: model.apply({"params": params}, inputs, body))
    return lambda params, inputs: apply(params, inputs, body)


def assert_close(a, b, atol=2e-6):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, atol=atol)


def test_a_clip_has_one_shape_and_constant_bones(predict, params, observe, body):
    prediction = predict(params, observe(20))
    assert prediction.betas.shape == (2, 1, 10)
    assert prediction.rotations.shape == (2, 20, 24, 3, 3)
    assert prediction.cam.shape == (2, 20, 3) and np.all(prediction.cam[..., 0] > 0)
    joints = np.asarray(joints_of(body, prediction))
    bones = np.linalg.norm(joints[:, :, 1:] - joints[:, :, np.array(body.parents[1:])], axis=-1)
    assert bones.std(axis=1).max() < 1e-6


def test_it_starts_upright_and_facing_the_camera(predict, initial, observe, body):
    joints = np.asarray(joints_of(body, predict(initial, observe(20))))
    up = joints[..., 15, :] - joints[..., 0, :]
    assert (up[..., 1] < -0.9 * np.linalg.norm(up, axis=-1)).all()
    assert (joints[..., 16, 0] > joints[..., 17, 0]).all(), "the left shoulder is on the right of the picture"


@pytest.mark.parametrize("frames", [1, 40, 41])
def test_chunks_give_what_one_pass_gives(model, predict, params, observe, body, frames):
    inputs = observe(frames)
    assert_close(predict(params, inputs), predict_long(model, params, inputs, body, chunk=20))


def test_padding_changes_nothing(predict, params, observe):
    short, rng = observe(20), np.random.default_rng(5)
    noise = rng.normal(size=(2, 9, short.features.shape[-1])).astype(np.float32)
    absent = np.zeros((2, 9), bool)
    ends = Inputs(noise, np.full((2, 9, 3), 7.0, np.float32), absent, absent)
    padded = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), short, ends)
    betas, rotations, cam = predict(params, padded)
    assert_close(predict(params, short), (betas, rotations[:, :20], cam[:, :20]), atol=1e-6)


def test_a_cut_separates_what_the_encoder_sees_and_the_shape_stays_one(model, params, observe, body):
    inputs, cut = observe(41), 27
    whole = predict_long(model, params, inputs, body, chunk=20)
    shots = predict_long(model, params, inputs, body, chunk=20, shots=[slice(0, cut), slice(cut, 41)])
    encode = jax.jit(lambda *args: model.apply({"params": params}, *args, method=HPOF.encode))
    features = np.concatenate(
        [encode(inputs.features[:, part], inputs.mask[:, part]) for part in (slice(cut), slice(cut, None))], 1
    )
    betas = model.apply({"params": params}, features, inputs.seen, method=HPOF.shape)
    pose = jax.jit(lambda *args: model.apply({"params": params}, *args, body, method=HPOF.pose))
    assert_close(shots, (betas, *pose(features, betas)))
    assert shots.betas.shape == (2, 1, 10)
    change = np.abs(shots.rotations - whole.rotations).max(axis=(0, 2, 3, 4))
    border = model.encoder.border
    assert change[cut - border : cut + border].min() > 10 * change[: cut - border].max() + 1e-5


@pytest.mark.parametrize("shots", [[(0, 10)], [(0, 10), (12, 20)], [(0, 12), (10, 20)], [(0, 0), (0, 20)]])
def test_shots_that_do_not_cover_the_clip(model, params, observe, body, shots):
    with pytest.raises(ValueError, match="in order and without gaps"):
        predict_long(model, params, observe(20), body, shots=[slice(*shot) for shot in shots])


def test_gradients_are_finite_and_reach_every_parameter(model, params, observe, body):
    rng = np.random.default_rng(0)

    def loss(params, inputs, body, weights):
        prediction = model.apply({"params": params}, inputs, body)
        return sum((x * weight).sum() for x, weight in zip(prediction, weights, strict=True))

    weights = [rng.normal(size=shape) for shape in ((2, 1, 10), (2, 11, 24, 3, 3), (2, 11, 3))]
    gradient = jax.jit(jax.grad(loss))(params, observe(11), body, weights)
    gradient["kinematic_head"].pop("context_0")  # the root has no bone and no ancestors
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all() and np.any(leaf), jax.tree_util.keystr(path)


def test_the_shape_of_a_clip_is_the_mean_of_its_frames():
    betas = np.arange(60.0).reshape(2, 3, 10)
    prediction = Prediction(betas, np.zeros((2, 3, 24, 3, 3)), np.zeros((2, 3, 3)))
    mask = np.array([[True, True, False], [False, True, False]])
    np.testing.assert_allclose(prediction.clip_betas(mask), [betas[0, :2].mean(axis=0), betas[1, 1]])
    one = prediction._replace(betas=betas[:, :1])
    np.testing.assert_array_equal(one.clip_betas(mask), betas[:, 0])
