"""What optical flow is worth to the pose: a perturbed motion is fitted to a clip, with and without each term.

    python -m benchmarks.flow_losses --motion bvh:FOLDER_OR_ZIP --motion synthetic [--clips 56] [--json FILE]

Clips of rendered people (`data_pipelines.render.film`), whose truth is known, are watched by the real detector; the flow is
exact (`geometry.flow.rendered_flow`) or that of DIS on the pictures. The true pose is perturbed, its shape forgotten and
its place shifted; then Adam follows the gradient of

    K       the 33 landmarks in 2D, little acceleration, and staying near the start
    M       the silhouette on the detector's mask
    W       the warped silhouettes: `losses.flow_silhouette`
    V       `losses.vertex_flow` of the visible vertices

First K alone, then all terms of the row. Errors over all frames and 24 joints; what a term changes is the mean over clips of
the paired difference to the row without it, with its standard error. The camera is known.

    python -m benchmarks.flow_losses --slopes ...

tells instead how W and V rise with an error in each limb's rotation, in the place and in the shape, with exact flow.
"""

import argparse
import dataclasses
import functools
import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from benchmarks.program import program
from data_pipelines.render import film as render
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.body.model import keypoints, skin
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.geometry import camera, flow, zbuffer
from hpof_jax.geometry.rasterizer import soft_silhouette
from hpof_jax.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from hpof_jax.observe.blazepose import LANDMARK_SIDE as MASK_SIDE
from hpof_jax.observe.crops import mask_in_square
from hpof_jax.observe.optical_flow import SIDE
from hpof_jax.observe.person import PersonTracker
from hpof_jax.observe.track import track
from hpof_jax.training import losses, metrics

FPS = 30.0
WEIGHTS = {"K": 1000.0, "M": 300.0, "W": 1000.0, "V": 30.0}
SIGMA = 0.5
STAY, STEADY = 200.0, 1e4
STEPS = 60, 80  # with K alone, with everything
# Degrees, the same in a clip and in each frame; metres a metre away, sideways and in depth.
PERTURBATIONS = {"small": (6.0, 2.0, 0.005, 0.03), "large": (18.0, 5.0, 0.015, 0.08)}
ANGLES = 0.0, 2.0, 5.0, 10.0, 20.0  # degrees
ERRORS = dict.fromkeys(
    ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "spine2", "neck", "left_shoulder", "right_shoulder",
     "left_elbow", "right_elbow"), ANGLES
) | {"place": (0.0, 0.02, 0.05, 0.1, 0.2), "depth": (0.0, 0.05, 0.1, 0.2, 0.4), "shape": (0.0, 0.5, 1.0, 2.0)}  # fmt: skip
OFFSET, TREMOR = 0.015, 0.01  # of a simulated landmark, in boxes: of the clip, of the frame
ROWS = ("K", "KW", "KV", "KWV", "KM", "KMW", "KMV", "KMWV")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Clips:
    """C clips of T frames; pixels are those of the rendered window."""

    pose: np.ndarray  # (C, T, 24, 3), transl (C, T, 3), betas (C, 10): the truth
    transl: np.ndarray
    betas: np.ndarray
    focal_length: np.ndarray  # (C,) px
    middle: np.ndarray  # (C, 2) px, the principal point
    box: np.ndarray  # (C, T, 3) px
    landmarks: np.ndarray  # (C, T, 33, 3) [x px, y px, visibility]
    masks: np.ndarray  # (C, T, 64, 64) the detector's, 0 to 1, in the box
    inside: np.ndarray  # (C, T, 64, 64) what of the box lies in the picture
    flow: dict[str, np.ndarray]  # of each kind, as `Observations` has it: (C, T - 1, 2, 64, 64, 2)
    valid: dict[str, np.ndarray]  # (C, T - 1, 2, 64, 64)


def make_clips(
    body: BodyModel, motions: list[str], count: int, frames: int, seed: int, every: int = 1
) -> Clips:
    """Renders clips and watches every so many of their pictures, until there are enough in which the person is seen all the
    time."""
    clips, progress = [], tqdm(total=count, unit="clip", disable=not sys.stderr.isatty())
    for number in itertools.count():
        film = render.make_film(seed, number, motions, frames=frames * every)
        clip = _watch(body, film, every)
        if clip is not None:
            clips.append(clip)
            progress.update()
        if len(clips) == count:
            return jax.tree.map(lambda *arrays: np.stack(arrays), *clips)


def _watch(body, film, every):
    shot, tracker = film.shot, PersonTracker("full", fps=FPS / every)
    shot = dataclasses.replace(shot, to_camera=shot.to_camera[::every], ground_truth=dict(shot.ground_truth))
    for key in ("pose", "transl"):
        shot.ground_truth[key] = shot.ground_truth[key][::every]
    pictures = (picture for picture, _ in itertools.islice(film.pictures, 0, None, every))
    seen = track(
        pictures,
        tracker,
        mask_side=MASK_SIDE,
        keep_flow=True,
        find_cuts=False,
        stop=lambda seen: not seen[-1],
    )
    if not seen["seen"].all():
        return None
    boxes, size = seen["flow_box"], np.array(shot.window.size)
    squares = zip(seen["masks"], seen["mask_to_frame"], boxes)
    places = np.stack([_pixels(box) for box in boxes])
    truth, window = shot.ground_truth, shot.window
    exact, exact_valid = _exact_flow(body, shot, boxes)
    return Clips(
        *(truth[key] for key in ("pose", "transl", "betas")),
        focal_length=np.float32(window.focal_length),
        middle=np.float32(window.centre),
        box=boxes,
        landmarks=seen["landmarks_2d"],
        masks=np.stack([mask_in_square(*square, SIDE) for square in squares]),
        inside=np.all((places > 0) & (places < size[::-1]), axis=-1),
        flow={"exact": exact, "DIS": np.float32(seen["flow"])},
        valid={"exact": exact_valid, "DIS": seen["flow_valid"]},
    )


def box_pixels(points: jax.Array, box: jax.Array) -> jax.Array:
    """Pixels of a frame (..., K, 2) to those of a box of 64 x 64 pixels (..., 3) in it."""
    return (camera.to_box(points, box) + 1) * (SIDE / 2)


def _pixels(box):
    """Where in its frame the pixels of a box lie, (64, 64, 2)."""
    return ((np.moveaxis(np.indices((SIDE, SIDE)), 0, -1)[..., ::-1] + 0.5) / SIDE - 0.5) * box[2] + box[:2]


def _exact_flow(body, shot, boxes):
    rotations = axis_angle_to_matrix(shot.ground_truth["pose"])
    vertices, _ = jax.jit(skin)(
        body, shot.ground_truth["betas"][None], rotations, shot.ground_truth["transl"]
    )
    vertices, faces = np.asarray(vertices), np.asarray(body.faces)
    focal, middle = shot.window.focal_length, shot.window.centre
    points = vertices[..., :2] / vertices[..., 2:] * focal + middle
    points = np.asarray(box_pixels(points, boxes))
    background = np.empty((len(boxes) - 1, 2, SIDE, SIDE, 2), np.float32)
    for pair, way in np.ndindex(background.shape[:2]):
        a, b = (pair, pair + 1)[:: -1 if way else 1]
        # What lies behind the person is far away and moves as the camera turns.
        place = _pixels(boxes[a])
        rays = np.concatenate([(place - middle) / focal, np.ones((SIDE, SIDE, 1))], axis=-1)
        rays = rays @ (shot.to_camera[b] @ shot.to_camera[a].T).T
        moved = np.float32(rays[..., :2] / rays[..., 2:] * focal + middle - place)
        background[pair, way] = flow.between_boxes(moved, boxes[a], boxes[b])
    return flow.rendered_flow(points, vertices[..., 2], faces, (SIDE, SIDE), background)[:2]


def pose_vertices(body: BodyModel, clips: Clips, guess: dict) -> tuple[jax.Array, jax.Array]:
    """The vertices of a guess in pixels of the boxes (C, T, V, 2), and their depth (C, T, V) in metres."""
    rotations = axis_angle_to_matrix(guess["pose"])
    vertices, _ = skin(body, guess["betas"][:, None], rotations, guess["transl"])
    place = _project(clips, vertices)
    return box_pixels(place, clips.box), vertices[..., 2]


def _project(clips, points):
    depth = jnp.maximum(points[..., 2:], 0.1)
    focal = jnp.asarray(clips.focal_length)[:, None, None, None]
    return points[..., :2] / depth * focal + jnp.asarray(clips.middle)[:, None, None]


def terms(body, clips, guess, start, names, kind, visible):
    """Each term named in `names`, (C,)."""
    found = {}
    if "K" in names:
        rotations = axis_angle_to_matrix(guess["pose"])
        points, joints = keypoints(body, body.landmarks, guess["betas"][:, None], rotations)
        points = points + guess["transl"][:, :, None]
        here, there = (
            camera.to_box(place, clips.box) for place in (_project(clips, points), clips.landmarks[..., :2])
        )
        errors = losses.keypoints_2d(here, there, clips.landmarks[..., 2])
        away = jnp.mean(jnp.sum((guess["pose"] - start["pose"]) ** 2, axis=-1), axis=(1, 2))
        away += 0.01 * jnp.mean(guess["betas"] ** 2, axis=-1)
        rush = jnp.mean(losses.acceleration(joints + guess["transl"][:, :, None]) ** 2, axis=(1, 2, 3))
        found["K"] = jnp.mean(errors, axis=1) + (STAY * away + STEADY * rush) / WEIGHTS["K"]
    if set(names) & set("MWV"):
        points, depth = pose_vertices(body, clips, guess)
    if set(names) & set("MW"):
        silhouettes = soft_silhouette(points, body.faces, (SIDE, SIDE), SIGMA)
    if "M" in names:
        found["M"] = jnp.mean(losses.silhouette(silhouettes, clips.masks, clips.inside), axis=1)
    if set(names) & set("WV"):
        moves, valid = clips.flow[kind], clips.valid[kind]
    if "W" in names:
        found["W"] = _mean(*losses.flow_silhouette(silhouettes, moves, valid))
    if "V" in names:
        body_only = valid
        if "M" in names:
            here = clips.masks > 0.5
            body_only = valid & jnp.stack([here[:, :-1], here[:, 1:]], axis=2)
        found["V"] = _mean(*losses.vertex_flow(points, moves, body_only, visible))
    return found


def _mean(values, where):
    axes = tuple(range(1, values.ndim))
    return jnp.sum(jnp.where(where, values, 0), axis=axes) / jnp.maximum(jnp.sum(where, axis=axes), 1)


@functools.partial(jax.jit, static_argnames=("names", "kind", "steps"))
def _descend(body, clips, guess, start, visible, names, kind, steps):
    optimizer = optax.adam(optax.cosine_decay_schedule(0.02, steps, alpha=0.3))

    def loss(guess):
        found = terms(body, clips, guess, start, names, kind, visible)
        return sum(jnp.sum(WEIGHTS[name] * value) for name, value in found.items())

    def step(carry, _):
        guess, state = carry
        updates, state = optimizer.update(jax.grad(loss)(guess), state)
        return (optax.apply_updates(guess, updates), state), None

    return jax.lax.scan(step, (guess, optimizer.init(guess)), length=steps)[0][0]


def visible_vertices(body: BodyModel, clips: Clips, guess: dict) -> np.ndarray:
    points, depth = jax.device_get(jax.jit(pose_vertices)(body, clips, guess))
    faces, fine = np.asarray(body.faces), 2
    seen = [
        zbuffer.visible_vertices(p * fine, d, faces, (SIDE * fine, SIDE * fine))
        for p, d in zip(points.reshape(-1, *points.shape[2:]), depth.reshape(-1, depth.shape[-1]))
    ]
    return np.reshape(seen, depth.shape)


def perturb(clips: Clips, size: str, seed: int) -> dict[str, np.ndarray]:
    """A guess at the motion: the truth, turned and shifted at random, with the mean shape."""
    per_clip, per_frame, aside, depth = PERTURBATIONS[size]
    rng, (count, frames) = np.random.default_rng(seed), clips.pose.shape[:2]
    turn = per_clip * rng.normal(size=(count, 1, 24, 3)) + per_frame * rng.normal(size=(count, frames, 24, 3))
    shift = rng.normal(size=(count, 1, 3)) * (aside, aside, depth) * clips.transl[..., 2:]
    return {
        "pose": np.float32(clips.pose + np.deg2rad(turn) / np.sqrt(3)),
        "transl": np.float32(clips.transl + shift),
        "betas": np.zeros_like(clips.betas),
    }


def simulate_landmarks(body: BodyModel, clips: Clips, seed: int) -> np.ndarray:
    """The true landmarks, all of them seen, each as far off as it stays in the clip and as it trembles: like `landmarks`."""
    points, _ = keypoints(
        body, body.landmarks, clips.betas[:, None], axis_angle_to_matrix(jnp.asarray(clips.pose))
    )
    place = np.asarray(_project(clips, points + clips.transl[:, :, None]))
    rng, (count, frames) = np.random.default_rng(seed), place.shape[:2]
    noise = OFFSET * rng.normal(size=(count, 1, 33, 2)) + TREMOR * rng.normal(size=(count, frames, 33, 2))
    return np.concatenate(
        [place + noise * clips.box[:, :, None, 2:], np.ones_like(place[..., :1])], axis=-1, dtype=np.float32
    )


def fit(body, clips, start, names, kind) -> dict:
    """The guess after all steps."""
    visible = np.zeros((*clips.box.shape[:2], body.v_template.shape[0]), bool)
    guess = _descend(body, clips, start, start, visible, "K", "exact", STEPS[0])
    kind = kind or "exact"
    for _ in range(2):
        if "V" in names:
            visible = visible_vertices(body, clips, guess)
        guess = _descend(body, clips, guess, start, visible, names, kind, STEPS[1] // 2)
    return guess


@jax.jit
def errors(body, clips, guess):
    """MPJPE, PA-MPJPE, PVE in mm and acceleration error in m/s^2 of each clip, (4, C)."""
    (points, joints), (true_points, true_joints) = (
        skin(body, g["betas"][:, None], axis_angle_to_matrix(g["pose"]), g["transl"])
        for g in (guess, {key: getattr(clips, key) for key in guess})
    )
    return jnp.stack(
        [
            metrics.mpjpe(joints, true_joints).mean(1),
            metrics.pa_mpjpe(joints, true_joints).mean(1),
            metrics.pve(points, true_points, joints[..., 0, :], true_joints[..., 0, :]).mean(1),
            metrics.acceleration_error(joints, true_joints, FPS).mean(1),
        ]
    )


def table(body, clips, sizes, watchers, kinds, rows, seed) -> list[dict]:
    report = []
    for size, watcher in itertools.product(sizes, watchers):
        start, watched = perturb(clips, size, seed), clips
        if watcher == "simulated":
            watched = dataclasses.replace(clips, landmarks=simulate_landmarks(body, clips, seed))
        found = {("start", ""): np.asarray(errors(body, clips, start))}
        # Rows without flow first, and once: they are what the others are compared with.
        plan = [(names, "") for names in rows if not set(names) & set("WV")]
        plan += [(names, kind) for kind in kinds for names in rows if (names, "") not in plan]
        for names, kind in plan:
            found[names, kind] = np.asarray(errors(body, clips, fit(body, watched, start, names, kind)))
        for (names, kind), values in found.items():
            line = {"perturbation": size, "landmarks": watcher, "flow": kind, "terms": names}
            line |= {"errors": values.mean(1).tolist(), "spread": values.std(1, ddof=1).tolist()}
            against = found.get(("KM" if "M" in names else "K", ""))
            if kind and against is not None:
                change = values - against
                line["change"] = change.mean(1).tolist()
                line["change_error"] = (change.std(1, ddof=1) / np.sqrt(change.shape[1])).tolist()
            report.append(line)
            show(line)
    return report


def show(line: dict) -> None:
    errors = "".join(f"{value:7.1f} ({spread:4.1f})" for value, spread in zip(line["errors"], line["spread"]))
    change = ", ".join(
        f"{a:+.1f} +- {b:.1f}" for a, b in zip(line.get("change", []), line.get("change_error", []))
    )
    what = (f"{line[key]:10}" for key in ("perturbation", "landmarks", "flow", "terms"))
    print(f"{''.join(what)}{errors}   {change}", flush=True)


def slopes(body, clips: Clips) -> list[dict]:
    """How W and V rise with an error of the true motion that grows from the first frame to the last, with exact flow."""
    truth = {key: np.asarray(getattr(clips, key)) for key in ("pose", "transl", "betas")}
    visible = visible_vertices(body, clips, truth)
    measure = jax.jit(lambda guess: terms(body, clips, guess, truth, "WV", "exact", visible))
    rng, (count, frames) = np.random.default_rng(0), clips.box.shape[:2]
    grow = np.linspace(0, 1, frames)[:, None]
    axis = rng.normal(size=(count, 1, 3))
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    report = []
    for name, steps in ERRORS.items():
        lines = []
        for step in steps:
            guess = dict(truth)
            if name in SMPL_JOINTS:
                joint = SMPL_JOINTS.index(name)
                turn = axis_angle_to_matrix(np.float32(np.deg2rad(step) * axis * grow))
                turned = turn @ axis_angle_to_matrix(truth["pose"][:, :, joint])
                guess["pose"] = truth["pose"].copy()
                guess["pose"][:, :, joint] = matrix_to_axis_angle(turned)
            elif name == "shape":
                guess["betas"] = np.float32(truth["betas"] + step * np.sign(rng.normal(size=(count, 10))))
            else:
                way = np.float32([0, 0, 1]) if name == "depth" else axis * np.float32([1, 1, 0])
                guess["transl"] = np.float32(truth["transl"] + step * way * grow)
            lines.append({key: np.asarray(value) for key, value in measure(guess).items()})
        for key in "WV":
            values = np.stack([line[key] for line in lines])
            report.append({"error in": name, "term": key, "at": steps, "mean": values.mean(1).tolist()})
            report[-1]["rises"] = 100 * float(np.mean(np.all(np.diff(values, axis=0) > 0, axis=0)))
            means = " ".join(f"{value:8.5f}" for value in values.mean(1))
            print(f"{name:15} {key}  {means}   rises in {report[-1]['rises']:.0f} % of the clips", flush=True)
    return report


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--motion", action="append", help="as `hpof_jax.data render` takes it; synthetic")
    parser.add_argument("--clips", type=int, default=56)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--every", type=int, default=1, help="use one of so many frames")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slopes", action="store_true", help="the errors that the losses see, and no fit")
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--landmarks", nargs="+", default=["simulated", "detector"])
    parser.add_argument("--flow", nargs="+", default=["exact", "DIS"])
    parser.add_argument("--perturbation", nargs="+", default=list(PERTURBATIONS))


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    body = decimate(load_body())
    clips = make_clips(
        load_body(),
        options.motion or ["synthetic"],
        options.clips,
        options.frames,
        options.seed,
        options.every,
    )
    if options.slopes:
        report = slopes(body, clips)
    else:
        report = table(
            body, clips, options.perturbation, options.landmarks, options.flow, options.rows, options.seed
        )
    return report


if __name__ == "__main__":
    main()
