"""From the observations of one person to that person's motion in 3D."""

import dataclasses
import os
from typing import Any

import jax
import numpy as np

from hpof_jax import confidence
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.mirror import mirror_observations
from hpof_jax.body.model import keypoints, rest_joints
from hpof_jax.errors import UserError
from hpof_jax.geometry import camera, temporal
from hpof_jax.geometry.placement import place
from hpof_jax.geometry.rotations import matrix_to_axis_angle, matrix_to_sixd, sixd_to_matrix
from hpof_jax.memory import LONG, give_back
from hpof_jax.models.build import model_for
from hpof_jax.models.flip import average_flipped, disagreement
from hpof_jax.models.hpof import predict_long
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.weights import check_backbone, load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe import clip, swaps
from hpof_jax.observe.resampling import resample

MODEL_FPS = 30.0
# A shot with fewer samples is extended to this many by holding its first and its last one: otherwise the
# network, which is trained on longer clips, makes the person in a single picture a fifth too small.
MIN_SHOT = 25
# JAX compiles a program for each shape of its arrays. Numbers of frames are rounded up to a power of two, or
# to a multiple of this, so that few programs serve videos of all lengths.
CHUNK = 512


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

    The model runs at 30 frames/s: observations at another or a varying rate are resampled in time, and the
    result is resampled to the frames of the video. No information crosses a cut except the body's shape,
    which is one for the whole clip.

    Args:
      observations: of one person, in at least one frame.
      weights: a path that `models.weights.load_weights` takes, or its result. None: the weights of this
        package.
      body: None: the free body.
      flip: flip test-time augmentation: run the model also on the mirrored clip, and average both results. Not with
        image features: those of the mirrored pictures are unknown.
      smooth: remove jitter, see `geometry.temporal.smooth_rotations`.
      undo_swaps: first undo the detector's left-right swaps, see `hpof_jax.observe.swaps`.

    Raises:
      UserError: the weights cannot be read, are not those of the model that they name, or need image features that the
        observations do not have or that are of another ResNet-50.
    """
    return lift_and_compare(observations, weights, body, flip=flip, smooth=smooth, undo_swaps=undo_swaps)[0]


def lift_and_compare(
    observations: clip.Observations,
    weights: str | os.PathLike | tuple[Any, Any] | None = None,
    body: BodyModel | None = None,
    *,
    flip: bool = True,
    smooth: bool = True,
    undo_swaps: bool = True,
) -> tuple[Motion, np.ndarray | None]:
    """Like `lift`; also returns the model's disagreement with its mirror image, (T,) metres; None without `flip`."""
    if undo_swaps:  # before resampling, which would average swapped and unswapped landmarks
        landmarks_2d, landmarks_3d, _ = swaps.undo_swaps(
            observations.landmarks_2d, observations.landmarks_3d, observations.seen, observations.shots
        )
        observations = dataclasses.replace(observations, landmarks_2d=landmarks_2d, landmarks_3d=landmarks_3d)
    body = load_body() if body is None else body
    params, config = weights if isinstance(weights, tuple) else load_weights(weights)
    model = model_for(params, config, body)
    if model.image_head is None:
        observations = dataclasses.replace(observations, features=None)
    elif observations.features is None and not model.takes_landmarks:
        raise UserError(
            "These weights take image features, which the observations do not have: give them, or other weights."
        )
    if observations.features is not None:
        check_backbone(config, observations.backbone, "those of the observations")
    flip = flip and observations.features is None

    sampled = resample(dataclasses.replace(observations, masks=None, mask_to_frame=None), MODEL_FPS)
    shots = _shots(observations, sampled)
    parts = _slices(np.cumsum([0, *(len(shot.samples) for shot in shots)]))
    rotations, cam, box, betas, apart = _predict(model, params, body, sampled, shots, parts, flip)
    if smooth:
        rotations = np.concatenate([_smoothed(rotations, part) for part in parts])

    # From the model's samples to the frames of the video, shot by shot.
    focal_length, image_size = np.float32(observations.focal_length), np.asarray(observations.image_size)
    pelvis = _by_chunk(_to_translation, (cam, box), focal_length, image_size)
    sixd = _by_chunk(_to_sixd, (rotations,)).reshape(-1, 144)
    values = np.concatenate([sixd, pelvis, box], axis=1)
    values = [temporal.spline(values[part], shot.positions) for part, shot in zip(parts, shots)]
    sixd, pelvis, box = np.split(np.concatenate(values), [144, 147], axis=1)

    rest = np.asarray(_rest(body, betas))
    poses, joints, points = _by_chunk(_pose, (sixd.reshape(-1, 24, 6),), body, betas)
    times, pelvises = observations.times, []
    for s in (shot.frames for shot in shots):
        known = observations.landmarks_2d[s], box[s, 2], pelvis[s], focal_length, image_size, times[s]
        pelvises.append(place(points[s], *known))
    pelvis = np.concatenate(pelvises)
    motion = Motion(
        poses=poses,
        betas=betas,
        trans=pelvis - rest,
        mocap_framerate=float(observations.fps),
        gender="neutral",
        joints=joints + pelvis[:, None],
        keypoints_2d=observations.landmarks_2d,
        cam=_by_chunk(_to_cam, (pelvis, box), focal_length, image_size),
        box=box,
        frame_index=observations.first_frame + np.arange(len(observations)),
        confidence=np.zeros(len(observations)),
        image_size=observations.image_size,
        focal_length=float(observations.focal_length),
        body=body.name,
        times=times,
        focal_length_source=observations.focal_length_source,
    )
    if apart is not None:
        apart = np.concatenate(
            [temporal.linear(apart[part], shot.positions) for part, shot in zip(parts, shots)]
        )
    sure = confidence.of_motion(motion, points + pelvis[:, None], apart)
    return dataclasses.replace(motion, confidence=sure), apart


@dataclasses.dataclass(frozen=True)
class _Shot:
    """A shot at the frame rate of the video and at the model's."""

    frames: slice  # of the video
    samples: np.ndarray  # (N,) rows at the model's rate; the first and the last may be repeated
    positions: np.ndarray  # of each frame among `samples`


def _shots(observations: clip.Observations, sampled: clip.Observations) -> list[_Shot]:
    """The shots of a clip. A shot that never shows the person joins the shot before; the pose is held."""
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


def _predict(
    model, params, body, sampled: clip.Observations, shots: list[_Shot], parts: list[slice], flip: bool
):
    """Rotations (N, 24, 3, 3), cam (N, 3) and box (N, 3) of all samples, shot after shot, and betas (10,).

    Also the disagreement (N,) with the mirror image, metres; None without `flip`.
    """
    inputs, mirrored = _inputs_of(sampled, shots)
    padded = [*parts[:-1], slice(parts[-1].start, inputs.mask.shape[1])]
    prediction = straight = predict_long(model, params, inputs, body, shots=padded)
    if inputs.mask.shape[1] > LONG:
        give_back()  # what compiling took
    if flip:
        flipped = predict_long(model, params, mirrored, body, shots=padded)
        prediction = _average_flipped(straight, flipped)
    count, betas = parts[-1].stop, np.asarray(prediction.clip_betas(inputs.mask))[0]
    apart = None
    if flip:
        apart = _by_chunk(
            _disagreement, (straight.rotations[0, :count], flipped.rotations[0, :count]), body, betas
        )
    per_sample = (prediction.rotations, prediction.cam, inputs.box)
    rotations, cam, box = (np.array(x[0, :count]) for x in per_sample)
    return rotations, cam, box, betas, apart


def _inputs_of(sampled: clip.Observations, shots: list[_Shot]):
    """The model's inputs, and those of the mirrored clip: all shots in a row, with padding at the end."""
    parts = []
    for shot in shots:
        length = len(shot.samples)
        rows = shot.samples[_padded(length)]
        names = ("landmarks_2d", "landmarks_3d", "seen")
        batch = {name: getattr(sampled, name)[None, rows] for name in names}
        batch |= {name: np.asarray(getattr(sampled, name))[None] for name in ("image_size", "focal_length")}
        if sampled.features is not None:
            batch["image_features"] = sampled.features[None, rows].astype(np.float32)
        part = _both_inputs({**batch, "mask": np.arange(len(rows))[None] < length})
        kept = slice(None if shot is shots[-1] else length)
        parts.append(jax.tree.map(lambda x, kept=kept: np.asarray(x)[:, kept], part))
    return jax.tree.map(lambda *x: np.concatenate(x, axis=1), *parts)


def _smoothed(rotations: np.ndarray, part: slice) -> np.ndarray:
    """The smoothed rotations (N, 24, 3, 3) of one part of (T, 24, 3, 3)."""
    length = part.stop - part.start
    rows = _padded(length)
    mask = np.arange(len(rows))[None] < length
    return np.asarray(_smooth(rotations[None, part.start + rows], mask))[0, :length]


def _padded(length: int) -> np.ndarray:
    """Rows 0 to `length` - 1, with the last one repeated up to a power of two or a multiple of `CHUNK`."""
    size = -(-length // CHUNK) * CHUNK if length > CHUNK else 1 << (length - 1).bit_length()
    return np.minimum(np.arange(size), length - 1)


def _by_chunk(function, frames: tuple[np.ndarray, ...], *others):
    """`function(*frames, *others)` in chunks of rows, which must be independent; returns NumPy arrays."""
    count, chunks = len(frames[0]), []
    for start in range(0, count, CHUNK):
        length = min(CHUNK, count - start)
        result = function(*(array[start + _padded(length)] for array in frames), *others)
        chunks.append(jax.tree.map(lambda x, length=length: np.asarray(x)[:length], result))
    return jax.tree.map(lambda *x: np.concatenate(x), *chunks)


@jax.jit
def _both_inputs(batch):
    """The inputs of the clip and of its mirror image."""
    return make_inputs(**batch), make_inputs(**mirror_observations(batch))


_average_flipped = jax.jit(average_flipped)
_disagreement = jax.jit(disagreement)
_smooth = jax.jit(temporal.smooth_rotations)
_to_sixd = jax.jit(matrix_to_sixd)
_to_translation = jax.jit(camera.cam_to_translation)
_to_cam = jax.jit(camera.translation_to_cam)


@jax.jit
def _pose(sixd, body, betas):
    """Poses (T, 72), and joints (T, 24, 3) and landmarks (T, 33, 3) in metres about the pelvis."""
    rotations = sixd_to_matrix(sixd)
    points, joints = keypoints(body, body.landmarks, betas, rotations)
    pelvis = joints[:, :1]
    return matrix_to_axis_angle(rotations).reshape(-1, 72), joints - pelvis, points - pelvis


@jax.jit
def _rest(body, betas):
    """The pelvis' rest position (3,)."""
    return rest_joints(body, betas)[0]
