import jax
import numpy as np
import optax
import pytest

from configs import hpof
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.discriminator import EVERY, Discriminator
from hpof_jax.models.hpof import Prediction
from hpof_jax.training import state, steps
from hpof_jax.training.adversary import Adversary

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

WEIGHTS = {"keypoints_3d": 10.0, "adversarial": 0.5}
HEADS = ("motion", "joints", "body", "shape")


def make(rate=1e-3):
    return Adversary(Discriminator(channels=8), optax.adam(rate))


@pytest.fixture
def motion(batch):
    """The batch, with real motion that is much calmer than the first predictions."""
    rng = np.random.default_rng(1)
    clips, frames = batch["mask"].shape
    real = np.broadcast_to(rng.normal(0, 0.2, (clips, 1, 24, 3)), (clips, frames, 24, 3))
    return batch | {"real_pose": np.float32(real), "real_betas": np.float32(rng.normal(size=(clips, 10)))}


def stepper(model, body, adversary, weights=WEIGHTS):
    step = steps.make_train_step(
        model,
        body,
        optax.adam(1e-3),
        weights,
        seed=0,
        ema_decay=0.9,
        hide_3d=0.0,
        axis_name="batch",
        adversary=adversary,
    )
    one = jax.jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name="batch"))
    return lambda now, batch: one(now, {key: value[None] for key, value in batch.items()})


def start(model, body, adversary):
    return state.init_state(model, body, optax.adam(1e-3), 0, adversary)


def test_the_terms_are_those_of_lsgan(motion):
    adversary = make()
    rotations = axis_angle_to_matrix(motion["pose"])
    prediction = Prediction(
        motion["betas"][:, None], rotations, np.zeros((*motion["mask"].shape, 3), np.float32)
    )
    real = axis_angle_to_matrix(motion["real_pose"]), motion["real_betas"]
    mask = motion["mask"].copy()
    mask[2, 3:] = False
    params = adversary.discriminator.init(jax.random.key(3), *real, mask)["params"]
    fake = adversary.scores(params, rotations, motion["betas"], mask)
    found = adversary.generator_terms(params, prediction, mask)
    loss, accuracy = adversary.discriminator_terms(params, prediction, mask, *real)
    true = adversary.scores(params, *real, np.ones_like(mask))
    # Of shapes in every frame, the mean is judged.
    betas = motion["betas"][:, None] + np.float32([-1, 1, 0, 0, 0, 0])[:, None]
    by_frame = adversary.generator_terms(params, prediction._replace(betas=betas), np.ones_like(mask))
    whole = adversary.generator_terms(params, prediction, np.ones_like(mask))
    np.testing.assert_allclose(by_frame["shape"], whole["shape"], rtol=1e-4)
    assert set(found) == set(HEADS) and len(loss) == len(accuracy) == 2 * len(HEADS)
    for head in HEADS:
        score, real_score = np.asarray(getattr(fake, head)), np.asarray(getattr(true, head))
        counted = score[mask[:, ::EVERY]] if score.ndim > 1 else score
        for (value, count), want in (
            (found[head], np.square(counted - 1)),
            (loss[f"{head}_fake"], np.square(counted)),
            (loss[f"{head}_real"], np.square(real_score - 1)),
            (accuracy[f"{head}_fake"], counted < 0.5),
            (accuracy[f"{head}_real"], real_score > 0.5),
        ):
            assert count == want.size
            np.testing.assert_allclose(value / count, want.mean(), rtol=1e-4, atol=1e-6)


def test_the_discriminator_and_the_generator_learn(model, body, motion):
    adversary = make()
    step = stepper(model, body, make(rate=0.0))  # a discriminator that does not learn
    # If the generator does not learn from it, the discriminator wins.
    alone = stepper(model, body, adversary, WEIGHTS | {"adversarial": 0.0})
    now, first = alone(start(model, body, adversary), motion)
    for _ in range(120):
        now, logs = alone(now, motion)
    assert logs["discriminator"] < 0.5 * first["discriminator"]
    assert logs["accuracy_motion"] > 0.9 and logs["accuracy_body"] > 0.9
    told = float(logs["adversarial"])
    for _ in range(60):
        now, logs = step(now, motion)
    assert logs["adversarial"] < 0.8 * told
    assert set(logs) == {
        *WEIGHTS, "total", "gradient_norm", "skipped", "discriminator", *(f"accuracy_{head}" for head in HEADS)
    }  # fmt: skip
    np.testing.assert_allclose(
        logs["total"], sum(weight * logs[name] for name, weight in WEIGHTS.items()), rtol=1e-5
    )


def test_the_ramp(model, body, motion):
    """At zero, the generator learns as without an adversary, while the discriminator learns already."""
    adversary = make()
    step = stepper(model, body, adversary, WEIGHTS | {"adversarial": optax.linear_schedule(0.0, 0.5, 2, 1)})
    plain = stepper(model, body, None, {"keypoints_3d": 10.0})
    now, without = start(model, body, adversary), start(model, body, None)
    assert without.discriminator == {}
    same = []
    for _ in range(3):
        old = now
        now, logs = step(now, motion)
        without, _ = plain(without, motion)
        leaves = zip(jax.tree.leaves(now.params), jax.tree.leaves(without.params), strict=True)
        same.append(all(np.allclose(a, b, atol=1e-7) for a, b in leaves))
        moved = [
            np.abs(a - b).max()
            for a, b in zip(*map(jax.tree.leaves, (now.discriminator["params"], old.discriminator["params"])))
        ]
        assert max(moved) > 0
    assert same == [True, True, False]


def test_only_the_named_loss_makes_an_adversary():
    assert state.make_adversary(hpof.get_config()) is not None
    assert state.make_adversary(hpof.get_config("no_adversary")) is None
    config = hpof.get_config()
    del config.losses.adversarial
    assert state.make_adversary(config) is None
