"""The training step and the evaluation step: pure functions that know their `axis_name` and nothing of devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hpof_jax.body.model import BodyModel, keypoints
from hpof_jax.geometry import camera
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.hpof import HPOF, Prediction
from hpof_jax.models.inputs import Inputs, make_inputs
from hpof_jax.training import losses
from hpof_jax.training.state import TrainState

Batch = Mapping[str, jax.Array]


def make_train_step(
    model: HPOF,
    body: BodyModel,
    optimizer: optax.GradientTransformation,
    weights: Mapping[str, float],
    *,
    seed: int,
    ema_decay: float,
    drop_3d: float,
    axis_name: str,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
    """One optimizer step on this device's share of the batch.

    Every masked mean is `psum(sum) / psum(count)`: devices with more valid frames weigh more, as on one device.

    Args:
      weights: loss name -> factor; a loss that is not named is not computed.
      drop_3d: share of the clips whose `landmarks_3d` are hidden.

    Returns:
      `step(state, batch) -> (state, logs)`; logs holds every loss unweighted, the total and the gradient's norm.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        device = jax.lax.axis_index(axis_name)
        clips = batch["mask"].shape[0]
        # Keys belong to clips of the global batch, so that the number of devices does not change them.
        clip_keys = jax.vmap(lambda i: jax.random.fold_in(key, device * clips + i))(jnp.arange(clips))
        keep_3d = jax.vmap(lambda k: jax.random.bernoulli(k, 1.0 - drop_3d))(clip_keys)
        inputs = batch_inputs(batch, keep_3d)
        dropout = jax.random.fold_in(key, -1 - device)

        def total_loss(params):
            prediction = model.apply(
                {"params": params}, inputs, body, deterministic=False, rngs={"dropout": dropout}
            )
            terms = loss_terms(body, inputs, prediction, batch, weights)
            means = {}
            for name, (value, count) in terms.items():
                count = jax.lax.psum(jax.lax.stop_gradient(count), axis_name)
                means[name] = value / jnp.maximum(count, 1.0)
            return sum(weights[name] * mean for name, mean in means.items()), means

        gradient, means = jax.grad(total_loss, has_aux=True)(state.params)
        gradient, logs = jax.lax.psum((gradient, means), axis_name)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # The average follows closely while it is young.
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, state.ema, params)
        logs["total"] = sum(weights[name] * logs[name] for name in means)
        logs["gradient_norm"] = optax.global_norm(gradient)
        return TrainState(state.step + 1, params, ema, opt_state), logs

    return step


def loss_terms(
    body: BodyModel, inputs: Inputs, prediction: Prediction, batch: Batch, weights: Mapping[str, float]
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Every loss named in `weights` as (sum, count) over this batch; see `losses` for the terms."""
    mask = inputs.mask
    has_smpl = mask & batch["has_smpl"][:, None]
    has_3d = mask & batch["has_3d"][:, None]
    # What is not known may be NaN: it is taken out before it meets a prediction, whose gradient it would spoil.
    known = has_smpl | has_3d
    betas = jnp.where(jnp.any(known, axis=-1)[:, None], batch["betas"], 0.0)
    true_rotations = axis_angle_to_matrix(jnp.where(known[..., None, None], batch["pose"], 0.0))
    transl = jnp.where(has_3d[..., None], batch["transl"], 0.0)
    pred_points, pred_joints = keypoints(
        body, body.landmarks, prediction.betas[:, None], prediction.rotations
    )
    true_points, true_joints = keypoints(body, body.landmarks, betas[:, None], true_rotations)
    pred_3d = _relative(pred_joints, pred_points)
    true_3d = _relative(true_joints, true_points)

    terms = {}
    if "keypoints_2d" in weights:
        pelvis = camera.cam_to_translation(
            prediction.cam, inputs.box, batch["focal_length"][:, None], batch["image_size"][:, None]
        )
        pred_2d = _project(
            pred_points - pred_joints[..., :1, :], pelvis, batch["focal_length"], batch, inputs.box
        )
        place = transl + true_joints[..., 0, :]
        true_2d = _project(
            true_points - true_joints[..., :1, :], place, batch["true_focal_length"], batch, inputs.box
        )
        # A landmark far outside the box is cut off by the frame's edge or lies behind the camera.
        inside = jnp.max(jnp.abs(true_2d), axis=-1) < 3.0
        errors = losses.keypoints_2d(jnp.clip(pred_2d, -6.0, 6.0), true_2d, inside.astype(pred_2d.dtype))
        terms["keypoints_2d"] = losses.masked_sum(errors, has_3d)
    if "keypoints_3d" in weights:
        errors = losses.keypoints_3d(pred_3d, true_3d, jnp.ones_like(pred_3d[..., 0]))
        terms["keypoints_3d"] = losses.masked_sum(errors, has_3d)
    if "body_pose" in weights:
        errors = losses.body_pose(prediction.rotations, true_rotations)
        terms["body_pose"] = losses.masked_sum(errors, has_smpl)
    if "betas" in weights:
        errors = losses.betas(prediction.betas, betas)
        terms["betas"] = losses.masked_sum(errors, batch["has_smpl"] & jnp.any(mask, axis=-1))
    if "smoothness" in weights:
        target = jnp.where(batch["has_3d"][:, None, None, None], true_3d, 0.0)
        errors = losses.smoothness(pred_3d, target)
        terms["smoothness"] = losses.masked_sum(errors, mask[:, 2:] & mask[:, 1:-1] & mask[:, :-2])
    return terms


def make_eval_step(model: HPOF, body: BodyModel) -> Callable[[Any, Batch], Prediction]:
    """`step(params, batch) -> Prediction`, without dropout."""

    def step(params: Any, batch: Batch) -> Prediction:
        return model.apply({"params": params}, batch_inputs(batch), body)

    return step


def batch_inputs(batch: Batch, keep_3d: jax.Array | bool = True) -> Inputs:
    """The model's inputs from a batch of the stream."""
    keys = ("landmarks_2d", "landmarks_3d", "seen", "mask", "image_size", "focal_length")
    return make_inputs(*(batch[key] for key in keys), keep_3d=keep_3d)


def _relative(joints, points):
    """Joints and landmarks together, relative to the pelvis: (B, T, 24 + 33, 3)."""
    return jnp.concatenate([joints, points], axis=-2) - joints[..., :1, :]


def _project(points, pelvis, focal_length, batch, box):
    """Pelvis-relative points (B, T, K, 3) at a place (B, T, 3) to box coordinates (B, T, K, 2)."""
    placed = points + pelvis[..., None, :]
    pixels = camera.project(placed, focal_length[:, None, None], batch["image_size"][:, None, None])
    return camera.to_box(pixels, box)
