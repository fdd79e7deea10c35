"""The losses of a batch and a prediction, as sums and counts that add up over devices."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hpof_jax.body.model import BodyModel, KeypointBasis, keypoints, skin
from hpof_jax.body.skeletons import SPIN24
from hpof_jax.geometry import camera
from hpof_jax.geometry.picture_losses import in_frame
from hpof_jax.geometry.rasterizer import soft_silhouette
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.geometry.visibility import in_front
from hpof_jax.models.hpof import Prediction
from hpof_jax.models.inputs import Inputs
from hpof_jax.training import losses

Batch = Mapping[str, jax.Array]
OUTLINE_LOSSES = frozenset(("silhouette", "flow_silhouette", "vertex_flow"))
STEP = 4  # pixels; every fourth row and column is enough for the mean over a batch of silhouettes
LOSSES = OUTLINE_LOSSES | {"keypoints_2d", "keypoints_3d", "body_pose", "betas", "smoothness", "adversarial"}


def loss_terms(
    body: BodyModel,
    inputs: Inputs,
    prediction: Prediction,
    batch: Batch,
    loss_weights: Mapping[str, Any],
    outline: BodyModel | None = None,
    annotated: KeypointBasis | None = None,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """The losses that `loss_weights` names, except `adversarial`: name -> (sum, count). See `losses`.

    In clips without `has_3d` the target of `keypoints_2d` is the detector's landmarks, weighted by their
    visibility, in frames in which the person is seen. Annotated points, where a batch has them, replace the
    detector's landmarks, and give `keypoints_3d` in clips without `has_smpl`.

    Args:
      body: the full body.
      inputs: the model's inputs for this batch.
      batch: of the stream, see `data_pipelines.stream.make_stream`.
      loss_weights: loss name -> anything; only the names matter here.
      outline: a coarse body, for `OUTLINE_LOSSES`. Their part of the batch is K consecutive frames of each
        clip, from `flow_first` (B,) on: `flow_box` (B, K, 3), zeros where the person is not seen; in the
        R x R pixels of these boxes `flow` (B, K - 1, 2, R, R, 2), `flow_valid` (B, K - 1, 2, R, R) and
        `masks` (B, K, R, R) in 0..255; and whether they are known, `has_flow` and `has_mask` (B,).
      annotated: the keypoint set `spin49`, whose last 24 points `keypoints_2d` (B, T, 24, 3) and `keypoints_3d`
        (B, T, 24, 4) of the batch are, with their confidence last; None: the batch has none.
    """
    mask = inputs.mask
    has_smpl = mask & batch["has_smpl"][:, None]
    has_3d = mask & batch["has_3d"][:, None]
    points = _annotated(body, annotated, prediction, batch, mask) if annotated is not None else None
    # Clips whose ground truth in 3D is that of the body, and not of annotated points.
    posed = batch["has_3d"] if points is None else batch["has_3d"] & ~points.clips
    has_3d = has_3d & posed[:, None]
    # Unknown ground truth may be NaN, and NaN would reach the gradient even through a mask.
    known = has_smpl | has_3d
    betas = jnp.where(jnp.any(known, axis=-1)[:, None], batch["betas"], 0.0)
    true_rotations = axis_angle_to_matrix(jnp.where(known[..., None, None], batch["pose"], 0.0))
    transl = jnp.where(has_3d[..., None], batch["transl"], 0.0)
    pred_points, pred_joints = keypoints(body, body.landmarks, prediction.betas, prediction.rotations)
    true_points, true_joints = keypoints(body, body.landmarks, betas[:, None], true_rotations)
    pred_3d = _relative(pred_joints, pred_points)
    true_3d = _relative(true_joints, true_points)

    terms = {}
    if "keypoints_2d" in loss_weights:
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
        labelled = posed[:, None, None]
        detected, visibility = batch["landmarks_2d"][..., :2], batch["landmarks_2d"][..., 2]
        target = jnp.where(labelled[..., None], true_2d, camera.to_box(detected, inputs.box))
        # A landmark far outside the box lies beyond the frame's edge or behind the camera.
        inside = jnp.max(jnp.abs(target), axis=-1) < 3.0
        confidence = inside * jnp.where(labelled, 1.0, visibility)
        errors = losses.keypoints_2d(jnp.clip(pred_2d, -6.0, 6.0), target, confidence)
        counted = jnp.where(labelled[..., 0], mask, inputs.seen)
        if points is not None:
            offset = points.pred - pred_joints[..., :1, :]
            drawn = _project(offset, pelvis, batch["focal_length"], batch, inputs.box)
            target = camera.to_box(batch["keypoints_2d"][..., :2], inputs.box)
            errors_of_points = losses.keypoints_2d(jnp.clip(drawn, -6.0, 6.0), target, points.confidence_2d)
            errors = jnp.where(points.frames_2d, errors_of_points, errors)
            counted = counted | points.frames_2d
        terms["keypoints_2d"] = losses.masked_sum(errors, counted)
    if "keypoints_3d" in loss_weights:
        errors = losses.keypoints_3d(pred_3d, true_3d, jnp.ones_like(pred_3d[..., 0]))
        counted = has_3d
        if points is not None:
            root = SPIN24.index("pelvis")
            pred, target = (x - x[..., root : root + 1, :] for x in (points.pred, points.target_3d))
            errors_of_points = losses.keypoints_3d(pred, target, points.confidence_3d)
            errors = jnp.where(points.frames_3d, errors_of_points, errors)
            counted = counted | points.frames_3d
        terms["keypoints_3d"] = losses.masked_sum(errors, counted)
    if "body_pose" in loss_weights:
        errors = losses.body_pose(prediction.rotations, true_rotations)
        terms["body_pose"] = losses.masked_sum(errors, has_smpl)
    if "betas" in loss_weights:
        errors = losses.betas(prediction.betas, betas[:, None])
        there = has_smpl if errors.shape == mask.shape else jnp.any(has_smpl, axis=1, keepdims=True)
        terms["betas"] = losses.masked_sum(errors, there)
    if "smoothness" in loss_weights:
        target = jnp.where(posed[:, None, None, None], true_3d, 0.0)
        errors = losses.smoothness(pred_3d, target)
        terms["smoothness"] = losses.masked_sum(errors, mask[:, 2:] & mask[:, 1:-1] & mask[:, :-2])
    if OUTLINE_LOSSES & set(loss_weights):
        terms |= _outline_terms(outline, inputs, prediction, batch, loss_weights)
    return terms


class _Points(NamedTuple):
    """Annotated points of a batch, and the same points of the predicted body."""

    pred: jax.Array  # (B, T, 24, 3) metres, about the body's origin
    target_3d: jax.Array  # (B, T, 24, 3) metres, camera frame
    confidence_2d: jax.Array  # (B, T, 24)
    confidence_3d: jax.Array  # (B, T, 24)
    frames_2d: jax.Array  # (B, T) bool, where they replace other targets
    frames_3d: jax.Array  # (B, T) bool
    clips: jax.Array  # (B,) bool, clips that are annotated in 3D and have no `has_smpl`


def _annotated(body, basis, prediction, batch, mask):
    pred, _ = keypoints(body, basis, prediction.betas, prediction.rotations)
    flat, solid = batch["keypoints_2d"], batch["keypoints_3d"]
    # Where the body is known, it is the better target.
    free = mask & ~batch["has_smpl"][:, None]
    frames_3d = free & jnp.any(solid[..., 3] > 0, axis=-1) & batch["has_3d"][:, None]
    return _Points(
        pred=pred[..., -len(SPIN24) :, :],
        target_3d=solid[..., :3],
        confidence_2d=flat[..., 2],
        confidence_3d=solid[..., 3],
        frames_2d=free & jnp.any(flat[..., 2] > 0, axis=-1),
        frames_3d=frames_3d,
        clips=jnp.any(frames_3d, axis=-1),
    )


def _outline_terms(body, inputs, prediction, batch, loss_weights):
    box, side = batch["flow_box"], batch["masks"].shape[-1]
    frames = batch["flow_first"][:, None] + jnp.arange(box.shape[1])

    def cut(values):
        return jnp.take_along_axis(values, frames.reshape(*frames.shape, *[1] * (values.ndim - 2)), axis=1)

    focal_length, image_size = batch["focal_length"], batch["image_size"]
    pelvis = camera.cam_to_translation(
        cut(prediction.cam), cut(inputs.box), focal_length[:, None], image_size[:, None]
    )
    betas = prediction.betas
    shapes = cut(betas) if betas.shape[1] == inputs.mask.shape[1] else betas
    vertices, joints = skin(body, shapes, cut(prediction.rotations))
    vertices = vertices + (pelvis - joints[..., 0, :])[..., None, :]
    pixels = camera.project(vertices, focal_length[:, None, None], image_size[:, None, None])
    seen = box[..., 2] > 0
    box = jnp.where(seen[..., None], box, 1.0)
    points, depth = (camera.to_box(pixels, box) + 1.0) * (side / 2), vertices[..., 2]
    both = (seen[:, 1:] & seen[:, :-1] & batch["has_flow"][:, None])[..., None, None, None]
    moves, valid = batch["flow"], batch["flow_valid"] & both

    terms = {}
    if {"silhouette", "flow_silhouette"} & set(loss_weights):
        drawn = jnp.where(depth[..., None] > camera.MIN_DEPTH, points, jnp.nan)
        silhouettes = soft_silhouette(drawn, body.faces, (side, side), sigma=0.0)
    if "silhouette" in loss_weights:
        masks = batch["masks"].astype(points.dtype) / 255
        errors = losses.silhouette(silhouettes, masks, in_frame(box, image_size, side))
        terms["silhouette"] = losses.masked_sum(errors, seen & batch["has_mask"][:, None])
    if "flow_silhouette" in loss_weights:
        terms["flow_silhouette"] = losses.masked_sum(*losses.flow_silhouette(silhouettes, moves, valid, STEP))
    if "vertex_flow" in loss_weights:
        # At the body's edge the flow mixes that of the body and of the background.
        body_only = jnp.stack([batch["masks"][:, :-1], batch["masks"][:, 1:]], axis=2) > 127
        valid = valid & (body_only | ~batch["has_mask"][:, None, None, None, None])
        visible = in_front(jax.lax.stop_gradient(points), depth, body.faces, side)
        terms["vertex_flow"] = losses.masked_sum(*losses.vertex_flow(points, moves, valid, visible))
    return terms


def _relative(joints, points):
    """Joints and landmarks relative to the pelvis: (B, T, 24 + 33, 3)."""
    return jnp.concatenate([joints, points], axis=-2) - joints[..., :1, :]


def _project(points, pelvis, focal_length, batch, box):
    """Box coordinates (B, T, K, 2) of pelvis-relative points (B, T, K, 3), with the pelvis at (B, T, 3)."""
    placed = points + pelvis[..., None, :]
    pixels = camera.project(placed, focal_length[:, None, None], batch["image_size"][:, None, None])
    return camera.to_box(pixels, box)
