"""The path of a person in space, filmed by a camera that moves: on rendered clips, and whether a video is static.

    python -m hpof_jax.data render --motion bvh:WALKS/ --camera-motion pan --clip-frames 60 --frames 480 --out pan/
    python -m benchmarks.camera_motion pan/ handheld/ walk/ [--video STATIC.mp4] [--focal-length true] [--json FILE]

For each folder:

- `turn`: mean error of the camera's rotation since the first frame, degrees, and beside it that of a camera taken as
  static.
- `path`: mean distance of the pelvis from its true place after the best rotation and translation of the whole path
  (RTE), in % of the length of all paths: with the camera taken as static, with the camera's rotation and position as
  found, and with the true camera. What is left with the true camera is the error of the body.
- `moving`: clips in which a path of the camera was found and got a scale; `lost`: in which the camera was not found.

The focal length is what a user has: known in three clips of ten, otherwise found from the background or assumed; or
the true one.
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.program import print_row, program
from benchmarks.rendered import Clip, add_folders, read_clips
from hpof_jax import moving_camera
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.geometry.two_views import in_first_frame
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.observe.background import Background
from hpof_jax.observe.cache import observe_cached
from hpof_jax.observe.camera_motion import CameraMotion
from hpof_jax.observe.clip import Observations
from hpof_jax.training.world_metrics import similarity

COLUMNS = ("clips", "turn", "static", "path %", "static %", "true %", "moving", "lost")


def observations(clip: Clip, true_focal_length: bool = False) -> Observations:
    """What was observed of a clip that `data render --camera-motion` made.

    Raises:
      UserError: it was made without `--camera-motion`.
    """
    if "background_points" not in clip:
        raise UserError("A clip has no points of the background: render it with --camera-motion.")
    names = ("landmarks_2d", "landmarks_3d", "seen", "image_size", "fps")
    parts = {name: clip[f"background_{name}"] for name in ("points", "ids", "starts", "shots")}
    focal_length = clip["true_focal_length" if true_focal_length else "focal_length"]
    known = true_focal_length or np.isclose(focal_length, clip["true_focal_length"])
    return Observations(
        **{name: clip[name] for name in names},
        focal_length=focal_length,
        focal_length_source="given" if known else "assumed",
        background=Background(**parts),
    )


def true_camera(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 3, 3) from the first frame's axes to each frame's, and positions (T, 3) in them, metres."""
    turn, shift = clip["world_to_camera"][..., :3].astype(np.float64), clip["world_to_camera"][..., 3]
    places = -np.einsum("tji,tj->ti", turn, shift)
    return turn @ turn[0].T, (places - places[0]) @ turn[0].T


def measure(clip: Clip, camera: CameraMotion, pelvis: np.ndarray) -> dict[str, float]:
    """Errors of a clip: degrees; metres of the path, and its length.

    Args:
      camera: in metres.
      pelvis: (T, 3) of the motion, camera frame.
    """
    turns, places = true_camera(clip)
    true = in_first_frame(clip["joints"][:, :1].astype(np.float64), turns, places)[:, 0]
    still = np.tile(np.eye(3), (len(turns), 1, 1)), np.zeros((len(turns), 3))
    seen = clip["seen"]
    cameras = {"found": (camera.rotations, camera.positions), "static": still, "true": (turns, places)}
    errors = {"length": float(np.linalg.norm(np.diff(true[seen], axis=0), axis=1).sum())}
    for name, (rotations, positions) in cameras.items():
        path = in_first_frame(pelvis[:, None].astype(np.float64), rotations, positions)[:, 0]
        errors[f"path_{name}"] = _distance(path[seen], true[seen])
        wrong = Rotation.from_matrix(rotations @ np.swapaxes(turns, 1, 2)).magnitude()
        errors[f"turn_{name}"] = float(np.degrees(wrong).mean())
    return errors


def _distance(path: np.ndarray, true: np.ndarray) -> float:
    _, rotation, shift = similarity(path, true, scaled=False)
    return float(np.linalg.norm(path @ rotation.T + shift - true, axis=1).mean())


def _row(errors: Sequence[dict[str, float]], cameras: Sequence[CameraMotion]) -> tuple:
    total = {key: float(np.mean([one[key] for one in errors])) for key in errors[0]}
    percent = [
        100 * total[f"path_{name}"] / max(total["length"], 1e-9) for name in ("found", "static", "true")
    ]
    moving, lost = (sum(kind in camera.kinds for camera in cameras) for kind in ("moving", "unknown"))
    return len(errors), total["turn_found"], total["turn_static"], *percent, moving, lost


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--weights", help="a weights file (default: the package's)")
    parser.add_argument("--focal-length", choices=("user", "true"), default="user", help="(user)")
    parser.add_argument("--video", action="append", default=[], help="also say what its camera does")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    weights, body, report = load_weights(options.weights), load_body(), {}
    print_row("", COLUMNS, width=10)
    everything: tuple[list, list] = [], []
    for folder in options.folders:
        found: tuple[list, list] = [], []
        for number, clip in read_clips(pathlib.Path(folder)):
            seen = observations(clip, options.focal_length == "true")
            (seen,) = moving_camera.calibrated([seen])
            if seen.focal_length_source == "background":
                off = 100 * (float(seen.focal_length) / float(clip["true_focal_length"]) - 1)
                assumed = 100 * (float(clip["focal_length"]) / float(clip["true_focal_length"]) - 1)
                print(f"  {number}: the focal length is off by {off:.1f} % instead of {assumed:.1f} %")
            motion = lift(seen, weights, body)
            camera = moving_camera.in_metres(moving_camera.find([seen]), [motion])
            one = measure(clip, camera, motion.joints[:, 0]), camera
            print_row(f"  {number} {camera.kinds[0]}", _row([one[0]], [one[1]]), decimals=2, width=10)
            for row, value in zip(found, one):
                row.append(value)
        for row, values in zip(everything, found):
            row += values
        report[folder.name] = dict(zip(COLUMNS, _row(*found)))
        print_row(folder.name, report[folder.name].values(), decimals=2, width=10)
    report["all"] = dict(zip(COLUMNS, _row(*everything)))
    print_row("all", report["all"].values(), decimals=2, width=10)
    for video in options.video:
        report[video] = moving_camera.find([observe_cached(video, keep_background=True)]).kinds
        print(f"{video}: {', '.join(report[video])}")
    return report


if __name__ == "__main__":
    main()
