"""Gives a motion's body a known stature, and with it the right size and distance."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from hpof_jax.body.numpy_kinematics import global_rotations, posed_joints
from hpof_jax.errors import UserError

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.motion import Motion

LIMITS = (1.0, 2.5)  # metres
FARTHEST = 6.0  # standard deviations of the shape that a stature may ask for
_ROUNDS = 10  # until the highest and the lowest vertex no longer change


def check_stature(metres: float) -> None:
    """Raises UserError unless somebody can be that tall."""
    if not LIMITS[0] <= metres <= LIMITS[1]:  # NaN fails as well
        raise UserError(
            f"The height is {metres} metres: give the person's stature, from {LIMITS[0]} to {LIMITS[1]}, such as 1.83."
        )


def stature(betas: np.ndarray, body: "BodyModel") -> float:
    """The height in metres of the rest body of a shape (10,)."""
    return float(np.ptp(_heights(betas, body)))


def with_stature(motion: "Motion", body: "BodyModel", metres: float) -> "Motion":
    """The motion of a body that is `metres` tall at rest, in the same place of the picture.

    `betas` change along the gradient of the stature, which is the smallest change that reaches it. The path grows
    in proportion to the body, seen from the camera, so the person is nearer or farther.

    Args:
      body: the body that the motion was made with.

    Raises:
      UserError: nobody is that tall, or this body cannot be.
    """
    check_stature(metres)
    betas = motion.betas.astype(np.float64)
    directions = np.asarray(body.shapedirs, np.float64)[:, 1]  # (V, B)
    for _ in range(_ROUNDS):
        heights = _heights(betas, body)
        slope = directions[heights.argmax()] - directions[heights.argmin()]
        betas[: len(slope)] += slope * (metres - np.ptp(heights)) / (slope @ slope)
    moved = np.linalg.norm(betas - motion.betas)
    if abs(stature(betas, body) - metres) > 1e-3 or moved > FARTHEST:
        raise UserError(f"The body {body.name!r} cannot be made {metres:g} m tall: give another height.")
    turns, old = global_rotations(motion.pose), motion.joints.astype(np.float64)
    rest = np.asarray(body.J_template) + np.einsum(
        "b,bjc->jc", betas[: len(slope)], np.asarray(body.J_shapedirs)
    )
    about_old = old - old[:, :1]
    about_new = posed_joints(rest, turns, np.zeros((len(motion), 3)))
    scale = float((about_new * about_old).sum() / max((about_old**2).sum(), 1e-12))
    pelvis = scale * old[:, 0]
    world = motion.world_to_camera
    if world is not None:
        world = np.column_stack([world[:, :3], [*(scale * world[:3, 3]), 1.0]])
    return dataclasses.replace(
        motion,
        betas=betas,
        trans=pelvis - rest[0],
        joints=about_new + pelvis[:, None],
        cam=motion.cam / [scale, 1.0, 1.0] * [1.0, scale, scale],
        camera_position=scale * motion.camera_position,
        world_to_camera=world,
    )


def _heights(betas: np.ndarray, body: "BodyModel") -> np.ndarray:
    """(V,) heights of the rest body's vertices, in metres."""
    betas = np.asarray(betas, np.float64)[: body.num_betas]
    return np.asarray(body.v_template, np.float64)[:, 1] + np.asarray(body.shapedirs)[:, 1] @ betas
