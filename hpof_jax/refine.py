"""Test-time fit: corrects a motion by the landmarks, person masks and optical flow of its video.

The fit corrects the network's answer at knots, `SPACING` seconds apart. It works window by window, so that memory and
compilation do not depend on the clip's length. `hpof_jax.picture_fit` has the problem that is solved in each window;
docs/refine.md says what each term gains.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.body.files import FREE_BODY
from hpof_jax.body.model import posed_joints
from hpof_jax.errors import UserError
from hpof_jax.geometry import camera, temporal
from hpof_jax.geometry.rotations import matrix_to_axis_angle
from hpof_jax.motion import Motion
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.crops import mask_in_square
from hpof_jax.observe.optical_flow import SIDE
from hpof_jax.picture_fit import Camera, Evidence, load_statistics, moved, solve
from hpof_jax.progress import progress as shown

NEEDS = {"off": (), "fast": ("masks",), "full": ("masks", "flow")}  # mode -> what the observations must hold
MODES = ("auto", *NEEDS)
FACES = 1000  # of the body whose outline is drawn
SPACING = 0.1  # seconds between knots
FADE = 0.2  # seconds in which the correction fades beside a gap
KNOTS, OVERLAP = 16, 4  # of a window, and those that it shares with the next one
STEPS = 40  # of Adam
WEIGHTS = {"fast": {"landmarks": 0.15, "silhouette": 18.0, "limits": 1.0}}
WEIGHTS["full"] = WEIGHTS["fast"] | {"flow_silhouette": 3.0, "vertex_flow": 4.0}
# Small masks are soft at the edge, by which a right body would differ from them by a fifth.
SHARPER = 4.0
LEAST_KNOWN = 0.5  # of a mask's pixels; with fewer, the frame is as if it did not show the person
CHUNK = 512  # frames whose joints are computed at once


def refine(
    motion: Motion,
    observations: Observations,
    body: BodyModel | None = None,
    *,
    mode: str = "full",
    others: Sequence[Observations] = (),
    weights: Mapping[str, float] | None = None,
    offsets: bool = True,
    progress: bool = True,
) -> Motion:
    """The motion, fitted to the observations that it was lifted from.

    Pose and place change; the shape does not. Frames that do not show the person keep their values. No information
    crosses a cut. Equal input gives equal output.

    Args:
      motion: of `hpof_jax.lifting.lift`.
      observations: of the same frames, with masks, and with flow for mode "full". Left-right swaps are undone.
      body: the body that the motion was made with. None: the free body.
      mode: "off" returns the motion as it is, "fast" fits landmarks and masks, "full" also optical flow; see `chosen`
        for "auto".
      others: of the other people in the same video, with masks. Pixels of their masks say nothing about this person.
      weights: of the terms, in place of `WEIGHTS[mode]`.
      offsets: whether the landmarks' mean offsets are used.
      progress: show how far the work is.

    Raises:
      UserError: an unknown mode, or observations without masks, without flow, or of other frames.
    """
    check_mode(mode)
    body = load_body() if body is None else body
    mode = chosen(mode, body)
    if mode == "off":
        return motion
    _check(motion, observations, others, mode)
    step = max(round(SPACING * float(observations.fps)), 1)
    statistics = load_statistics()
    statistics = statistics if offsets else statistics._replace(offsets=0 * statistics.offsets)
    weights = {name: jnp.float32(weight) for name, weight in (weights or WEIGHTS[mode]).items()}
    lens = Camera(jnp.float32(motion.focal_length), jnp.asarray(motion.image_size, jnp.float32))
    outline, betas = decimate(body, FACES), jnp.asarray(motion.betas)
    problem = STEPS, body, outline, betas, statistics, lens, weights
    shots = [*np.asarray(observations.shots, int).tolist(), len(motion)]
    windows = [(slice(a, b), first) for a, b in zip(shots, shots[1:]) for first in _windows(b - a, step)]
    total, share = np.zeros((len(motion), 25, 3), np.float32), np.zeros((len(motion), 1, 1), np.float32)
    for shot, first in shown(windows, "fitting", len(windows), "window", show=progress):
        seen = _evidence(motion, observations, others, shot, first, step, mode)
        knots = np.asarray(solve(*problem, seen))
        frames = np.arange(first * step, min((first + KNOTS - 1) * step + 1, shot.stop - shot.start))
        at = frames / step - first
        # Where windows overlap, one fades into the next.
        fade = np.clip(np.minimum(at + (first == 0), KNOTS - 1 - at) / OVERLAP, 1e-3, 1.0)
        fade = np.float32(fade)[:, None, None]
        knots = knots[: int(np.ceil(at[-1])) + 1]  # without those beyond the shot's end
        curve = temporal.spline(knots.reshape(len(knots), -1), at).reshape(-1, 25, 3)
        total[shot.start + frames] += fade * curve
        share[shot.start + frames] += fade
    correction = total / share * _near_evidence(observations.seen, FADE * observations.fps)[:, None, None]
    return _corrected(motion, correction, body)


def refine_all(
    motions: Sequence[Motion], people: Sequence[Observations], body: BodyModel | None = None, **options: Any
) -> list[Motion]:
    """The motions of all people in a video, each fitted to its own observations.

    Where people hide each other, the masks of the others are left out. Arguments and errors are those of `refine`.
    """
    return [
        refine(motion, own, body, others=[one for one in people if one is not own], **options)
        for motion, own in zip(motions, people, strict=True)
    ]


def check_mode(mode: str) -> None:
    """Raises UserError if there is no such mode."""
    if mode not in MODES:
        raise UserError(f"There is no fit '{mode}': choose one of {', '.join(MODES)}.")


def chosen(mode: str, body: BodyModel) -> str:
    """The mode itself; for "auto", "fast" on the free body, whose landmarks' offsets are known, and "off" on others."""
    if mode != "auto":
        return mode
    return "fast" if body.name == FREE_BODY.stem else "off"


def _check(motion: Motion, observations: Observations, others: Sequence[Observations], mode: str) -> None:
    if len(motion) != len(observations):
        raise UserError(
            f"The motion has {len(motion)} frames and the observations have {len(observations)}: give those that it "
            "was lifted from."
        )
    for name in NEEDS[mode]:
        people = [observations, *others] if name == "masks" else [observations]
        if any(getattr(person, name) is None for person in people):
            raise UserError(
                f"The fit needs {name}: observe the video with keep_{name}=True, or choose another fit."
            )


def _windows(frames: int, step: int) -> range:
    """The first knot of each window of a shot."""
    knots = -(-(frames - 1) // step) + 1
    return range(0, max(knots - OVERLAP, 1), KNOTS - OVERLAP)


def _evidence(motion, observations, others, shot, first, step, mode) -> Evidence:
    ahead = np.array([0, 1] if mode == "full" else [0])
    frames = shot.start + (first + np.arange(KNOTS)) * step
    rows = np.minimum(frames[:, None] + ahead, shot.stop - 1)
    seen = observations.seen[rows] & (frames[:, None] < shot.stop + step - 1)
    flow = valid = None
    box = motion.box[rows]
    if mode == "full":
        pairs = np.minimum(rows[:, 0], len(motion) - 2)
        box = np.where(seen[..., None], observations.flow_box[rows], box)
        flow = observations.flow[pairs].astype(np.float32)
        valid = (
            observations.flow_valid[pairs]
            & (seen.all(axis=1) & (rows[:, 1] > rows[:, 0]))[:, None, None, None]
        )
    squares = zip(rows.ravel(), box.reshape(-1, 3))
    soft = [
        mask_in_square(observations.masks[row], observations.mask_to_frame[row], square, SIDE)
        for row, square in squares
    ]
    masks = np.clip(SHARPER * (np.stack(soft) - 0.5) + 0.5, 0.0, 1.0)
    masks = masks.reshape(*rows.shape, SIDE, SIDE)
    known, own = ~_others_in_squares(others, motion.frame_index[rows], box), masks > 0.5
    # Of a person who is mostly within the others' masks, the own mask may be somebody else's.
    seen = seen & ((own & known).sum(axis=(-1, -2)) >= LEAST_KNOWN * own.sum(axis=(-1, -2)))
    return Evidence(
        pose=motion.pose[rows],
        pelvis=motion.joints[rows, 0],
        later=np.float32(ahead / step),
        landmarks=motion.keypoints_2d[rows],
        seen=seen,
        box=np.maximum(box, [-np.inf, -np.inf, 1.0]).astype(np.float32),
        masks=masks,
        known=known,
        flow=flow,
        flow_valid=None if valid is None else valid & known,
    )


def _others_in_squares(others: Sequence[Observations], frames: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """(..., SIDE, SIDE) bool: which pixels of squares (..., 3) of frames (...) lie in the mask of any of the others."""
    found = np.zeros((*frames.shape, SIDE, SIDE), bool)
    for place in np.ndindex(frames.shape):
        for other in others:
            row = frames[place] - other.first_frame
            if 0 <= row < len(other) and other.seen[row]:
                mask = other.masks[row], other.mask_to_frame[row]
                found[place] |= mask_in_square(*mask, squares[place], SIDE) > 0.5
    return found


def _near_evidence(seen: np.ndarray, fade: float) -> np.ndarray:
    """(T,) 0 in unseen frames, rising to 1 `fade` frames away from them."""
    frames, gaps = np.arange(len(seen)), np.flatnonzero(~seen)
    if not len(gaps):
        return np.ones(len(seen), np.float32)
    after = np.searchsorted(gaps, frames)
    near = gaps[np.clip([after - 1, after], 0, len(gaps) - 1)]
    return np.minimum(np.abs(frames - near).min(axis=0) / fade, 1.0).astype(np.float32)


@jax.jit
def _applied(body, betas, pose, pelvis, correction):
    rotations, pelvis = moved(pose, pelvis, correction)
    joints = posed_joints(body, betas, rotations)
    return matrix_to_axis_angle(rotations), joints - joints[..., :1, :] + pelvis[..., None, :], pelvis


def _corrected(motion: Motion, correction: np.ndarray, body: BodyModel) -> Motion:
    parts = []
    for start in range(0, len(motion), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(motion)))
        filled = np.resize(rows, CHUNK)  # one size compiles once
        frames = (motion.pose[filled], motion.joints[filled, 0], correction[filled])
        parts.append([np.asarray(x)[: len(rows)] for x in _applied(body, motion.betas, *frames)])
    pose, joints, pelvis = (np.concatenate(part) for part in zip(*parts))
    changed = correction.any(axis=(1, 2))
    pose = np.where(changed[:, None, None], pose, motion.pose)
    joints = np.where(changed[:, None, None], joints, motion.joints)
    focal_length, image_size = np.float32(motion.focal_length), np.asarray(motion.image_size, np.float32)
    cam = np.asarray(camera.translation_to_cam(pelvis, motion.box, focal_length, image_size))
    return dataclasses.replace(
        motion,
        poses=pose.reshape(-1, 72),
        trans=motion.trans + (joints[:, 0] - motion.joints[:, 0]),
        joints=joints,
        cam=np.where(changed[:, None], cam, motion.cam),
    )
