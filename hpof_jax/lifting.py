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
from hpof_jax.geometry.rotations import matrix_to_axis_angle, matrix_to_sixd, sixd_to_matrix
from hpof_jax.models.build import model_for
from hpof_jax.models.flip import average_flipped
from hpof_jax.models.hpof import predict_long
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe import clip, swaps

MODEL_FPS = 30.0
# A shot with fewer samples is extended to this many by holding its first and its last one: otherwise the network, which
# is trained on longer clips, makes the person in a single picture a fifth too small.
MIN_SHOT = 25
GAP_DECAY = 15.0  # frames in which the confidence within a gap falls to 1 / e


def lift(
    observations: clip.Observations,
    weights: str | os.PathLike | tuple[Any, Any] | None = None,
    body: BodyModel | None = None,
    *,
    flip: bool = True,
    smooth: bool = True,
    undo_swaps: bool = True,
) -> Motion:
    """Recovers a person's motion from observations of that person.

    The model runs at 30 frames/s: observations at another or a varying rate are resampled in time, and the result is
    resampled to the frames of the video. No information crosses a cut except the body's shape, which is one for the
    whole clip.

    Args:
      observations: of one person, in at least one frame.
      weights: what `models.weights.load_weights` takes, or what it returns. None: the weights of this package.
      body: None: the free body.
      flip: flip test-time augmentation: run the model also on the mirrored clip, and average both results.
      smooth: remove jitter, see `geometry.temporal.smooth_rotations`.
      undo_swaps: first undo the detector's left-right swaps, see `hpof_jax.observe.swaps`.

    Raises:
      UserError: the weights cannot be read, or are not those of the model that they name.
    """
    if undo_swaps:  # before resampling, which would average swapped and unswapped landmarks
        landmarks_2d, landmarks_3d, _ = swaps.undo_swaps(
            observations.landmarks_2d, observations.landmarks_3d, observations.seen, observations.shots
        )
        observations = dataclasses.replace(observations, landmarks_2d=landmarks_2d, landmarks_3d=landmarks_3d)
    body = load_body() if body is None else body
    params, config = weights if isinstance(weights, tuple) else load_weights(weights)
    model = model_for(params, config, body)

    sampled = clip.resample(observations, MODEL_FPS)
    shots = _shots(observations, sampled)
    parts = _slices(np.cumsum([0, *(len(shot.samples) for shot in shots)]))
    inputs, mirrored = _inputs_of(sampled, shots)
    prediction = predict_long(model, params, inputs, body, shots=parts)
    if flip:
        prediction = _average_flipped(prediction, predict_long(model, params, mirrored, body, shots=parts))
    rotations = np.asarray(prediction.rotations)
    if smooth:
        rotations = np.concatenate([_smoothed(rotations, part) for part in parts], axis=1)

    # From the model's samples to the frames of the video, shot by shot.
    focal_length, image_size = np.float32(observations.focal_length), np.asarray(observations.image_size)
    pelvis = _to_translation(prediction.cam[0], inputs.box[0], focal_length, image_size)
    columns = [_to_sixd(rotations[0]).reshape(-1, 144), pelvis, inputs.box[0]]
    values = np.concatenate([np.asarray(column) for column in columns], axis=1)
    values = [temporal.spline(values[part], shot.positions) for part, shot in zip(parts, shots)]
    sixd, pelvis, box = np.split(np.concatenate(values), [144, 147], axis=1)

    betas = prediction.clip_betas(inputs.mask)
    poses, betas, joints, points, rest = _pose(body, sixd.reshape(-1, 24, 6), betas)
    points, times = np.asarray(points), observations.times
    pelvis = np.concatenate(
        [
            place(
                points[s],
                observations.landmarks_2d[s],
                box[s, 2],
                pelvis[s],
                focal_length,
                image_size,
                times[s],
            )
            for s in (shot.frames for shot in shots)
        ]
    )
    return Motion(
        poses=poses,
        betas=betas,
        trans=pelvis - np.asarray(rest),
        mocap_framerate=float(observations.fps),
        gender="neutral",
        joints=np.asarray(joints) + pelvis[:, None],
        keypoints_2d=observations.landmarks_2d,
        cam=_to_cam(pelvis, box, focal_length, image_size),
        box=box,
        frame_index=np.arange(len(observations)),
        confidence=_confidence(observations.landmarks_2d, observations.seen),
        image_size=observations.image_size,
        focal_length=float(observations.focal_length),
        body=body.name,
        times=times,
        focal_length_source=observations.focal_length_source,
    )


@dataclasses.dataclass(frozen=True)
class _Shot:
    """A shot at the frame rate of the video and at the model's."""

    frames: slice  # of the video
    samples: np.ndarray  # (N,) rows at the model's rate; the first and the last may be repeated
    positions: np.ndarray  # of each frame among `samples`


def _shots(observations: clip.Observations, sampled: clip.Observations) -> list[_Shot]:
    """The shots of a clip. A shot in which the person is not seen belongs to the one before: the pose is held there."""
    cuts = np.searchsorted(sampled.times, observations.times[observations.shots] - 1e-6)
    counts = np.add.reduceat(np.append(sampled.seen, False), cuts) * (np.diff(cuts, append=len(sampled)) > 0)
    kept = np.flatnonzero(counts)[1:]
    of_frames = _slices([0, *observations.shots[kept], len(observations)])
    of_samples = _slices([0, *cuts[kept], len(sampled)])
    shots = []
    for frames, rows in zip(of_frames, of_samples):
        count = rows.stop - rows.start
        missing = max(MIN_SHOT - count, 0)
        samples = rows.start + np.clip(np.arange(count + missing) - missing // 2, 0, count - 1)
        position = np.interp(observations.times[frames], sampled.times[rows], np.arange(count))
        shots.append(_Shot(frames, samples, position + missing // 2))
    return shots


def _slices(bounds) -> list[slice]:
    return [slice(int(start), int(stop)) for start, stop in zip(bounds[:-1], bounds[1:])]


def _inputs_of(sampled: clip.Observations, shots: list[_Shot]):
    """The model's inputs, and those of the mirrored clip, with the shots one after the other."""
    parts = []
    for shot in shots:
        length = len(shot.samples)
        rows = shot.samples[_padded(length)] if len(shots) > 1 else shot.samples
        names = ("landmarks_2d", "landmarks_3d", "seen")
        batch = {name: getattr(sampled, name)[None, rows] for name in names}
        batch |= {name: np.asarray(getattr(sampled, name))[None] for name in ("image_size", "focal_length")}
        part = _both_inputs({**batch, "mask": np.arange(len(rows))[None] < length})
        parts.append(jax.tree.map(lambda x, length=length: np.asarray(x)[:, :length], part))
    return jax.tree.map(lambda *x: np.concatenate(x, axis=1), *parts)


def _smoothed(rotations: np.ndarray, part: slice) -> np.ndarray:
    """The smoothed rotations (1, N, 24, 3, 3) of one part of (1, T, 24, 3, 3)."""
    length = part.stop - part.start
    rows = _padded(length) if length < rotations.shape[1] else np.arange(length)
    mask = np.arange(len(rows))[None] < length
    return np.asarray(_smooth(rotations[:, part.start + rows], mask))[:, :length]


def _padded(length: int) -> np.ndarray:
    """Rows 0 to `length` - 1, with the last one repeated up to a power of two: shots of many lengths compile rarely."""
    return np.minimum(np.arange(1 << (length - 1).bit_length()), length - 1)


@jax.jit
def _both_inputs(batch):
    """Of the clip and of its mirror image."""
    return make_inputs(**batch), make_inputs(**mirror_observations(batch))


_average_flipped = jax.jit(average_flipped)
_smooth = jax.jit(temporal.smooth_rotations)
_to_sixd = jax.jit(matrix_to_sixd)
_to_translation = jax.jit(camera.cam_to_translation)
_to_cam = jax.jit(camera.translation_to_cam)


@jax.jit
def _pose(body, sixd, betas):
    """Poses (T, 72), betas (10,), joints (T, 24, 3) and landmarks (T, 33, 3) about the pelvis, and its rest position."""
    betas = jnp.mean(betas, axis=0)
    rotations = sixd_to_matrix(sixd)
    points, joints = keypoints(body, body.landmarks, betas, rotations)
    pelvis = joints[:, :1]
    poses = matrix_to_axis_angle(rotations).reshape(-1, 72)
    return poses, betas, joints - pelvis, points - pelvis, rest_joints(body, betas)[0]


def _confidence(landmarks_2d: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean visibility where the person was seen; elsewhere at most 0.5, less the further the nearest seen frame is."""
    frames, there = np.arange(len(seen)), np.flatnonzero(seen)
    after = np.searchsorted(there, frames)
    neighbours = there[np.clip([after - 1, after], 0, len(there) - 1)]
    away = np.abs(frames - neighbours).min(axis=0)
    return np.where(seen, landmarks_2d[..., 2].mean(axis=1), 0.5 * np.exp(-away / GAP_DECAY)).astype(
        np.float32
    )
