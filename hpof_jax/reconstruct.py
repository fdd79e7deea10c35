"""Recovers the body from a video.

    python -m hpof_jax.reconstruct VIDEO --out DIR      # without VIDEO: a sample video
    python -m hpof_jax.reconstruct --batch FOLDER --out DIR

Writes `DIR/motion.npz` (see `hpof_jax.motion.Motion`), `DIR/overlay.mp4`, and `DIR/report.html` with
`DIR/report.json`, which say when not to trust it.
"""

import dataclasses
import os
import sys
from typing import Any, Literal, Unpack, overload

from absl import logging

from hpof_jax import batch, cli, downloads, grounding, memory, moving_camera, refine
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.features import extractor_for
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe.video import is_webcam
from hpof_jax.progress import timed
from hpof_jax.reconstruction import results
from hpof_jax.reconstruction.arguments import parser
from hpof_jax.reconstruction.observing import observe, record
from hpof_jax.reconstruction.settings import Options, Settings

_Video = str | os.PathLike | int | None
_Folder = str | os.PathLike | None


@overload
def reconstruct(
    video: _Video = None, out: _Folder = None, *, person: Literal["all"], **options: Unpack[Options]
) -> list[Motion]: ...
@overload
def reconstruct(
    video: _Video = None,
    out: _Folder = None,
    *,
    person: Literal["largest", "leftmost"] | int = "largest",
    **options: Unpack[Options],
) -> Motion: ...
@overload  # a text that is known only when the program runs
def reconstruct(
    video: _Video = None, out: _Folder = None, *, person: str | int, **options: Unpack[Options]
) -> Motion | list[Motion]: ...
def reconstruct(
    video: _Video = None,
    out: _Folder = None,
    *,
    person: str | int = "largest",
    **options: Unpack[Options],
) -> Motion | list[Motion]:
    """Recovers the body of one person, or of everybody, from a video.

    Observing takes most of the time. What was observed of a file is kept in the cache, so a run that was stopped
    goes on where it was, and a run with another `body` or `weights` begins with lifting.

    Args:
      video: a file that OpenCV reads, a folder of pictures, or the number of a webcam. None: a sample video.
      out: the folder for `motion.npz`, `overlay.mp4`, `report.html`, `report.json` and, from a webcam,
        `recording.mp4`. None: nothing is written.
      person: "largest", the default, "leftmost", or a number: people count from 1, from the left. "all":
        everybody; the files are `motion_1.npz`, `report_1.html`, `motion_2.npz` and so on, in the order in which
        people appear, and from the left. Each motion begins and ends with the frames that show its person.
      landmark_model: "full", the default, or "heavy", which is slower and more accurate.
      focal_length: pixels. None: from the video's metadata, or else 0.75 of the frame's diagonal.
      fov: horizontal field of view in degrees, instead of `focal_length`.
      fps: frames/s instead of the video's own rate. None: the video's own rate, and 30 for pictures.
      start, end: seconds; only this part of the video. None: from its first frame, to its last.
      max_frames: read at most this many frames. None: all of them.
      min_seen: the least share of the frames in which the person must be seen; 0.1 by default. 0 accepts every
        video. With person "all", people who are seen less between their first and last frame are left out.
      camera: "static": it stands still; "moving": it does not; "auto", the default: as the background shows.
      camera_pitch, camera_roll, camera_height: degrees and metres, see `hpof_jax.world.find_world`. None:
        estimated.
      height: the person's stature in metres, which gives the size and the distance. None: estimated.
      foot_lock: hold planted feet in place, the default; see `hpof_jax.foot_lock`.
      refine: "fast" or "full" fits the motion to the video's masks and landmarks, "full" also to its optical flow;
        "off" does not; "auto", the default, is "fast" on the free body and "off" on others. See `hpof_jax.refine`.
      weights: a weights file or the folder of a training run. "nc" or "free": weights of this package. None: "nc".
      features: the weights of the ResNet-50 whose image features the model takes, see docs/features.md. None: landmarks
        alone.
      body: a file in SMPL's format. None: the free body.
      overlay: also draw the body over the video, the default. Needs `out`.
      style: of the overlay: "mesh", the default, "skeleton", "silhouette" or "flow"; see `hpof_jax.visualize`.
      layout: of the overlay: "beside", the default, shows the unchanged frames next to it, "over" does not.
      side_view: show the body from its side in the overlay, too.
      export: formats for other programs, such as "glb,bvh"; see `hpof_jax.export`. Needs `out`.
      progress: show how far the work is, the default; see `hpof_jax.progress`.

    Returns:
      the motion; with person "all" a list of motions.

    Raises:
      UserError: one sentence that says what is wrong with the input, and what to do.
    """
    settings = Settings(person=person, **options)
    body = load_body(settings.body)
    settings = dataclasses.replace(settings, refine=refine.chosen(settings.refine, body))
    weights = load_weights(settings.weights)
    extractor = extractor_for(weights[1], settings.features)
    with results.open_folder(out) as folder:
        video = downloads.fetch("sample_video") if video is None else video
        if folder and is_webcam(video):
            video = record(video, folder / "recording.mp4", settings)
            settings = dataclasses.replace(settings, fps=None)
        people = observe(video, settings, extractor)
        frames = sum(map(len, people))
        memory.give_back(frames)  # between stages, so that what they need does not add up
        with timed("lifting", frames):
            motions = [lift(person, weights, body) for person in people]
        memory.give_back(frames)
        motions, camera = moving_camera.with_camera(motions, people, settings.camera)
        if settings.refine != "off":
            with timed("fitting", frames):
                fit = dict(mode=settings.refine, progress=settings.progress)
                motions = refine.refine_all(motions, people, body, **fit)
        memory.give_back(frames)
        with timed("grounding", frames):
            motions = grounding.ground(motions, body, **settings.scene)
        memory.give_back(frames)
        grounding.log(motions[0])
        first = people[0]
        moving_camera.log(camera.part(first.first_frame, first.first_frame + len(first)), first.times)
        if folder:
            results.write(folder, video, people, motions, body, settings)
    return motions if settings.everybody else motions[0]


@cli.entry_point
def main() -> None:
    options = vars(parser().parse_args())
    folder, shard, jobs = (options.pop(name) for name in ("batch", "shard", "jobs"))
    if folder is None:
        reconstruct(**options)
    else:
        _reconstruct_folder(folder, batch.parse_shard(shard), jobs, options)


def _reconstruct_folder(
    folder: str, shard: tuple[int, int], jobs: int | None, options: dict[str, Any]
) -> None:
    """Reconstructs a folder's videos; ends the program with status 1 if some could not be."""
    video, out = options.pop("video"), options.pop("out")
    if video is not None:
        raise UserError("Both a video and --batch were given: give one of them.")
    # Wrong files would fail for every video.
    settings = Settings(**options)
    load_body(settings.body), extractor_for(load_weights(settings.weights)[1], settings.features)
    rows = batch.reconstruct_folder(
        folder,
        out,
        lambda video, into: reconstruct(video, into, **options, progress=False),
        shard=shard,
        jobs=jobs,
    )
    if failed := sum(bool(row.error) for row in rows):
        logging.warning(
            "%d of %d videos could not be reconstructed: the table in %s says why", failed, len(rows), out
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
