"""From the observations of one person to that person's motion in 3D."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.mirror import mirror_observations
from hpof_jax.body.model import keypoints, rest_joints
from hpof_jax.geometry import camera, temporal
from hpof_jax.geometry.placement import place
from hpof_jax.geometry.rotations import matrix_to_axis_angle
from hpof_jax.models.build import model_for
from hpof_jax.models.flip import average_flipped
from hpof_jax.models.hpof import predict_long
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe import clip, swaps

MODEL_FPS = 30.0


def lift(
    observations: clip.Observations,
    weights: str | os.PathLike | tuple[Any, Any] | None = None,
    body: BodyModel | None = None,
    *,
    flip: bool = True,
    smooth: bool = True,
    undo_swaps: bool = True,
) -> Motion:
    """From observations to the moving body.

    The model runs at 30 frames a second: observations at another rate are resampled in time, and its answer is
    resampled back to the video's frames.

    Args:
      observations: of one person in a whole clip.
      weights: what `models.weights.load_weights` takes, or what it returns.
      body: the free body by default.
      flip: flip test-time augmentation; also runs the model on the mirror image and averages.
      smooth: take out what trembles (see `geometry.temporal.smooth_rotations`).
      undo_swaps: first undo the detector's swaps of left and right (see `hpof_jax.observe.swaps`).
    """
    if undo_swaps:  # before the landmarks of neighbouring frames are averaged
        landmarks_2d, landmarks_3d, _ = swaps.undo_swaps(
            observations.landmarks_2d, observations.landmarks_3d, observations.seen
        )
        observations = dataclasses.replace(observations, landmarks_2d=landmarks_2d, landmarks_3d=landmarks_3d)
    body = load_body() if body is None else body
    params, config = weights if isinstance(weights, tuple) else load_weights(weights)
    model = model_for(params, config, body)
    at_model_rate = clip.resample(observations, MODEL_FPS)
    batch = _batch(at_model_rate)
    inputs, mirrored = _inputs(batch)
    prediction = predict_long(model, params, inputs, body)
    if flip:
        prediction = _average_flipped(prediction, predict_long(model, params, mirrored, body))
    focal_length, image_size = batch["focal_length"], batch["image_size"]
    rotations = (_smooth(prediction.rotations, batch["mask"]) if smooth else prediction.rotations)[0]
    pelvis = _pelvis(prediction.cam[0], inputs.box[0], focal_length, image_size)
    times = np.arange(len(observations)) * (MODEL_FPS / float(observations.fps))
    pelvis, box = (temporal.spline(np.asarray(x), times) for x in (pelvis, inputs.box[0]))
    betas = prediction.clip_betas(inputs.mask)
    poses, betas, joints, points, rest = _pose(body, temporal.spline_rotations(rotations, times), betas)
    pelvis = place(
        points,
        observations.landmarks_2d,
        box[:, 2],
        pelvis,
        focal_length[0],
        image_size[0],
        np.arange(len(observations)) / float(observations.fps),
    )
    return Motion(
        poses=poses,
        betas=betas,
        trans=pelvis - np.asarray(rest),
        mocap_framerate=float(observations.fps),
        gender="neutral",
        joints=np.asarray(joints) + pelvis[:, None],
        keypoints_2d=observations.landmarks_2d,
        cam=camera.translation_to_cam(pelvis, box, focal_length, image_size),
        box=box,
        frame_index=np.arange(len(observations)),
        confidence=_confidence(observations.landmarks_2d, observations.seen),
        image_size=observations.image_size,
        focal_length=float(observations.focal_length),
        body=body.name,
    )


@jax.jit
def _inputs(batch):
    """Of the clip and of its mirror image."""
    return make_inputs(**batch), make_inputs(**mirror_observations(batch))


_average_flipped = jax.jit(average_flipped)
_smooth = jax.jit(temporal.smooth_rotations)
_pelvis = jax.jit(camera.cam_to_translation)


@jax.jit
def _pose(body, rotations, betas):
    """What follows from the rotations: poses (T, 72), betas (10,), about the pelvis joints (T, 24, 3) and landmarks
    (T, 33, 3), and where the pelvis lies at rest (3,)."""
    betas = jnp.mean(betas, axis=0)
    points, joints = keypoints(body, body.landmarks, betas, rotations)
    pelvis = joints[:, :1]
    poses = matrix_to_axis_angle(rotations).reshape(-1, 72)
    return poses, betas, joints - pelvis, points - pelvis, rest_joints(body, betas)[0]


def _batch(observations: clip.Observations) -> dict[str, np.ndarray]:
    """The observations as a batch of one clip."""
    names = ("landmarks_2d", "landmarks_3d", "seen", "image_size", "focal_length")
    batch = {name: np.asarray(getattr(observations, name))[None] for name in names}
    return {**batch, "mask": np.ones_like(batch["seen"])}


def _confidence(landmarks_2d: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean visibility where the person was seen; in gaps at most 0.5, falling with the way to the next seen frame."""
    frames = np.arange(len(seen))
    away = np.abs(frames[:, None] - np.flatnonzero(seen)[None]).min(axis=1)
    return np.where(seen, landmarks_2d[..., 2].mean(axis=1), 0.5 * np.exp(-away / 15.0)).astype(np.float32)
