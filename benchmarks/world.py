"""Gravity, floor, contacts and foot lock on rendered clips whose world is known.

    python -m hpof_jax.data render --out FOLDER --frames 2880 --clip-frames 60 --as-recorded --motion bvh:RECORDINGS
    python -m benchmarks.world FOLDER [FOLDER ...] [--refine off] [--json FILE]

Clips whose camera turns by more than `--still` degrees are left out: by default those that pan, but not hand-held ones. A heel or toe is planted in the ground truth if it
is slower than `PLANTED` and at most `LOW` above the lowest one of the clip. Slide is the speed of the reconstructed
heels and toes in the frames in which the true ones are planted.
"""

import argparse
import dataclasses
import pathlib

import numpy as np

from benchmarks.program import print_row, program
from benchmarks.rendered import Clip, add_folders, read_clips
from data_pipelines.observed.rendered import LEAST_SEEN, clip_path
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.skeletons import SMPL_LIMBS
from hpof_jax.contacts import FEET, POINTS, contact_points, find_contacts, speeds
from hpof_jax.grounding import ground
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe.clip import Observations
from hpof_jax.refine import refine
from hpof_jax.training.metrics import pa_mpjpe
from hpof_jax.training.world_metrics import root_translation_error

PLANTED = 0.25  # m/s
LOW = 0.1  # metres
REACH = 2  # frames before and after over which speeds are taken
WALKED = 1.0  # metres of path, from which on a path is scored


def add_options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument(
        "--still", type=float, default=3.0, help="degrees that a camera may turn (default: 3)"
    )
    parser.add_argument("--weights", help="a weights .npz (default: the package's)")
    parser.add_argument(
        "--refine", choices=("fast", "off"), default="fast", help="the test-time fit (default: fast)"
    )


@program(__doc__, add_options)
def main(options: argparse.Namespace) -> dict:
    weights, body, report = load_weights(options.weights), load_body(), {}
    for folder in options.folders:
        rows = []
        for number, clip in read_clips(folder):
            if clip["seen"].mean() >= LEAST_SEEN and camera_turn(clip) <= options.still:
                observations = Observations.load(clip_path(folder, number))
                motion = lift(observations, weights, body)
                motion = refine(motion, observations, body, mode=options.refine, progress=False)
                rows.append(measure(clip, motion, body))
        report[str(folder)] = table(rows)
        show(folder, report[str(folder)])
    return report


def camera_turn(clip: Clip) -> float:
    """The largest angle in degrees between the camera's directions in the first and in another frame."""
    turns = clip["world_to_camera"][:, :, :3]
    cosine = (np.einsum("tij,ij->t", turns, turns[0]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max())


def measure(clip: Clip, motion: Motion, body: BodyModel) -> dict[str, np.ndarray]:
    """The errors of one clip, each as an array."""
    true = truth_of(clip, motion)
    (plain,), (locked,) = (ground([motion], body, foot_lock=on) for on in (False, True))
    world_to_camera = clip["world_to_camera"].astype(np.float64)
    up = world_to_camera[:, :, 1].mean(axis=0)
    true_points = in_world(contact_points(true, body), world_to_camera)[:, :FEET]
    height = true_points[..., 1] - np.percentile(true_points[..., 1].min(axis=1), 10)
    planted = (speeds(true_points, motion.times, REACH) < PLANTED) & (height < LOW)
    found = find_contacts(plain, body, plain.world_to_camera[:3, 2])[:, :FEET]
    camera = -np.einsum("tij,ti->tj", world_to_camera[:, :, :3], world_to_camera[:, :, 3])[0, 1]
    floor = np.percentile(true_points[..., 1].min(axis=1), 10) - POINTS["left_heel"][1]
    values = {
        "gravity": angle(plain.world_to_camera[:3, 2], up),
        "level": angle(np.array([0.0, -1.0, 0.0]), up),
        "stated": np.array(plain.gravity_sigma),
        "camera_height": np.abs(camera_height(plain) - (camera - floor)),
        "hits": np.array([(found & planted).sum(), found.sum(), planted.sum()]),
        "moved": np.linalg.norm(pixels(locked) - pixels(plain), axis=-1),
    }
    walked = np.linalg.norm(np.diff(true.joints[:, 0], axis=0), axis=-1).sum() > WALKED
    for name, one in (("before", plain), ("after", locked)):
        points = contact_points(one, body)[:, :FEET]
        values[f"slide {name}"] = speeds(points, one.times, REACH)[planted]
        place = np.linalg.inv(one.world_to_camera)
        soles = (points @ place[:3, :3].T + place[:3, 3])[..., 2] - POINTS["left_heel"][1]
        values[f"sole {name}"] = np.abs(soles[planted])
        limbs = one.joints[:, SMPL_LIMBS], true.joints[:, SMPL_LIMBS]
        values[f"pa_mpjpe {name}"] = np.asarray(pa_mpjpe(*limbs))
        path = root_translation_error(one.joints[:, 0], true.joints[:, 0])
        values[f"path {name}"] = path if walked else path[:0]
    return values


def truth_of(clip: Clip, motion: Motion) -> Motion:
    """The ground truth as a motion."""
    return dataclasses.replace(
        motion,
        poses=clip["pose"].reshape(-1, 72),
        betas=clip["betas"],
        trans=clip["transl"],
        joints=clip["joints"],
    )


def in_world(points: np.ndarray, world_to_camera: np.ndarray) -> np.ndarray:
    """Points (T, K, 3) of the camera frame in the renderer's world, y up; world_to_camera (T, 3, 4)."""
    return np.einsum("tkj,tji->tki", points - world_to_camera[:, None, :, 3], world_to_camera[:, :, :3])


def camera_height(motion: Motion) -> float:
    return float(-motion.world_to_camera[:3, 2] @ motion.world_to_camera[:3, 3])


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def pixels(motion: Motion) -> np.ndarray:
    return motion.joints[..., :2] / motion.joints[..., 2:] * motion.focal_length


def table(rows: list[dict[str, np.ndarray]]) -> dict:
    """Mean, median and 90th percentile of each value over all frames of all clips, and the contacts' scores."""
    if not rows:
        return {}
    found = {}
    for name in rows[0]:
        values = np.concatenate([np.ravel(row[name]) for row in rows])
        if name != "hits" and len(values):
            statistics = values.mean(), np.median(values), np.percentile(values, 90)
            found[name] = [float(value) for value in statistics]
    hits, said, true = np.sum([row["hits"] for row in rows], axis=0)
    scores = {"precision": hits / max(said, 1), "recall": hits / max(true, 1), "f1": 2 * hits / (said + true)}
    return found | {"clips": len(rows), "contacts": {name: float(value) for name, value in scores.items()}}


UNITS = {"gravity": "deg", "level": "deg", "stated": "deg", "camera_height": "m", "moved": "px"}
UNITS |= {"slide": "m/s", "sole": "m", "pa_mpjpe": "mm", "path": "%"}


def show(folder: pathlib.Path, found: dict) -> None:
    print_row(f"{folder}: {found.get('clips', 0)} clips", ("mean", "median", "90th"))
    for name, values in found.items():
        if isinstance(values, list):
            print_row(f"  {name}, {UNITS[name.split()[0]]}", values, decimals=3)
    if "contacts" in found:
        print_row("  contacts: precision, recall, F1", found["contacts"].values(), decimals=3)


if __name__ == "__main__":
    main()
