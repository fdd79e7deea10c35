"""Error of the body on real video: each of four calibrated cameras alone against a reference from all four.

    python -m benchmarks.real_views
    python -m benchmarks.real_views --weights RUN --json real.json --pictures pictures/
    python -m benchmarks.real_views --session session/     # then: python -m hpof_jax.evaluate --session session/

- Video: `Demo_SinglePerson` of pose2sim 0.10.49 (BSD-3), a man who balances on one leg. Four synchronised,
  calibrated cameras at 3.2 to 3.8 m, one of them rolled by 26 degrees; 100 frames at 60 frames/s, 1080 x 1920
  pixels, upright.
- Reference: the twelve `LIMB_JOINTS` (shoulders, elbows, wrists, hips, knees, ankles), triangulated from the
  2D landmarks of the *heavy* model in all views, see `benchmarks/multiview.py`. Left-right swaps are undone,
  outlier views are dropped, the cameras' principal points are corrected, and a low-pass filter at 6 Hz
  follows. There are no markers: an error that the detector makes in all views, such as the place of a hip, is
  in the reference, too.
- Methods, on each camera alone and with each landmark model: the detector's 3D landmarks; the same after a
  Savitzky-Golay filter over a quarter of a second; this package's model, by its SMPL joints of the same
  twelve names. All share the reference. They are compared in the camera's frame, in the frames where the
  detector saw the person.
- `pa_mpjpe`: mm, after the best similarity transform of each frame. `n_mpjpe`: with the mid-hip at the origin
  and the best scale of each frame, no rotation. `mpjpe`: with the mid-hip at the origin alone. `accel`: error
  of the acceleration about the mid-hip, mm/frame^2 at 60 frames/s; at 30 frames/s it would be four times as
  much. `accel_si`: the same in m/s^2. `tilt`: degrees between the directions from mid-hip to mid-shoulder.
  `seen`: percent of the frames.

Observations are cached, see `hpof_jax.observe.cache`: a second run takes seconds.
"""

import argparse
import pathlib
import shutil
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.signal import savgol_filter

from benchmarks import multiview
from benchmarks.program import print_row, program
from hpof_jax import downloads
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, LIMB_JOINTS, SMPL_LIMBS
from hpof_jax.export.trc import write_markers
from hpof_jax.geometry.numpy_rotations import Y_UP
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.observe.cache import observe_cached
from hpof_jax.observe.clip import Observations
from hpof_jax.refine import MODES, refine
from hpof_jax.training import metrics

CAMERAS = ("cam01", "cam02", "cam03", "cam04")
LANDMARK_MODELS = ("full", "heavy")
PAIRS = np.arange(len(LIMB_JOINTS)).reshape(-1, 2)  # LIMB_JOINTS lists left and right side by side
HIPS = (LIMB_JOINTS.index("left_hip"), LIMB_JOINTS.index("right_hip"))
SHOULDERS = (LIMB_JOINTS.index("left_shoulder"), LIMB_JOINTS.index("right_shoulder"))
BONES = tuple(
    (LIMB_JOINTS.index(f"{side}_{a}"), LIMB_JOINTS.index(f"{side}_{b}"))
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    for side in ("left", "right")
)
FIGURES = ("pa_mpjpe", "n_mpjpe", "mpjpe", "accel", "accel_si", "tilt", "seen")

Method = Callable[[Observations], np.ndarray]  # -> the limb joints (T, 12, 3) in metres, camera frame


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", nargs="*", help="weights to score (default: the package's); none to leave out"
    )
    parser.add_argument("--landmark-models", nargs="+", choices=LANDMARK_MODELS, default=LANDMARK_MODELS)
    parser.add_argument(
        "--keep-swaps",
        action="store_true",
        help="do not undo left-right swaps before our model",
    )
    parser.add_argument(
        "--refine", choices=MODES, default="off", help="also score the test-time fit of our model's answer"
    )
    parser.add_argument(
        "--right",
        nargs="+",
        choices=("2d", "3d"),
        default=(),
        help="give all methods the reference in place of the detector's landmarks of the limbs",
    )
    parser.add_argument("--pictures", type=pathlib.Path, help="folder for frames with the reference drawn on")
    parser.add_argument(
        "--session",
        type=pathlib.Path,
        help="only write the recording there as a session of Pose2Sim, with the reference",
    )
    parser.add_argument("--dump", type=pathlib.Path, help="folder for observations and reference, as .npz")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    if options.session:
        return write_session(options.session)
    methods = {"BlazePose": blazepose, "BlazePose, smoothed": smoothed_blazepose}
    for weights in [None] if options.weights is None else options.weights:
        name = pathlib.Path(weights).name if weights else "its weights"
        methods[f"hpof_jax ({name})"] = lifter(weights, undo_swaps=not options.keep_swaps)
        if options.refine != "off":
            fitted = lifter(weights, undo_swaps=not options.keep_swaps, fit=options.refine)
            methods[f"hpof_jax ({name}), {options.refine} fit"] = fitted

    views = {model: observe_views(model, options.refine) for model in {*options.landmark_models, "heavy"}}
    reference = make_reference(views["heavy"])
    true = [camera.to_camera(reference.joints).astype(np.float32) for camera in reference.cameras]
    for model in views:
        for view, camera, joints in zip(views[model], reference.cameras, true):
            replace_limbs(view, camera.project(reference.joints), joints, options.right)
    report = {"reference": describe(reference), "right": list(options.right), "methods": []}
    show_reference(report["reference"])
    if options.pictures:
        draw(reference, views["heavy"], options.pictures)
    if options.dump:
        dump(views, reference, true, options.dump)

    print_row("", ("landmarks", "camera", *FIGURES))
    for model in options.landmark_models:
        for name, method in methods.items():
            rows = [score(method(view), joints, view) for view, joints in zip(views[model], true)]
            rows.append({figure: float(np.mean([row[figure] for row in rows])) for figure in FIGURES})
            for camera, row in zip((*CAMERAS, "mean"), rows):
                print_row(name, (model, camera, *row.values()))
                report["methods"].append({"name": name, "landmarks": model, "camera": camera, **row})
    return report


def videos() -> list[pathlib.Path]:
    """One video of each of `CAMERAS`."""
    return [downloads.fetch("pose2sim_demo") / "videos" / f"{camera}.mp4" for camera in CAMERAS]


def observe_views(landmark_model: str, fit: str = "off") -> list[Observations]:
    """What the detector sees in each of `videos`, and what a fit needs; from the cache where it is known."""
    kept = dict(keep_masks=fit != "off", keep_flow=fit == "full")
    return [observe_cached(video, landmark_model=landmark_model, **kept) for video in videos()]


def make_reference(views: list[Observations]) -> multiview.Reference:
    """The limb joints, triangulated from the 2D landmarks of all views."""
    cameras = multiview.read_qualisys(downloads.fetch("pose2sim_demo") / "calibration" / "Calib.qca.txt")
    landmarks = np.stack([view.landmarks_2d[:, BLAZEPOSE_LIMBS] for view in views]).astype(float)
    return multiview.reconstruct(cameras, landmarks, PAIRS, float(views[0].fps))


def replace_limbs(view: Observations, pixels: np.ndarray, joints: np.ndarray, which: Sequence[str]) -> None:
    """Puts the reference in place of the limbs' landmarks.

    Args:
      view: is changed.
      pixels: (T, 12, 2). joints: (T, 12, 3) metres, camera frame.
      which: "2d", "3d", both or neither.
    """
    if "2d" in which:
        view.landmarks_2d[:, BLAZEPOSE_LIMBS, :2] = pixels
    if "3d" in which:
        view.landmarks_3d[:, BLAZEPOSE_LIMBS] = metrics.centre(joints, HIPS)


# --- methods ----------------------------------------------------------------------------------------


def blazepose(view: Observations) -> np.ndarray:
    return view.landmarks_3d[:, BLAZEPOSE_LIMBS]


def smoothed_blazepose(view: Observations) -> np.ndarray:
    """Fits a quadratic over a quarter of a second; unseen frames are interpolated first."""
    joints = blazepose(view).reshape(len(view.seen), -1)
    frames, seen = np.arange(len(joints)), np.flatnonzero(view.seen)
    filled = np.stack([np.interp(frames, seen, column[seen]) for column in joints.T], axis=-1)
    window = int(float(view.fps) / 4) // 2 * 2 + 1
    return savgol_filter(filled, window, 2, axis=0).reshape(-1, len(LIMB_JOINTS), 3).astype(np.float32)


def lifter(weights: str | None, undo_swaps: bool = True, fit: str = "off") -> Method:
    """This package's model with these weights, None: the package's own; then the test-time fit."""
    params_and_config, body = load_weights(weights), load_body()

    def method(view: Observations) -> np.ndarray:
        motion = lift(view, params_and_config, body, undo_swaps=undo_swaps)
        return refine(motion, view, body, mode=fit, progress=False).joints[:, SMPL_LIMBS]

    return method


# --- figures ----------------------------------------------------------------------------------------


def score(pred: np.ndarray, true: np.ndarray, view: Observations) -> dict[str, float]:
    """`FIGURES` of joints (T, 12, 3) in metres, camera frame: means over the frames that were seen."""
    seen = np.asarray(view.seen, bool)

    def average(errors, mask=seen):
        return metrics.mean(metrics.total(errors, mask))

    neighbours = metrics.acceleration_mask(seen)
    # About the mid-hip, because the detector's 3D landmarks have no position in the camera frame.
    about_hips, true_about_hips = metrics.centre(pred, HIPS), metrics.centre(true, HIPS)
    return {
        "pa_mpjpe": average(metrics.pa_mpjpe(pred, true)),
        "n_mpjpe": average(metrics.n_mpjpe(pred, true, root=HIPS)),
        "mpjpe": average(metrics.mpjpe(pred, true, root=HIPS)),
        "accel": average(metrics.acceleration_error(about_hips, true_about_hips), neighbours),
        "accel_si": average(
            metrics.acceleration_error(about_hips, true_about_hips, float(view.fps)), neighbours
        ),
        "tilt": average(trunk_angle(pred, true)),
        "seen": 100.0 * float(seen.mean()),
    }


def trunk_angle(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Degrees between the trunks, (T,)."""
    a, b = (x[:, SHOULDERS].mean(1) - x[:, HIPS].mean(1) for x in (pred, true))
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(sine, (a * b).sum(-1))).astype(np.float32)


def describe(reference: multiview.Reference) -> dict:
    """How well the views agree on the reference, and how constant its bones are."""
    depth = np.stack([camera.to_camera(reference.joints)[..., 2] for camera in reference.cameras])
    focal = np.array([camera.intrinsics[0, 0] for camera in reference.cameras])[:, None, None]
    residual_mm = 1000 * reference.residual * depth / focal
    lengths = np.stack(
        [np.linalg.norm(reference.joints[:, a] - reference.joints[:, b], axis=-1) for a, b in BONES]
    )
    return {
        "residual_px_median": np.median(reference.residual, axis=(1, 2)).tolist(),
        "residual_mm_median": np.median(residual_mm, axis=(1, 2)).tolist(),
        "views_used_percent": (100 * reference.used.mean((1, 2))).tolist(),
        "swapped_percent": (100 * reference.swapped.mean((1, 2))).tolist(),
        "principal_point_px": reference.offsets.tolist(),
        "bone_length_mm": (1000 * lengths.mean(1)).tolist(),
        "bone_length_std_mm": (1000 * lengths.std(1)).tolist(),
    }


def show_reference(facts: dict) -> None:
    print_row("Reference", CAMERAS)
    for name in ("residual_px_median", "residual_mm_median", "views_used_percent", "swapped_percent"):
        print_row(f"  {name}", facts[name])
    print_row("  bone_length_std_mm, mean", [np.mean(facts["bone_length_std_mm"])])
    print()


# --- output -----------------------------------------------------------------------------------------


def draw(
    reference: multiview.Reference, views: list[Observations], folder: pathlib.Path, count: int = 4
) -> None:
    """A picture of each camera: `count` frames with the reference (left red, right green), landmarks cyan."""
    folder.mkdir(parents=True, exist_ok=True)
    trunk = (SHOULDERS, HIPS, (SHOULDERS[0], HIPS[0]), (SHOULDERS[1], HIPS[1]))
    for camera, view, video in zip(reference.cameras, views, videos()):
        capture, tiles = cv2.VideoCapture(str(video)), []
        for frame in np.linspace(0, len(reference.joints) - 1, count).astype(int):
            capture.set(cv2.CAP_PROP_POS_FRAMES, int(frame))
            _, image = capture.read()
            points = camera.project(reference.joints[frame]).astype(int)
            for a, b in (*BONES, *trunk):
                colour = (0, 0, 255) if a % 2 == 0 else (0, 255, 0)
                cv2.line(image, points[a].tolist(), points[b].tolist(), colour, 4)
            for x, y, _ in view.landmarks_2d[frame, BLAZEPOSE_LIMBS].astype(int):
                cv2.circle(image, (int(x), int(y)), 6, (255, 255, 0), -1)
            tiles.append(cv2.resize(image, None, fx=0.5, fy=0.5))
        cv2.imwrite(str(folder / f"{video.stem}.png"), np.hstack(tiles))


def write_session(folder: pathlib.Path) -> dict:
    """The recording as a session of Pose2Sim: videos, calibration, and the reference as keypoints in a `.trc`."""
    source, views = downloads.fetch("pose2sim_demo"), observe_views("heavy")
    reference = make_reference(views)
    for name in ("videos", "calibration"):
        shutil.copytree(source / name, folder / name, dirs_exist_ok=True)
    (folder / "pose-3d").mkdir(exist_ok=True)
    (folder / "Config.toml").write_text("[project]\n", encoding="utf-8")
    names = [
        f"{side[0].upper()}{part.capitalize()}" for side, part in (name.split("_") for name in LIMB_JOINTS)
    ]
    points = dict(zip(names, (reference.joints @ Y_UP.T).swapaxes(0, 1)))
    path = folder / "pose-3d" / "reference.trc"
    write_markers(path, np.asarray(views[0].times), points, float(views[0].fps))
    print(f"wrote {path}")
    return {"session": str(folder), "reference": describe(reference)}


def dump(views: dict, reference: multiview.Reference, true: list[np.ndarray], folder: pathlib.Path) -> None:
    """Writes `obs_MODEL_camN.npz`, and `reference.npz` with joints_camN (T, 12, 3) in camera N's frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for model, observations in views.items():
        for number, view in enumerate(observations, start=1):
            view.save(folder / f"obs_{model}_cam{number}.npz")
    joints = {f"joints_cam{number}": points for number, points in enumerate(true, start=1)}
    np.savez(folder / "reference.npz", joints_world=reference.joints, names=LIMB_JOINTS, **joints)


if __name__ == "__main__":
    main()
