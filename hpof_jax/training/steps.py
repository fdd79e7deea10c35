"""The training step and the evaluation step: pure functions that use an `axis_name` and no devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hpof_jax.body.mirror import mirror_observations
from hpof_jax.body.model import BodyModel, KeypointBasis
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.geometry.temporal import smooth_rotations
from hpof_jax.models.flip import average_flipped
from hpof_jax.models.hpof import HPOF, Prediction
from hpof_jax.models.inputs import Inputs, make_inputs
from hpof_jax.training.adversary import Adversary
from hpof_jax.training.state import TrainState
from hpof_jax.training.terms import Batch, loss_terms

# The losses that count for the first answer, too, if the model has a fitting head, as in LGD and ReFit. From the
# corrected answer alone the encoder would get a small part of their gradient, that through the head's prior.
ANSWER_LOSSES = ("keypoints_2d", "keypoints_3d", "body_pose", "smoothness")
FIRST = "first_"  # before their names in the logs


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
    annotated: KeypointBasis | None = None,
    adversary: Adversary | None = None,
    accumulate: int = 1,
    remat: bool = False,
    hide_input: float = 0.0,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
    """One optimizer step on this device's part of the batch.

    The model and the discriminator are updated from the same predictions. Every masked mean is
    `psum(sum) / psum(count)`, so several devices give the result of one, whatever valid frames each has.

    A step is skipped on all devices if the losses, their gradients or the new parameters are not finite on one
    of them: the state stays as it is, but for `step`.

    Args:
      loss_weights: loss name -> loss weight, or its schedule: finished steps -> loss weight. A loss that is
        not named is not computed.
      seed: of all randomness, with the step.
      ema_decay: of the moving average of the parameters.
      hide_3d: share of the clips whose `landmarks_3d` are withheld from the model.
      axis_name: of the device axis that the step is mapped over.
      outline: a coarse body (`body.coarse.decimate`), for the losses on silhouettes and flow.
      annotated: of batches with annotated points, see `terms.loss_terms`.
      adversary: for the loss `adversarial`; the batch then also has real motion, `real_pose` (B, T, 24, 3)
        axis-angle and `real_betas` (B, 10). Without it, the state's discriminator stays as it is.
      accumulate: parts into which the device's batch is cut. They are computed one after another, in less
        memory, and their gradients are added: the result is that of the whole batch, but for rounding.
      remat: the network's activations are computed again in the backward pass, which saves memory.
      hide_input: share of the clips whose image features are withheld, and share of those with image features whose
        landmarks are withheld; at most 0.5. For a model that takes both.

    Returns:
      `step(state, batch) -> (state, logs)`. `logs` has each loss before its loss weight, the weighted `total`, the
      `gradient_norm` and `skipped`, 1 if the step was skipped and else 0. If the model has a fitting head, the
      losses of its first answer are `first_*`. With an adversary it also has the loss `discriminator` and for each
      head `accuracy_*`, the share of scores on the right side of 0.5, averaged over real and predicted clips.
    """

    def counts_of(terms):
        return {
            name: jax.lax.psum(jax.lax.stop_gradient(count), axis_name) for name, (_, count) in terms.items()
        }

    def means_of(terms, counts=None):
        """This device's part of each mean; counts: over all devices and parts of the batch."""
        counts = counts_of(terms) if counts is None else counts
        return {name: value / jnp.maximum(counts[name], 1.0) for name, (value, _) in terms.items()}

    def predict(params, inputs, dropout):
        rngs = {"dropout": dropout}
        return model.apply({"params": params}, inputs, body, deterministic=False, rngs=rngs, method="answers")

    if remat:
        predict = jax.checkpoint(predict)

    first_weights = {name: loss_weights[name] for name in ANSWER_LOSSES if name in loss_weights}

    def weighted(factor, means):
        return sum(factor[name.removeprefix(FIRST)] * mean for name, mean in means.items())

    def means_of_all(terms, heads, counts=(None, None)):
        """`means_of` the losses, the adversary's included."""
        means = means_of(terms, counts[0])
        if adversary:
            means["adversarial"] = sum(means_of(heads, counts[1]).values()) / len(heads)
        return means

    def all_terms(params, judge, inputs, batch, dropout):
        """The terms of the losses and of the adversary's heads, and the prediction."""
        *earlier, prediction = predict(params, inputs, dropout)
        terms = loss_terms(body, inputs, prediction, batch, loss_weights, outline, annotated)
        for answer in earlier:
            found = loss_terms(body, inputs, answer, batch, first_weights, annotated=annotated)
            terms |= {FIRST + name: term for name, term in found.items()}
        heads = adversary.generator_terms(judge, prediction, inputs.mask) if adversary else {}
        return terms, heads, prediction

    def gradient_in_parts(state, factor, inputs, batch, dropout):
        """Like `jax.grad` of the total loss, for `accumulate` parts of the batch after one another."""
        cut = lambda x: x.reshape(accumulate, -1, *x.shape[1:])  # noqa: E731
        keys = jax.random.split(dropout, accumulate)
        parts = (jax.tree.map(cut, inputs), jax.tree.map(cut, dict(batch)), keys)
        judge = state.discriminator["params"] if adversary else None

        def count(_, part):
            terms, heads, _ = all_terms(state.params, judge, *part)
            return None, [{name: number for name, (_, number) in group.items()} for group in (terms, heads)]

        _, counts = jax.lax.scan(count, None, parts)
        counts = jax.tree.map(lambda x: jax.lax.psum(jnp.sum(x, axis=0), axis_name), counts)

        def add(total, part):
            def total_loss(params):
                terms, heads, prediction = all_terms(params, judge, *part)
                means = means_of_all(terms, heads, counts)
                return weighted(factor, means), (means, prediction)

            gradient, (means, prediction) = jax.grad(total_loss, has_aux=True)(state.params)
            return jax.tree.map(jnp.add, total, (gradient, means)), prediction

        names = [*counts[0], *(["adversarial"] if adversary else [])]
        nothing = jax.tree.map(jnp.zeros_like, state.params), {name: jnp.zeros(()) for name in names}
        (gradient, means), predictions = jax.lax.scan(add, nothing, parts)
        whole = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), predictions)
        return gradient, (means, whole)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        device = jax.lax.axis_index(axis_name)
        clips = batch["mask"].shape[0]
        # Each clip of the global batch has its own key, so the number of devices does not matter.
        clip_keys = jax.vmap(lambda i: jax.random.fold_in(key, device * clips + i))(jnp.arange(clips))
        hidden = ~jax.vmap(lambda k: jax.random.bernoulli(k, 1.0 - hide_3d))(clip_keys)
        inputs = batch_inputs(batch, hidden, *_hidden_inputs(clip_keys, batch, hide_input))
        dropout = jax.random.fold_in(key, -1 - device)

        def total_loss(params):
            judge = state.discriminator["params"] if adversary else None
            terms, heads, prediction = all_terms(params, judge, inputs, batch, dropout)
            means = means_of_all(terms, heads)
            return weighted(factor, means), (means, prediction)

        factor = {
            name: weight(state.step) if callable(weight) else weight for name, weight in loss_weights.items()
        }
        if accumulate > 1 and clips > 1:  # `skips` computes one clip alone
            found = gradient_in_parts(state, factor, inputs, batch, dropout)
        else:
            found = jax.grad(total_loss, has_aux=True)(state.params)
        gradient, (means, prediction) = found
        gradient, logs = jax.lax.psum((gradient, means), axis_name)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        logs["total"] = weighted(factor, {name: logs[name] for name in means})
        logs["gradient_norm"] = optax.global_norm(gradient)
        discriminator = state.discriminator
        if adversary:
            discriminator, more = update_discriminator(discriminator, prediction, inputs.mask, batch)
            logs |= more
        finite = all_finite(
            (logs["total"], logs["gradient_norm"], params, logs.get("discriminator"), discriminator)
        )
        # All devices see the same sums. Agreed all the same: else one defective device would part the states.
        finite = jax.lax.pmin(finite.astype(jnp.int32), axis_name) > 0
        logs["skipped"] = 1.0 - finite
        params, opt_state, discriminator = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, opt_state, discriminator),
            (state.params, state.opt_state, state.discriminator),
        )
        # A shorter average in the first steps, so that the initial parameters are soon forgotten.
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        decay = jnp.where(finite, decay, 1.0)
        ema = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, state.ema, params)
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
      raw: the raw prediction; else with flip test-time augmentation, if the batch has no image features, and
        smoothing, as in a reconstruction.
      hide_3d: the detector's 3D landmarks are withheld from the model.

    Returns:
      `step(params, batch) -> Prediction`.
    """

    def predict(params, batch):
        return model.apply({"params": params}, batch_inputs(batch, hide_3d), body)

    def step(params: Any, batch: Batch) -> Prediction:
        if raw:
            return predict(params, batch)
        mean = predict(params, batch)
        if "image_features" not in batch:
            mean = average_flipped(mean, predict(params, mirror_observations(batch)))
        return mean._replace(rotations=smooth_rotations(mean.rotations, batch["mask"]))

    return step


def all_finite(tree: Any) -> jax.Array:
    """Whether no number of a pytree is NaN or infinite, () bool."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _hidden_inputs(clip_keys: jax.Array, batch: Batch, share: float) -> tuple[jax.Array | bool, ...]:
    """Which clips (B,) have no landmarks, and which no image features; never both."""
    if "image_features" not in batch or not share:
        return False, False
    draw = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 1)))(clip_keys)
    known = jnp.any(batch["has_features"] & batch["seen"] & batch["mask"], axis=1)
    return known & (draw >= 1.0 - share), draw < share


def batch_inputs(
    batch: Batch,
    hide_3d: jax.Array | bool = False,
    hide_landmarks: jax.Array | bool = False,
    hide_features: jax.Array | bool = False,
) -> Inputs:
    """The model's inputs from a batch of the stream.

    Args:
      hide_3d, hide_landmarks, hide_features: (B,) bool or bool, what is withheld from the model.
    """
    keys = ("landmarks_2d", "landmarks_3d", "seen", "mask", "image_size", "focal_length")
    image = {}
    if "image_features" in batch:
        shown = ~jnp.broadcast_to(jnp.asarray(hide_features), batch["seen"].shape[:1])
        image = {
            "image_features": batch["image_features"],
            "has_features": batch["has_features"] & shown[:, None],
        }
    return make_inputs(*(batch[key] for key in keys), hide_3d=hide_3d, hide_landmarks=hide_landmarks, **image)
