"""Recovers the body from a video.

    python -m hpof_jax.reconstruct VIDEO --out DIR      # no VIDEO: the sample

Writes `DIR/motion.npz` (see `hpof_jax.motion.Motion`) and `DIR/overlay.mp4`.
"""

import argparse
import contextlib
import os
import pathlib
from collections.abc import Iterator

from absl import logging

from hpof_jax import cli
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe import clip
from hpof_jax.observe.video import is_webcam, read_video


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
    params_and_config = load_weights(weights)
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
