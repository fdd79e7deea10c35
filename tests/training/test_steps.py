import jax
import numpy as np
import optax
import pytest

from configs import hpof
from hpof_jax.body.mirror import mirror_observations
from hpof_jax.models.build import init_params
from hpof_jax.models.flip import average_flipped
from hpof_jax.training import state, steps
from hpof_jax.training.terms import loss_terms
from tests.training.conftest import PerFrame

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

LOSS_WEIGHTS = hpof.BASE_LOSSES
GROUND_TRUTH = ("pose", "betas", "transl")


@pytest.fixture(scope="module")
def loss(model, body):
    """`(params, batch) -> ({term: mean}, gradient of the total)`."""

    def total(params, batch):
        inputs = steps.batch_inputs(batch)
        found = loss_terms(body, inputs, model.apply({"params": params}, inputs, body), batch, LOSS_WEIGHTS)
        means = {name: value for name, (value, _) in found.items()}
        return sum(means.values()), found

    return jax.jit(jax.grad(total, has_aux=True))


@pytest.fixture(scope="module")
def params(model, body):
    return init_params(model, body, 0)


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def changed(batch, where, **values):
    """A copy of the batch in which the named arrays are `values` at the index `where`."""
    batch = {key: value.copy() for key, value in batch.items()}
    for key, value in values.items():
        batch[key][where] = value
    return batch


def test_every_loss_of_the_config_is_there_and_finite(loss, params, batch):
    gradient, terms = loss(params, batch)
    assert set(terms) == set(LOSS_WEIGHTS)
    clips, frames = batch["mask"].shape
    counts = dict.fromkeys(LOSS_WEIGHTS, clips * frames) | {
        "betas": clips,
        "smoothness": clips * (frames - 2),
    }
    assert {name: int(count) for name, (_, count) in terms.items()} == counts
    assert all(float(value) > 0 for value, _ in terms.values())
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_only_the_named_losses_are_computed(model, body, batch, params):
    prediction = jax.eval_shape(lambda: model.apply({"params": params}, steps.batch_inputs(batch), body))
    for name in LOSS_WEIGHTS:
        found = jax.eval_shape(
            lambda p, b, name=name: loss_terms(body, steps.batch_inputs(b), p, b, {name: 1.0}),
            prediction,
            batch,
        )
        assert list(found) == [name]


def test_a_clip_without_ground_truth_is_left_out(loss, params, batch):
    """Its arrays may be anything, NaN included: in the losses and in their gradient."""
    nothing = changed(batch, 2, has_3d=False, has_smpl=False)
    unknown = changed(nothing, 2, **dict.fromkeys(GROUND_TRUTH, np.nan))
    gradient, terms = loss(params, unknown)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
    assert_same(loss(params, nothing), (gradient, terms))
    _, whole = loss(params, batch)
    for name in ("keypoints_3d", "body_pose"):
        assert float(whole[name][1] - terms[name][1]) == batch["mask"].shape[1]
    assert float(whole["keypoints_2d"][1]) == float(terms["keypoints_2d"][1]), (
        "it has the detector's landmarks"
    )
    assert float(whole["betas"][1] - terms["betas"][1]) == 1
    assert float(whole["smoothness"][1]) == float(terms["smoothness"][1]), "it needs no ground truth"


def test_each_kind_of_ground_truth_has_its_own_losses(loss, params, batch):
    _, whole = loss(params, batch)
    _, no_3d = loss(params, changed(batch, 2, has_3d=False))
    _, no_smpl = loss(params, changed(batch, 2, has_smpl=False))
    assert (
        float(no_3d["keypoints_3d"][1]) < float(whole["keypoints_3d"][1]) == float(no_smpl["keypoints_3d"][1])
    )
    for name in ("body_pose", "betas"):
        assert float(no_smpl[name][1]) < float(whole[name][1]) == float(no_3d[name][1])


def test_an_unknown_position_reaches_no_gradient(loss, params, batch):
    gradient, _ = loss(params, changed(batch, 2, has_3d=False, transl=np.nan))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_padded_frames_influence_nothing(loss, params, batch):
    padding = (slice(None), slice(4, None))
    short = changed(batch, padding, mask=False)
    garbage = changed(
        short,
        padding,
        pose=np.nan,
        transl=np.nan,
        landmarks_2d=1e4,
        landmarks_3d=-7.0,
    )
    assert_same(loss(params, short), loss(params, garbage))
    assert not np.allclose(loss(params, batch)[1]["body_pose"], loss(params, short)[1]["body_pose"])


@pytest.fixture(scope="module")
def trained(body):
    """`(model, batch) -> (before, after 30 steps, logs)` on one batch."""
    optimizer = optax.adam(0.003)

    def run(model, batch):
        before = state.init_state(model, body, optimizer, 0)
        step = steps.make_train_step(
            model, body, optimizer, LOSS_WEIGHTS, seed=0, ema_decay=0.9, hide_3d=0.3, axis_name="batch"
        )
        # vmap knows the axis, too, so that no device has to be asked for.
        one = jax.jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name="batch"))
        stacked = {key: value[None] for key, value in batch.items()}
        logs, after = [], before
        for _ in range(30):
            after, log = one(after, stacked)
            logs.append(jax.device_get(log))
        return before, after, logs

    return run


def test_steps_on_one_batch_lower_the_loss(trained, model, batch):
    before, after, logs = trained(model, batch)
    assert int(after.step) == 30
    assert set(logs[0]) == {*LOSS_WEIGHTS, "total", "gradient_norm", "skipped"}
    for log in logs:
        assert log["skipped"] == 0
        total = sum(weight * log[name] for name, weight in LOSS_WEIGHTS.items())
        np.testing.assert_allclose(log["total"], total, rtol=1e-5)
    assert logs[-1]["total"] < 0.7 * logs[0]["total"]
    assert logs[-1]["keypoints_3d"] < 0.8 * logs[0]["keypoints_3d"]
    leaf = lambda tree: np.asarray(jax.tree.leaves(tree)[0])  # noqa: E731
    distance = [np.abs(leaf(tree) - leaf(after.params)).mean() for tree in (after.ema, before.params)]
    assert 0 < distance[0] < distance[1], "the average follows the parameters"


class Corrected(PerFrame):
    """A model whose last answer passes no gradient to its first one, as a fitting head that trusts the landmarks."""

    def answers(self, *args, **options):
        first = self(*args, **options)
        return first, jax.lax.stop_gradient(first)


def test_the_first_answer_of_two_is_trained_itself(trained, batch):
    _, _, logs = trained(Corrected(), batch)
    first = {f"first_{name}" for name in LOSS_WEIGHTS if name != "betas"}
    assert set(logs[0]) == {*LOSS_WEIGHTS, *first, "total", "gradient_norm", "skipped"}
    for log in logs:
        total = sum(
            weight * (log[name] + log.get(f"first_{name}", 0.0)) for name, weight in LOSS_WEIGHTS.items()
        )
        np.testing.assert_allclose(log["total"], total, rtol=1e-5)
    assert logs[-1]["first_keypoints_3d"] < 0.8 * logs[0]["first_keypoints_3d"]


def test_flip_augmentation_has_no_preferred_side(model, body, batch):
    params = jax.tree.map(
        lambda x: x + 0.05 * np.random.default_rng(x.size).normal(size=x.shape),
        init_params(model, body, 0),
    )
    predict = jax.jit(steps.make_eval_step(model, body, raw=False))
    batch["mask"][:3, 4:] = False
    other = mirror_observations(batch)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        dict(mirror_observations(other)),
        dict(batch),
    )
    answer, mirrored = predict(params, batch), predict(params, other)
    blind = predict(params, batch | {"seen": ~batch["seen"]})
    assert np.abs(answer.rotations - blind.rotations).max() > 1e-3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), average_flipped(answer, mirrored), answer
    )


def test_one_input_of_two_is_hidden_in_some_clips_and_never_both():
    clips, frames = 2000, 2
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(clips))
    known = np.ones((clips, frames), bool)
    known[:500] = False
    batch = {
        "image_features": 0,
        "has_features": known,
        "seen": np.ones_like(known),
        "mask": np.ones_like(known),
    }
    landmarks, features = map(np.asarray, steps._hidden_inputs(keys, batch, 0.25))
    assert not (landmarks & features).any() and not landmarks[:500].any()
    assert 0.2 < landmarks[500:].mean() < 0.3 and 0.2 < features.mean() < 0.3
    assert steps._hidden_inputs(keys, {}, 0.25) == (False, False)
    assert steps._hidden_inputs(keys, batch, 0.0) == (False, False)


def test_hidden_image_features_are_unknown_to_the_model(batch):
    clips, frames = batch["mask"].shape
    image = {
        "image_features": np.ones((clips, frames, 2048), np.float16),
        "has_features": np.ones((clips, frames), bool),
    }
    hidden = np.arange(clips) == 0
    features = np.asarray(jax.jit(steps.batch_inputs)(batch | image, hide_features=hidden).features)
    seen = np.asarray(batch["seen"] & batch["mask"])
    np.testing.assert_array_equal(features[..., -1], seen & ~hidden[:, None])
    np.testing.assert_array_equal(features[..., -2], seen & ~hidden[:, None])
