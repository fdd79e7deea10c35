"""The camera's motion in a reconstruction: solved from what was observed, told to the user, kept in the motions."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from absl import logging

from hpof_jax.errors import UserError
from hpof_jax.motion import Motion
from hpof_jax.observe import camera_motion
from hpof_jax.observe.camera_motion import CameraMotion
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.focal_length import find_focal_length

MODES = ("auto", "static", "moving")
FEET = (7, 8, 10, 11)  # ankles and balls of the feet among SMPL's joints
STEP = 0.1  # seconds over which a foot's speed is taken
FASTEST = 0.6  # m/s of a foot; more does not count more
SPEEDS = (0.05, 4.0)  # m/s, of a camera that moves across the view
CLEARLY = 0.7  # the feet must slide by less than this share of what they slide with a camera that only turns


def check_mode(mode: str) -> None:
    """Raises UserError unless `mode` is one of `MODES`."""
    if mode not in MODES:
        raise UserError(f"There is no camera '{mode}': choose one of {', '.join(MODES)}.")


def calibrated(people: Sequence[Observations], mode: str = "auto") -> list[Observations]:
    """The people with the focal length that the background shows, where it was assumed and the camera turns enough."""
    first = people[0]
    if mode == "static" or first.background is None or first.focal_length_source != "assumed":
        return [*people]
    found = find_focal_length(first.background, first.image_size)
    if found is None:
        return [*people]
    known = dict(focal_length=np.float32(found), focal_length_source="background")
    return [dataclasses.replace(one, **known) for one in people]


def find(people: Sequence[Observations], mode: str = "auto") -> CameraMotion:
    """The camera's motion in all frames of a video, relative to the first frame of each shot.

    Args:
      people: of one video, observed with `keep_background`; otherwise the camera is taken as static.
      mode: "static": the camera stands still; "moving": it does not, even if it seems so; "auto": as it seems.

    Raises:
      UserError: there is no such mode.
    """
    check_mode(mode)
    first = people[0]
    if mode == "static" or first.background is None:
        frames = max(one.first_frame + len(one) for one in people)
        shots = {one.first_frame + shot for one in people for shot in one.shots.tolist() if shot}
        return camera_motion.static(frames, sorted({0} | shots))
    return camera_motion.solve(
        first.background,
        float(first.focal_length),
        first.image_size,
        float(first.fps),
        may_be_static=mode == "auto",
    )


def with_camera(
    motions: Sequence[Motion], people: Sequence[Observations], mode: str = "auto"
) -> tuple[list[Motion], CameraMotion]:
    """The motions of all people in a video with the camera's motion in their frames, and that of the whole video.

    Args:
      people: what the motions were lifted from.
      mode: see `find`.
    """
    camera = in_metres(find(people, mode), motions)
    return [keep(motion, camera) for motion in motions], camera


def in_metres(camera: CameraMotion, motions: Sequence[Motion]) -> CameraMotion:
    """The camera's motion with its positions in metres, from the people of the video.

    The scale of each shot's path is the one at which the people's feet slide least. Where no scale makes them slide
    clearly less than a camera that only turns, the positions are 0, and `reasons` says so.
    """
    positions, kinds, reasons = camera.positions.copy(), [*camera.kinds], [*camera.reasons]
    for row, (first, stop) in enumerate(camera.spans):
        if kinds[row] != "moving":
            continue
        scale = _scale([_feet(motion, camera, first, stop) for motion in motions])
        positions[first:stop] *= scale
        if not scale:
            kinds[row] = "rotating"
            reasons[row] = "it also moves from its place, but the people's steps do not tell how far"
    return dataclasses.replace(camera, positions=positions, kinds=tuple(kinds), reasons=tuple(reasons))


def keep(motion: Motion, camera: CameraMotion) -> Motion:
    """The motion with the camera's in its frames."""
    part = camera.part(int(motion.frame_index[0]), int(motion.frame_index[-1]) + 1)
    return dataclasses.replace(
        motion,
        camera_rotation=part.rotations,
        camera_position=part.positions,
        camera_motion=",".join(dict.fromkeys(part.kinds)),
    )


def log(camera: CameraMotion, times: np.ndarray) -> None:
    """Says what the camera does in a clip whose frames are at `times` (T,) seconds."""
    for (first, stop), kind, reason in zip(camera.spans, camera.kinds, camera.reasons, strict=True):
        where = "" if len(camera.shots) == 1 else f" from {times[first]:.2f} to {times[stop - 1]:.2f} s"
        turn = camera.turn(first, stop)
        if kind == "unknown":
            logging.warning("The camera's motion%s is unknown, and it is taken as static: %s.", where, reason)
        elif kind == "static":
            logging.info("The camera stands still%s.", where)
        elif kind == "moving":
            way = np.linalg.norm(camera.positions[first:stop] - camera.positions[first], axis=1).max()
            logging.info(
                "The camera moves%s: it turns by up to %.0f degrees and gets up to %.1f m from its first place.",
                where,
                turn,
                way,
            )
        else:
            logging.info("The camera turns%s by up to %.0f degrees.", where, turn)
            if reason:
                logging.warning("The camera's path%s is unknown: %s.", where, reason)


def _feet(motion: Motion, camera: CameraMotion, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """How the feet and the camera move in a shot, m/s and units/s, both (N, K, 3), in the axes of its first frame.

    For the feet, the camera only turns. Both are across the view, because distances are much less certain.
    """
    rows = np.flatnonzero((motion.frame_index >= first) & (motion.frame_index < stop))
    step = max(1, round(STEP * motion.mocap_framerate))
    if len(rows) <= step:
        return np.zeros((0, len(FEET), 3)), np.zeros((0, len(FEET), 3))
    frames = motion.frame_index[rows]
    feet = motion.joints[rows][:, FEET].astype(np.float64) @ camera.rotations[frames]
    view = feet[step:] + feet[:-step]
    view /= np.maximum(np.linalg.norm(view, axis=-1, keepdims=True), 1e-9)
    time = (motion.times[rows[step:]] - motion.times[rows[:-step]])[:, None, None]
    moved = (camera.positions[frames[step:]] - camera.positions[frames[:-step]])[:, None]
    seen = motion.confidence[rows]
    good = np.minimum(seen[step:], seen[:-step]) > 0.5
    feet, moved = (
        ((way - (way * view).sum(axis=-1, keepdims=True) * view) / time)[good]
        for way in (feet[step:] - feet[:-step], moved)
    )
    return feet, moved


def _scale(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Metres in a unit of the camera's path; 0 if the feet do not tell."""
    feet, camera = (np.concatenate(arrays) for arrays in zip(*parts))
    if not len(feet) or not (speed := np.linalg.norm(camera, axis=-1).mean()):
        return 0.0
    scales = np.geomspace(*SPEEDS, 200) / speed

    def slide(scale: float) -> float:
        speeds = np.linalg.norm(feet + scale * camera, axis=-1).min(axis=1)
        return float(np.minimum(speeds, FASTEST).mean())

    slides = np.array([slide(scale) for scale in scales])
    best = int(np.argmin(slides))
    inside = 0 < best < len(scales) - 1
    return float(scales[best]) if inside and slides[best] < CLEARLY * slide(0.0) else 0.0
