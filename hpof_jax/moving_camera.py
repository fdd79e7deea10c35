"""The camera's motion in a reconstruction: solved from what was observed, told to the user, kept in the motion."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from absl import logging

from hpof_jax.errors import UserError
from hpof_jax.motion import Motion
from hpof_jax.observe import camera_motion
from hpof_jax.observe.camera_motion import CameraMotion
from hpof_jax.observe.clip import Observations

MODES = ("auto", "static", "moving")


def check_mode(mode: str) -> None:
    """Raises UserError unless `mode` is one of `MODES`."""
    if mode not in MODES:
        raise UserError(f"There is no camera '{mode}': choose one of {', '.join(MODES)}.")


def find(people: Sequence[Observations], mode: str = "auto") -> list[CameraMotion]:
    """The camera's motion in the frames of each person of one video, relative to the first frame of each shot.

    Args:
      people: observed with `keep_background`; otherwise the camera is taken as static.
      mode: "static": the camera stands still; "moving": it does not, even if it seems so; "auto": as it seems.

    Raises:
      UserError: there is no such mode.
    """
    check_mode(mode)
    first = people[0]
    if mode == "static" or first.background is None:
        return [camera_motion.static(len(one), one.shots.tolist()) for one in people]
    whole = camera_motion.solve(
        first.background,
        float(first.focal_length),
        first.image_size,
        float(first.fps),
        may_be_static=mode == "auto",
    )
    return [whole.part(one.first_frame, one.first_frame + len(one)) for one in people]


def keep(motion: Motion, camera: CameraMotion) -> Motion:
    """The motion with its camera's."""
    return dataclasses.replace(
        motion, camera_rotation=camera.rotations, camera_motion=",".join(dict.fromkeys(camera.kinds))
    )


def log(camera: CameraMotion, times: np.ndarray) -> None:
    """Says what the camera does in a clip whose frames are at `times` (T,) seconds."""
    for shot, kind, reason, stop in zip(
        camera.shots, camera.kinds, camera.reasons, [*camera.shots[1:], len(camera)], strict=True
    ):
        where = "" if len(camera.shots) == 1 else f" from {times[shot]:.2f} to {times[stop - 1]:.2f} s"
        if kind == "unknown":
            logging.warning("The camera's motion%s is unknown, and it is taken as static: %s.", where, reason)
        elif kind == "static":
            logging.info("The camera stands still%s.", where)
        else:
            logging.info(
                "The camera moves%s: it turns by up to %.0f degrees.", where, camera.turn(shot, stop)
            )
