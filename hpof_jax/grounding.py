"""Puts reconstructed people on the floor: stature, gravity, planted feet and the world, in this order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import logging

from hpof_jax.errors import UserError
from hpof_jax.foot_lock import lock_feet
from hpof_jax.gravity import angles_of, find_gravity
from hpof_jax.stature import with_stature
from hpof_jax.world import stilled, with_world

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.motion import Motion

GRAVITY_SOURCES = {
    "given": "as given",
    "estimated": "estimated to about {:.0f} degrees; set --camera-pitch and --camera-roll if you know them",
    "level": "assumed, because nobody stands upright for long enough",
}


def ground(
    motions: Sequence["Motion"],
    body: "BodyModel",
    *,
    height: float | None = None,
    foot_lock: bool = True,
    camera_pitch: float | None = None,
    camera_roll: float | None = None,
    camera_height: float | None = None,
) -> list["Motion"]:
    """The motions of people whom one camera saw, in one world.

    Args:
      body: the body that the motions were made with.
      height: metres, the stature of the person; see `stature.with_stature`. None: as reconstructed.
      foot_lock: hold planted feet in place, see `foot_lock.lock_feet`. Where the camera does not stand still, the
        feet stay as they are.
      camera_pitch, camera_roll, camera_height: see `world.find_world`. None: estimated.

    Raises:
      UserError: a height for several people, or a number that is out of range.
    """
    motions = list(motions)
    if height is not None:
        if len(motions) > 1:
            raise UserError("A height is given, but there are several people: choose one with --person.")
        motions = [with_stature(motion, body, height) for motion in motions]
    if foot_lock:
        up = find_gravity([stilled(motion) for motion in motions], camera_pitch, camera_roll, body).up
        motions = [
            lock_feet(motion, body, up=up) if motion.camera_motion == "static" else motion
            for motion in motions
        ]
    camera = dict(camera_pitch=camera_pitch, camera_roll=camera_roll, camera_height=camera_height)
    return with_world(motions, body, **camera)


def log(motion: "Motion") -> None:
    """Says where the camera of a motion from `ground` is in the world."""
    assert motion.world_to_camera is not None
    turn, shift = motion.world_to_camera[:3, :3], motion.world_to_camera[:3, 3]
    logging.info(
        "The camera is %.2f m above the floor; its pitch is %.0f and its roll %.0f degrees, %s.",
        -turn[:, 2] @ shift,
        *angles_of(turn[:, 2]),
        GRAVITY_SOURCES[motion.gravity_source].format(motion.gravity_sigma),
    )
