"""The training step and the evaluation step: pure functions that use an `axis_name` and no devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hpof_jax.body.mirror import mirror_observations
from hpof_jax.body.model import BodyModel
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.geometry.temporal import smooth_rotations
from hpof_jax.models.flip import average_flipped
from hpof_jax.models.hpof import HPOF, Prediction
from hpof_jax.models.inputs import Inputs, make_inputs
from hpof_jax.training.adversary import Adversary
from hpof_jax.training.state import TrainState
from hpof_jax.training.terms import Batch, loss_terms


def make_train_step(
    model: HPOF,
    body: BodyModel,
    optimizer: optax.GradientTransformation,
    loss_weights: Mapping[str, float | optax.Schedule],
    *,
    seed: int,
    ema_decay: float,
    hide_3d: float,
    axis_name: str,
    outline: BodyModel | None = None,
    adversary: Adversary | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
    """One optimizer step on this device's part of the batch.

    The model and the discriminator are updated from the same predictions. Every masked mean is
    `psum(sum) / psum(count)`, so several devices give the result of one, whatever valid frames each has.

    Args:
      loss_weights: loss name -> loss weight, or its schedule: finished steps -> loss weight. A loss that is
        not named is not computed.
      seed: of all randomness, with the step.
      ema_decay: of the moving average of the parameters.
      hide_3d: share of the clips whose `landmarks_3d` are withheld from the model.
      axis_name: of the device axis that the step is mapped over.
      outline: a coarse body (`body.coarse.decimate`), for the losses on silhouettes and flow.
      adversary: for the loss `adversarial`; the batch then also has real motion, `real_pose` (B, T, 24, 3)
        axis-angle and `real_betas` (B, 10). Without it, the state's discriminator stays as it is.

    Returns:
      `step(state, batch) -> (state, logs)`. `logs` has each loss before its loss weight, the weighted `total`
      and the `gradient_norm`. With an adversary it also has the loss `discriminator` and for each head
      `accuracy_*`, the share of scores on the right side of 0.5, averaged over real and predicted clips.
    """

    def means_of(terms):
        means = {}
        for name, (value, count) in terms.items():
            count = jax.lax.psum(jax.lax.stop_gradient(count), axis_name)
            means[name] = value / jnp.maximum(count, 1.0)
        return means

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        device = jax.lax.axis_index(axis_name)
        clips = batch["mask"].shape[0]
        # Each clip of the global batch has its own key, so the number of devices does not matter.
        clip_keys = jax.vmap(lambda i: jax.random.fold_in(key, device * clips + i))(jnp.arange(clips))
        hidden = ~jax.vmap(lambda k: jax.random.bernoulli(k, 1.0 - hide_3d))(clip_keys)
        inputs = batch_inputs(batch, hidden)
        dropout = jax.random.fold_in(key, -1 - device)

        def total_loss(params):
            prediction = model.apply(
                {"params": params}, inputs, body, deterministic=False, rngs={"dropout": dropout}
            )
            means = means_of(loss_terms(body, inputs, prediction, batch, loss_weights, outline))
            if adversary:
                heads = adversary.generator_terms(state.discriminator["params"], prediction, inputs.mask)
                means["adversarial"] = sum(means_of(heads).values()) / len(heads)
            return sum(factor[name] * mean for name, mean in means.items()), (means, prediction)

        factor = {
            name: weight(state.step) if callable(weight) else weight for name, weight in loss_weights.items()
        }
        gradient, (means, prediction) = jax.grad(total_loss, has_aux=True)(state.params)
        gradient, logs = jax.lax.psum((gradient, means), axis_name)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # A shorter average in the first steps, so that the initial parameters are soon forgotten.
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, state.ema, params)
        logs["total"] = sum(factor[name] * logs[name] for name in means)
        logs["gradient_norm"] = optax.global_norm(gradient)
        discriminator = state.discriminator
        if adversary:
            discriminator, more = update_discriminator(discriminator, prediction, inputs.mask, batch)
            logs |= more
        return TrainState(state.step + 1, params, ema, opt_state, discriminator), logs

    def update_discriminator(state, prediction, mask, batch):
        real = axis_angle_to_matrix(batch["real_pose"]), batch["real_betas"]

        def total_loss(params):
            loss, accuracy = adversary.discriminator_terms(params, prediction, mask, *real)
            loss, accuracy = means_of(loss), means_of(accuracy)
            return sum(loss.values()) / len(loss), accuracy

        (loss, accuracy), gradient = jax.value_and_grad(total_loss, has_aux=True)(state["params"])
        gradient, loss, accuracy = jax.lax.psum((gradient, loss, accuracy), axis_name)
        updates, opt_state = adversary.optimizer.update(gradient, state["opt_state"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        heads = {name.rpartition("_")[0] for name in accuracy}
        logs = {f"accuracy_{h}": (accuracy[f"{h}_fake"] + accuracy[f"{h}_real"]) / 2 for h in sorted(heads)}
        return {"params": params, "opt_state": opt_state}, {"discriminator": loss} | logs

    return step


def make_eval_step(
    model: HPOF, body: BodyModel, raw: bool = True, hide_3d: bool = False
) -> Callable[[Any, Batch], Prediction]:
    """The prediction for a batch, without dropout.

    Args:
      raw: the raw prediction; else with flip test-time augmentation and smoothing, as in a reconstruction.
      hide_3d: the detector's 3D landmarks are withheld from the model.

    Returns:
      `step(params, batch) -> Prediction`.
    """

    def predict(params, batch):
        return model.apply({"params": params}, batch_inputs(batch, hide_3d), body)

    def step(params: Any, batch: Batch) -> Prediction:
        if raw:
            return predict(params, batch)
        mean = average_flipped(predict(params, batch), predict(params, mirror_observations(batch)))
        return mean._replace(rotations=smooth_rotations(mean.rotations, batch["mask"]))

    return step


def batch_inputs(batch: Batch, hide_3d: jax.Array | bool = False) -> Inputs:
    """The model's inputs from a batch of the stream."""
    keys = ("landmarks_2d", "landmarks_3d", "seen", "mask", "image_size", "focal_length")
    return make_inputs(*(batch[key] for key in keys), hide_3d=hide_3d)
