"""Fits pose, place and shape to clips by gradient descent, with a choice of loss terms.

A guess is a dict of pose (C, T, 24, 3), transl (C, T, 3) and betas (C, 10). The terms:

    K       the 33 landmarks in 2D, little acceleration, and a pose near the start
    M       the silhouette on the detector's mask: `losses.silhouette`
    W       the silhouettes warped by optical flow: `losses.flow_silhouette`
    V       the motion of the visible vertices by optical flow: `losses.vertex_flow`
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.flow_clips import FPS, Clips, box_pixels, project
from hpof_jax.body import BodyModel
from hpof_jax.body.model import keypoints, skin
from hpof_jax.geometry import camera, zbuffer
from hpof_jax.geometry.rasterizer import soft_silhouette
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.observe.optical_flow import SIDE
from hpof_jax.training import losses, metrics

Guess = dict[str, np.ndarray]

LOSS_WEIGHTS = {"K": 1000.0, "M": 300.0, "W": 1000.0, "V": 30.0}
SIGMA = 0.5  # pixels, of the silhouettes' blur
NEAR_START, STEADY = 200.0, 1e4  # loss weights inside K
STEPS = 60, 80  # with K alone, with all terms
# Degrees per clip and per frame; metres per metre of depth, sideways and in depth.
PERTURBATIONS = {"small": (6.0, 2.0, 0.005, 0.03), "large": (18.0, 5.0, 0.015, 0.08)}


def perturb(clips: Clips, size: str, seed: int) -> Guess:
    """A start for a fit: the true pose and place with random errors, and the mean shape."""
    per_clip, per_frame, sideways, depth = PERTURBATIONS[size]
    rng, (count, frames) = np.random.default_rng(seed), clips.pose.shape[:2]
    turn = per_clip * rng.normal(size=(count, 1, 24, 3)) + per_frame * rng.normal(size=(count, frames, 24, 3))
    shift = rng.normal(size=(count, 1, 3)) * (sideways, sideways, depth) * clips.transl[..., 2:]
    return {
        "pose": np.float32(clips.pose + np.deg2rad(turn) / np.sqrt(3)),
        "transl": np.float32(clips.transl + shift),
        "betas": np.zeros_like(clips.betas),
    }


def fit(body: BodyModel, clips: Clips, start: Guess, names: str, kind: str) -> Guess:
    """The guess after `STEPS`: first with K alone, then with all terms in `names`.

    Args:
      kind: of the optical flow, "exact" or "DIS".
    """
    visible = np.zeros((*clips.box.shape[:2], body.v_template.shape[0]), bool)
    guess = _descend(body, clips, start, start, visible, "K", "exact", STEPS[0])
    for _ in range(2):
        if "V" in names:
            visible = visible_vertices(body, clips, guess)
        guess = _descend(body, clips, guess, start, visible, names, kind, STEPS[1] // 2)
    return guess


def terms(
    body: BodyModel, clips: Clips, guess: Guess, start: Guess, names: str, kind: str, visible: np.ndarray
) -> dict[str, jax.Array]:
    """Each term in `names`, (C,); `visible` is from `visible_vertices`."""
    found = {}
    if "K" in names:
        rotations = axis_angle_to_matrix(guess["pose"])
        points, joints = keypoints(body, body.landmarks, guess["betas"][:, None], rotations)
        points = points + guess["transl"][:, :, None]
        pred, detected = (
            camera.to_box(place, clips.box) for place in (project(clips, points), clips.landmarks[..., :2])
        )
        errors = losses.keypoints_2d(pred, detected, clips.landmarks[..., 2])
        change = jnp.mean(jnp.sum((guess["pose"] - start["pose"]) ** 2, axis=-1), axis=(1, 2))
        change += 0.01 * jnp.mean(guess["betas"] ** 2, axis=-1)
        acceleration = jnp.mean(
            losses.acceleration(joints + guess["transl"][:, :, None]) ** 2, axis=(1, 2, 3)
        )
        prior = (NEAR_START * change + STEADY * acceleration) / LOSS_WEIGHTS["K"]
        found["K"] = jnp.mean(errors, axis=1) + prior
    if set(names) & set("MWV"):
        points, _ = _vertices(body, clips, guess)
    if set(names) & set("MW"):
        silhouettes = soft_silhouette(points, body.faces, (SIDE, SIDE), SIGMA)
    if "M" in names:
        found["M"] = jnp.mean(losses.silhouette(silhouettes, clips.masks, clips.inside), axis=1)
    if set(names) & set("WV"):
        moves, valid = clips.flow[kind], clips.valid[kind]
    if "W" in names:
        found["W"] = _mean(*losses.flow_silhouette(silhouettes, moves, valid))
    if "V" in names:
        if "M" in names:  # flow outside the mask is not the person's
            person = clips.masks > 0.5
            valid = valid & jnp.stack([person[:, :-1], person[:, 1:]], axis=2)
        found["V"] = _mean(*losses.vertex_flow(points, moves, valid, visible))
    return found


def visible_vertices(body: BodyModel, clips: Clips, guess: Guess) -> np.ndarray:
    """Which vertices of a guess the camera sees, (C, T, V) bool."""
    points, depth = jax.device_get(jax.jit(_vertices)(body, clips, guess))
    faces, fine = np.asarray(body.faces), 2
    seen = [
        zbuffer.visible_vertices(p * fine, d, faces, (SIDE * fine, SIDE * fine))
        for p, d in zip(points.reshape(-1, *points.shape[2:]), depth.reshape(-1, depth.shape[-1]))
    ]
    return np.reshape(seen, depth.shape)


@jax.jit
def errors(body: BodyModel, clips: Clips, guess: Guess) -> jax.Array:
    """MPJPE, PA-MPJPE and PVE in mm and the acceleration error in m/s^2 of each clip, (4, C)."""
    true = {key: getattr(clips, key) for key in guess}
    (points, joints), (true_points, true_joints) = (
        skin(body, g["betas"][:, None], axis_angle_to_matrix(g["pose"]), g["transl"]) for g in (guess, true)
    )
    return jnp.stack(
        [
            metrics.mpjpe(joints, true_joints).mean(1),
            metrics.pa_mpjpe(joints, true_joints).mean(1),
            metrics.pve(points, true_points, joints[..., 0, :], true_joints[..., 0, :]).mean(1),
            metrics.acceleration_error(joints, true_joints, FPS).mean(1),
        ]
    )


def _vertices(body, clips, guess):
    """The vertices of a guess in pixels of the boxes (C, T, V, 2), and their depth (C, T, V) in metres."""
    rotations = axis_angle_to_matrix(guess["pose"])
    vertices, _ = skin(body, guess["betas"][:, None], rotations, guess["transl"])
    return box_pixels(project(clips, vertices), clips.box), vertices[..., 2]


def _mean(values, where):
    axes = tuple(range(1, values.ndim))
    return jnp.sum(jnp.where(where, values, 0), axis=axes) / jnp.maximum(jnp.sum(where, axis=axes), 1)


@functools.partial(jax.jit, static_argnames=("names", "kind", "steps"))
def _descend(body, clips, guess, start, visible, names, kind, steps):
    optimizer = optax.adam(optax.cosine_decay_schedule(0.02, steps, alpha=0.3))

    def loss(guess):
        found = terms(body, clips, guess, start, names, kind, visible)
        return sum(jnp.sum(LOSS_WEIGHTS[name] * value) for name, value in found.items())

    def step(carry, _):
        guess, state = carry
        updates, state = optimizer.update(jax.grad(loss)(guess), state)
        return (optax.apply_updates(guess, updates), state), None

    return jax.lax.scan(step, (guess, optimizer.init(guess)), length=steps)[0][0]
