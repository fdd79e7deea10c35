"""Recovers the body from a video.

    python -m hpof_jax.reconstruct VIDEO --out DIR      # without VIDEO: a sample video
    python -m hpof_jax.reconstruct --batch FOLDER --out DIR

Writes `DIR/motion.npz` (see `hpof_jax.motion.Motion`), `DIR/overlay.mp4`, and `DIR/report.html` with
`DIR/report.json`, which say when not to trust it.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
from absl import logging

from hpof_jax import batch, cli, interrupt, moving_camera, report, visualize
from hpof_jax import export as exports
from hpof_jax import refine as fit
from hpof_jax.body import BodyModel, load_body
from hpof_jax.errors import UserError
from hpof_jax.features import extractor_for
from hpof_jax.geometry.camera import DEFAULT_FOCAL_RATIO, focal_length_of_fov
from hpof_jax.gravity import angles_of
from hpof_jax.grounding import ground
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights, weights_file
from hpof_jax.motion import Motion
from hpof_jax.observe import cache, clip, swaps
from hpof_jax.observe.everybody import observe_everybody
from hpof_jax.observe.video import is_webcam, read_video
from hpof_jax.progress import progress as shown
from hpof_jax.progress import rate
from hpof_jax.stature import check_stature

_FOCAL_LENGTH_SOURCES = {
    "given": "as given",
    "metadata": "from the video's metadata",
    "background": "from how the background moves while the camera turns",
    "assumed": f"assumed to be {DEFAULT_FOCAL_RATIO} of the frame's diagonal; set --focal-length or --fov if "
    "you know it",
}

_GRAVITY_SOURCES = {
    "given": "as given",
    "estimated": "estimated to about {:.0f} degrees; set --camera-pitch and --camera-roll if you know them",
    "level": "assumed, because nobody stands upright for long enough",
}


class _Options(TypedDict, total=False):
    """The options of `reconstruct` but `person`, for its types."""

    landmark_model: str
    weights: str | os.PathLike | None
    features: str | os.PathLike | None
    body: str | os.PathLike | None
    focal_length: float | None
    fov: float | None
    fps: float | None
    start: float | None
    end: float | None
    max_frames: int | None
    min_seen: float
    overlay: bool
    style: str
    layout: str
    side_view: bool
    export: str | None
    camera: str
    camera_pitch: float | None
    camera_roll: float | None
    camera_height: float | None
    refine: str
    height: float | None
    foot_lock: bool
    progress: bool


_Video = str | os.PathLike | int | None
_Folder = str | os.PathLike | None


@overload
def reconstruct(
    video: _Video = None, out: _Folder = None, *, person: Literal["all"], **options: Unpack[_Options]
) -> list[Motion]: ...
@overload
def reconstruct(
    video: _Video = None,
    out: _Folder = None,
    *,
    person: Literal["largest", "leftmost"] | int = "largest",
    **options: Unpack[_Options],
) -> Motion: ...
@overload  # a text that is known only when the program runs
def reconstruct(
    video: _Video = None, out: _Folder = None, *, person: str | int, **options: Unpack[_Options]
) -> Motion | list[Motion]: ...
def reconstruct(
    video: str | os.PathLike | int | None = None,
    out: str | os.PathLike | None = None,
    *,
    person: str | int = "largest",
    landmark_model: str = "full",
    weights: str | os.PathLike | None = None,
    features: str | os.PathLike | None = None,
    body: str | os.PathLike | None = None,
    focal_length: float | None = None,
    fov: float | None = None,
    camera_pitch: float | None = None,
    camera_roll: float | None = None,
    camera_height: float | None = None,
    height: float | None = None,
    foot_lock: bool = True,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
    min_seen: float = 0.1,
    overlay: bool = True,
    style: str = "mesh",
    layout: str = "beside",
    side_view: bool = False,
    export: str | None = None,
    camera: str = "auto",
    refine: str = "auto",
    progress: bool = True,
) -> Motion | list[Motion]:
    """Recovers the body of one person, or of everybody, from a video.

    Observing takes most of the time. What was observed of a file is kept in the cache, so a run that was stopped
    goes on where it was, and a run with another `body` or `weights` begins with lifting.

    Args:
      video: a file that OpenCV reads, a folder of pictures, or the number of a webcam. None: a sample video.
      out: the folder for `motion.npz`, `overlay.mp4`, `report.html`, `report.json` and, from a webcam,
        `recording.mp4`. None: nothing is written.
      person: "largest", "leftmost", or a number: people count from 1, from the left. "all": everybody; the
        files are `motion_1.npz`, `report_1.html`, `motion_2.npz` and so on, in the order in which people appear,
        and from the left. Each motion begins and ends with the frames that show its person.
      landmark_model: "full", or "heavy", which is slower and more accurate.
      weights: a weights file or the folder of a training run. "nc" or "free": weights of this package. None: "nc".
      features: the weights of the ResNet-50 whose image features the model takes, see docs/features.md. None: landmarks
        alone.
      body: a file in SMPL's format. None: the free body.
      focal_length: pixels. None: from the video's metadata, or else 0.75 of the frame's diagonal.
      fov: horizontal field of view in degrees, instead of `focal_length`.
      camera_pitch, camera_roll, camera_height: degrees and metres, see `hpof_jax.world.find_world`. None:
        estimated.
      height: the person's stature in metres, which gives the size and the distance. None: estimated.
      foot_lock: hold planted feet in place; see `hpof_jax.foot_lock`.
      fps: frames/s instead of the video's own rate. None: the video's own rate, and 30 for pictures.
      start, end: seconds; only this part of the video. None: from its first frame, to its last.
      max_frames: read at most this many frames. None: all of them.
      min_seen: the least share of the frames in which the person must be seen. 0 accepts every video. With
        person "all", people who are seen less between their first and last frame are left out.
      overlay: also draw the body over the video. Needs `out`.
      style: of the overlay: "mesh", "skeleton", "silhouette" or "flow"; see `hpof_jax.visualize`.
      layout: of the overlay: "beside" shows the unchanged frames next to it, "over" does not.
      side_view: show the body from its side in the overlay, too.
      export: formats for other programs, such as "glb,bvh"; see `hpof_jax.export`. Needs `out`.
      camera: "static": it stands still; "moving": it does not; "auto": as the background shows.
      refine: "fast" or "full" fits the motion to the video's masks and landmarks, "full" also to its optical flow;
        "off" does not; "auto" is "fast" on the free body and "off" on others. See `hpof_jax.refine`.
      progress: show how far the work is; see `hpof_jax.progress`.

    Returns:
      the motion; with person "all" a list of motions.

    Raises:
      UserError: one sentence that says what is wrong with the input, and what to do.
    """
    if focal_length is not None and fov is not None:
        raise UserError("Both a focal length and a field of view were given: give one of them.")
    if fov is not None and not clip.MIN_FOV <= fov <= clip.MAX_FOV:
        limits = f"{clip.MIN_FOV:g} and {clip.MAX_FOV:g}"
        raise UserError(f"The field of view is {fov} degrees: give one between {limits}.")
    if not 0 <= min_seen <= 1:
        raise UserError(f"The least share of seen frames is {min_seen}: give one from 0 to 1, such as 0.1.")
    if height is not None:
        check_stature(height)
        if person == "all":
            raise UserError("A height is given, but there are several people: choose one with --person.")
    if export:
        exports.check_formats(export)
    visualize.check_look(style, layout)
    moving_camera.check_mode(camera)
    fit.check_mode(refine)
    options = dict(person=person, landmark_model=landmark_model, focal_length=focal_length, fov=fov, fps=fps)
    options |= dict(start=start, end=end, max_frames=max_frames, min_seen=min_seen, camera=camera)
    options |= dict(camera_pitch=camera_pitch, camera_roll=camera_roll, camera_height=camera_height)
    options |= dict(height=height, foot_lock=foot_lock)
    body_model = load_body(body)
    options["refine"] = refine = fit.chosen(refine, body_model)
    params_and_config = load_weights(weights)
    extractor = extractor_for(params_and_config[1], features)
    with contextlib.nullcontext() if out is None else _folder(out) as folder:
        if video is None:
            from hpof_jax import downloads

            video = downloads.fetch("sample_video")
        if is_webcam(video) and folder:
            video, fps = _record(video, folder / "recording.mp4", max_frames, fps), None
        part: dict[str, Any] = dict(max_frames=max_frames, fps=fps, start=start, end=end)
        everybody = person == "all"
        how = dict(landmark_model=landmark_model, focal_length=focal_length, progress=progress)
        how["keep_background"] = True
        if refine != "off":
            how["keep_masks"], how["keep_flow"] = True, refine == "full"
        found = _observe(video, None if everybody else person, how | part)
        if fov is not None:
            focal_length = focal_length_of_fov(fov, float(found[0].image_size[1]))
            given: dict[str, Any] = dict(
                focal_length=np.asarray(focal_length, np.float32), focal_length_source="given"
            )
            found = [dataclasses.replace(observations, **given) for observations in found]
        found = moving_camera.calibrated(found, camera)
        people = _describe(found, min_seen) if everybody else _check(found, min_seen)
        camera_motion = moving_camera.find(people, camera)
        if extractor:
            people = extractor.of_people(_frames(video, part, progress), people)
        start_time = time.monotonic()
        lifted = [lift(observations, params_and_config, body_model) for observations in people]
        count = sum(map(len, people))
        logging.info("lifting: %s", rate(count, time.monotonic() - start_time))
        camera_motion = moving_camera.in_metres(camera_motion, lifted)
        motions = {
            f"motion_{number}" if everybody else "motion": moving_camera.keep(motion, camera_motion)
            for number, motion in enumerate(lifted, 1)
        }
        start_time = time.monotonic()
        fitted = fit.refine_all([*motions.values()], people, body_model, mode=refine, progress=progress)
        if refine != "off":
            logging.info("fitting: %s", rate(count, time.monotonic() - start_time))
        motions = dict(zip(motions, fitted))
        known: dict[str, Any] = dict(height=height, foot_lock=foot_lock, camera_height=camera_height)
        known |= dict(camera_pitch=camera_pitch, camera_roll=camera_roll)
        motions = dict(zip(motions, ground([*motions.values()], body_model, **known)))
        _log_camera(next(iter(motions.values())))
        first = people[0]
        moving_camera.log(camera_motion.part(first.first_frame, first.first_frame + len(first)), first.times)
        if folder:
            for name, motion in motions.items():
                motion.save(folder / f"{name}.npz")
                logging.info("wrote %s", folder / f"{name}.npz")
        if folder and export:
            for path in exports.export(motions, folder, export, body_model):
                logging.info("wrote %s", path)
        if folder and overlay:
            frames, _ = read_video(video, **part)
            path = folder / "overlay.mp4"
            look: dict[str, Any] = dict(style=style, layout=layout, side_view=side_view)
            bodies = [*motions.values()] if everybody else motions["motion"]
            visualize.write_overlay(frames, bodies, body_model, path, **look, progress=progress)
            logging.info("wrote %s", path)
        if folder:
            assert not isinstance(video, int)  # a webcam was recorded into a file
            made_with = _made_with(video, weights, features, body, options)
            for name, observations in zip(motions, people):
                path = folder / f"{name.replace('motion', 'report')}.html"
                _report(motions[name], observations, body_model, path, made_with, overlay)
    return [*motions.values()] if everybody else motions["motion"]


def _frames(video: Any, part: dict[str, Any], show: bool) -> Iterator[np.ndarray]:
    """The frames of a video once more, with a bar."""
    frames, info = read_video(video, **part)
    return shown(frames, "image features", info.frame_count, show=show)


def _observe(video: Any, person: str | int | None, options: dict[str, Any]) -> list[clip.Observations]:
    """The observations of one person, or of everybody if `person` is None; of files, they are kept."""
    kept = not is_webcam(video) and pathlib.Path(video).expanduser().exists()
    if person is None:
        return (
            cache.observe_everybody_cached(video, **options) if kept else observe_everybody(video, **options)
        )
    observe = cache.observe_cached if kept else clip.observe
    return [observe(video, person=person, **options)]


def _check(found: list[clip.Observations], min_seen: float) -> list[clip.Observations]:
    """Logs what the result depends on; raises UserError if the person is seen in too few frames."""
    (observations,) = found
    share, frames = float(np.mean(observations.seen)), len(observations)
    logging.info("The person is seen in %.0f %% of %d frames.", 100 * share, frames)
    if share < min_seen:
        raise UserError(
            f"The person is seen in only {observations.seen.sum()} of {frames} frames, less than {100 * min_seen:g} %: "
            "choose somebody else with --person or a part of the video with --start and --end, or accept this with "
            "--min-seen 0."
        )
    if doubts := np.asarray(observations.doubts, int).tolist():
        first, last = observations.times[doubts[0]], observations.times[doubts[-1]]
        logging.warning(
            "%s somebody who looks alike is close to the person: the body may go on with the other one. Look at the "
            "overlay, or recover everybody with --person all.",
            f"At {first:.2f} s" if first == last else f"From {first:.2f} to {last:.2f} s",
        )
    _log_video(observations, observations.times[observations.shots[1:]])
    return found


def _describe(found: list[clip.Observations], min_seen: float) -> list[clip.Observations]:
    """The people who are seen in enough frames; logs who they are and where it is doubtful who is who."""
    people = [observations for observations in found if np.mean(observations.seen) >= min_seen]
    if not people:
        raise UserError(
            f"Each of the {len(found)} people is seen in less than {100 * min_seen:g} % of the frames between their "
            "first and last one: choose a part of the video with --start and --end, or accept this with --min-seen 0."
        )
    if len(people) < len(found):
        logging.warning(
            "People who are seen in too few frames and are left out: %d.", len(found) - len(people)
        )
    for number, observations in enumerate(people, 1):
        times, middle = observations.times, np.median(observations.landmarks_2d[observations.seen][..., 0])
        logging.info(
            "Person %d is seen in %.0f %% of the frames from %.2f to %.2f s, around x = %.0f pixels.",
            number,
            100 * np.mean(observations.seen),
            times[0],
            times[-1],
            middle,
        )
        for doubt in np.asarray(observations.doubts, int):
            logging.warning(
                "Person %d cannot be told from others after %.2f s: the track ends; somebody who comes later may "
                "be the same.",
                number,
                times[doubt],
            )
    _log_video(people[0], np.unique(np.concatenate([one.times[one.shots[1:]] for one in people])))
    return people


def _log_video(observations: clip.Observations, cuts: np.ndarray) -> None:
    if len(cuts):
        logging.info("The video has %d cut(s), at %s s.", len(cuts), ", ".join(f"{at:.2f}" for at in cuts))
    source = _FOCAL_LENGTH_SOURCES[observations.focal_length_source]
    logging.info("The focal length is %.0f pixels, %s.", observations.focal_length, source)


def _log_camera(motion: Motion) -> None:
    assert motion.world_to_camera is not None
    turn, shift = motion.world_to_camera[:3, :3], motion.world_to_camera[:3, 3]
    pitch, roll = angles_of(turn[:, 2])
    logging.info(
        "The camera is %.2f m above the floor; its pitch is %.0f and its roll %.0f degrees, %s.",
        -turn[:, 2] @ shift,
        pitch,
        roll,
        _GRAVITY_SOURCES[motion.gravity_source].format(motion.gravity_sigma),
    )


def _made_with(
    video: str | os.PathLike | int,
    weights: str | os.PathLike | None,
    features: str | os.PathLike | None,
    body: str | os.PathLike | None,
    options: dict,
) -> dict:
    """What somebody needs to make the motion again."""
    files: dict[str, str | os.PathLike | None]
    files = {"video": str(video), "weights": weights_file(weights), "features": features, "body": body}
    return {
        **{
            what: {"name": pathlib.Path(path).name, "sha256": report.digest(path)}
            for what, path in files.items()
            if path is not None
        },
        "options": options,
        "versions": report.versions(),
    }


def _report(
    motion: Motion,
    observations: clip.Observations,
    body: BodyModel,
    path: pathlib.Path,
    made_with: dict,
    overlay: bool,
) -> None:
    """Writes the report and logs its path."""
    landmarks = observations.landmarks_2d, observations.landmarks_3d
    *_, swapped = swaps.undo_swaps(*landmarks, observations.seen, observations.shots)
    found = report.make(
        motion,
        body,
        swapped=swapped[:, 0] | swapped[:, 1],
        shots=observations.shots.tolist(),
        person=made_with["options"]["person"],
        refine=made_with["options"]["refine"],
        made_with=made_with,
    )
    report.write(found, path, "overlay.mp4" if overlay else None)
    count = len(found["warnings"])
    logging.info("%d warning%s; see %s", count, "" if count == 1 else "s", path)


def _record(
    webcam: str | os.PathLike | int, path: pathlib.Path, max_frames: int | None, fps: float | None
) -> pathlib.Path:
    """Records a webcam: it gives each frame only once, but the detector and the overlay both need it."""
    frames, info = read_video(webcam, max_frames, fps)
    logging.info("recording %s into %s; press Ctrl-C to stop", info.name, path)
    visualize.record(frames, info.fps, path)
    return path


@contextlib.contextmanager
def _folder(out: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Makes the folder and its parents if they do not exist, and checks that it can be written to.

    If the block raises, or Ctrl-C stops the program, the folders that were made and are still empty are
    removed.
    """
    out = pathlib.Path(out)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]

    def remove() -> None:
        with contextlib.suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()

    with interrupt.cleanup(remove):
        try:
            try:
                out.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=out):
                    pass
            except OSError as error:
                reason = error.strerror or error
                raise UserError(
                    f"The folder {out} cannot be written to ({reason}): give another --out."
                ) from error
            yield out
        except BaseException:
            remove()
            raise


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.reconstruct", description="Recovers a person's 3D body from a video."
    )
    add = parser.add_argument
    add("video", nargs="?", help="video file, folder of pictures or webcam number (default: a sample video)")
    add("--out", default="out", help="folder for motion.npz, overlay.mp4 and report.html (default: out)")
    add(
        "--person",
        default="largest",
        help="largest, leftmost, a number (people count from 1, from the left), or all (default: largest)",
    )
    add(
        "--landmark-model",
        default="full",
        choices=("full", "heavy"),
        help="heavy is slower and more accurate (default: full)",
    )
    add("--weights", help="nc (default) or free, of this package; a weights .npz; or a training run's folder")
    add("--features", metavar="WEIGHTS", help="weights of a ResNet-50, for a model that takes image features")
    add("--body", help="a body file in SMPL's format (default: the free body)")
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--focal-length", type=float, help="in pixels (default: from metadata, or assumed)")
    lens.add_argument(
        "--fov", type=float, help="horizontal field of view in degrees, instead of --focal-length"
    )
    cli.add_camera(parser)
    add("--height", type=float, help="the person's stature in metres, such as 1.83 (default: estimated)")
    add("--no-foot-lock", dest="foot_lock", action="store_false", help="let planted feet slide")
    add("--fps", type=float, help="frame rate, instead of the video's (default for pictures: 30)")
    add("--start", type=float, help="begin at this time, in seconds")
    add("--end", type=float, help="end before this time, in seconds")
    add("--max-frames", type=int, help="read at most this many frames")
    add(
        "--min-seen",
        type=float,
        default=0.1,
        help="least share of frames that must show the person; 0 accepts all (default: 0.1)",
    )
    add(
        "--style",
        default="mesh",
        choices=visualize.STYLES,
        help="what overlay.mp4 shows of the body (default: mesh)",
    )
    add(
        "--layout",
        default="beside",
        choices=visualize.LAYOUTS,
        help="show the unchanged frames beside the body's, or only the body over them (default: beside)",
    )
    add("--side-view", action="store_true", help="also show the body from its side in overlay.mp4")
    add(
        "--camera",
        default="auto",
        choices=moving_camera.MODES,
        help="whether the camera stands still or moves (default: auto, as the background shows)",
    )
    add(
        "--refine",
        default="auto",
        choices=fit.MODES,
        help="fit the body to masks and landmarks (fast), also to optical flow (full), or not (off); default: auto, which "
        "is fast on the free body",
    )
    add("--export", metavar="FORMATS", help="also write files for other programs, such as glb,bvh")
    add("--no-overlay", action="store_true", help="do not draw overlay.mp4")
    add(
        "--batch", metavar="FOLDER", help="reconstruct every video below this folder, and write OUT/table.csv"
    )
    add("--shard", default="1/1", metavar="I/N", help="with --batch on N machines: this is number I, from 1")
    add("--jobs", type=cli.positive_int, help="with --batch: videos at a time (default: half the processors)")
    args = vars(parser.parse_args())
    folder, shard, jobs = (args.pop(name) for name in ("batch", "shard", "jobs"))
    args["overlay"] = not args.pop("no_overlay")
    if folder is None:
        reconstruct(**args)
    else:
        _batch(folder, batch.parse_shard(shard), jobs, args)


def _batch(folder: str, shard: tuple[int, int], jobs: int | None, options: dict[str, Any]) -> None:
    """Reconstructs a folder's videos; ends the program with status 1 if some could not be."""
    if options.pop("video") is not None:
        raise UserError("Both a video and --batch were given: give one of them.")
    # Wrong ones would fail for every video.
    load_body(options["body"]), extractor_for(load_weights(options["weights"])[1], options["features"])
    out = options.pop("out")
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
