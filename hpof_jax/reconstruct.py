"""Recovers the body from a video.

    python -m hpof_jax.reconstruct VIDEO --out DIR      # no VIDEO: the sample

Writes `DIR/motion.npz` (see `hpof_jax.motion.Motion`) and `DIR/overlay.mp4`.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from hpof_jax import cli
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.model import keypoints, rest_joints
from hpof_jax.errors import UserError
from hpof_jax.geometry import camera, temporal
from hpof_jax.geometry.placement import place
from hpof_jax.geometry.rotations import matrix_to_axis_angle
from hpof_jax.models.hpof import predict_long
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.mirror import mean_of_both, mirror_batch
from hpof_jax.motion import Motion
from hpof_jax.observe import clip, swaps
from hpof_jax.observe.video import is_webcam, read_video
from hpof_jax.training import checkpoint, state

MODEL_FPS = 30.0


def reconstruct(
    video: str | os.PathLike | int | None = None,
    out: str | os.PathLike | None = None,
    *,
    person: str | int = "largest",
    landmark_model: str = "full",
    weights: str | os.PathLike | None = None,
    body: str | os.PathLike | None = None,
    focal_length: float | None = None,
    max_frames: int | None = None,
    overlay: bool = True,
    progress: bool = True,
) -> Motion:
    """Recovers one person's body from a video.

    Args:
      video: any file OpenCV reads, a folder of pictures, a webcam's number; None is the sample video.
      out: a folder for `motion.npz` and `overlay.mp4`, and `recording.mp4` of a webcam; None writes nothing.
      person: "largest", "leftmost", or the number from the left of who is followed.
      landmark_model: "full", or the slower and more exact "heavy".
      weights: a training run's folder or a weights file; None is the package's own.
      body: an SMPL-format file; None is the free body.
      focal_length: in pixels, if known.
      max_frames: stop after this many frames.
      overlay: also draw the body over the video (needs `out`).

    Raises:
      UserError: one sentence about what is wrong with the input.
    """
    body_model = load_body(body)
    params_and_config = checkpoint.load_weights(weights)
    if video is None:
        from hpof_jax import downloads

        video = downloads.fetch("sample_video")
    with contextlib.nullcontext() if out is None else _folder(out) as folder:
        if is_webcam(video) and folder:
            video = _record(video, folder / "recording.mp4", max_frames)
        observations = clip.observe(
            video,
            person=person,
            landmark_model=landmark_model,
            max_frames=max_frames,
            focal_length=focal_length,
            progress=progress,
        )
        motion = lift(observations, params_and_config, body_model)
        if folder:
            motion.save(folder / "motion.npz")
            logging.info("wrote %s", folder / "motion.npz")
        if folder and overlay:
            from hpof_jax import visualize

            frames, _ = read_video(video, max_frames=max_frames)
            visualize.write_overlay(frames, motion, body_model, folder / "overlay.mp4", progress=progress)
            logging.info("wrote %s", folder / "overlay.mp4")
    return motion


def lift(
    observations: clip.Observations,
    weights: str | os.PathLike | tuple[Any, Any] | None = None,
    body: BodyModel | None = None,
    *,
    mirror: bool = True,
    smooth: bool = True,
    undo_swaps: bool = True,
) -> Motion:
    """From observations to the moving body.

    The model runs at 30 frames a second: observations at another rate are resampled in time, and its answer is
    resampled back to the video's frames.

    Args:
      observations: of one person in a whole clip.
      weights: what `checkpoint.load_weights` takes, or what it gives.
      body: the free body by default.
      mirror: also run the mirrored clip and take the mean of both answers.
      smooth: take out what trembles (see `geometry.temporal.smooth_rotations`).
      undo_swaps: first undo the detector's swaps of left and right (see `hpof_jax.observe.swaps`).
    """
    if undo_swaps:  # before the landmarks of neighbouring frames are averaged
        landmarks_2d, landmarks_3d, _ = swaps.undo_swaps(
            observations.landmarks_2d, observations.landmarks_3d, observations.seen
        )
        observations = dataclasses.replace(observations, landmarks_2d=landmarks_2d, landmarks_3d=landmarks_3d)
    body = load_body() if body is None else body
    params, config = weights if isinstance(weights, tuple) else checkpoint.load_weights(weights)
    model = state.make_model(config)
    template = jax.eval_shape(lambda: state.init_params(model, body, 0))
    checkpoint.check_params(params, template, "the weights")
    at_model_rate = clip.resample(observations, MODEL_FPS)
    batch = _batch(at_model_rate)
    inputs, mirrored = _inputs(batch)
    prediction = predict_long(model, params, inputs, body)
    if mirror:
        prediction = _mean_of_both(prediction, predict_long(model, params, mirrored, body))
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
    return make_inputs(**batch), make_inputs(**mirror_batch(batch))


_mean_of_both = jax.jit(mean_of_both)
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


def _record(webcam: str | int, path: pathlib.Path, max_frames: int | None) -> pathlib.Path:
    """A webcam's frames come once and are looked at twice, so they are recorded first."""
    from hpof_jax import visualize

    frames, info = read_video(webcam, max_frames)
    logging.info("recording %s into %s; press Ctrl-C to stop", info.name, path)
    visualize.record(frames, info.fps, path)
    return path


@contextlib.contextmanager
def _folder(out: str | os.PathLike) -> Iterator[pathlib.Path]:
    """The folder, made if need be with those above it; what was made for nothing is taken away again."""
    out = pathlib.Path(out)
    fresh = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be made a folder ({error.strerror}): give another --out.") from error
    try:
        yield out
    except BaseException:
        with contextlib.suppress(OSError):  # something is in it
            for folder in fresh:
                folder.rmdir()
        raise


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.reconstruct", description="The 3D body from a video."
    )
    parser.add_argument(
        "video", nargs="?", help="video file, folder of pictures or webcam number; none: the sample"
    )
    parser.add_argument("--out", default="out", help="folder for motion.npz and overlay.mp4 (default: out)")
    parser.add_argument("--person", default="largest", help="largest, leftmost, or a number from the left")
    parser.add_argument("--landmark-model", default="full", choices=("full", "heavy"))
    parser.add_argument(
        "--weights", help="a training run's folder or a weights .npz (default: the package's)"
    )
    parser.add_argument("--body", help="an SMPL-format body file (default: the free body)")
    parser.add_argument("--focal-length", type=float, help="in pixels, if known")
    parser.add_argument("--max-frames", type=int, help="stop after so many frames")
    parser.add_argument("--no-overlay", action="store_true", help="only motion.npz")
    args = parser.parse_args()
    reconstruct(
        args.video,
        args.out,
        person=args.person,
        landmark_model=args.landmark_model,
        weights=args.weights,
        body=args.body,
        focal_length=args.focal_length,
        max_frames=args.max_frames,
        overlay=not args.no_overlay,
    )


if __name__ == "__main__":
    main()
