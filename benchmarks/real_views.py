"""How far off is the body on real video? Four calibrated cameras know better than each one of them alone.

    python -m benchmarks.real_views                        # the detector's own 3D landmarks, and the package's weights
    python -m benchmarks.real_views --weights RUN --json real.json --pictures pictures/

Protocol
- Video: pose2sim 0.10.49's `Demo_SinglePerson` (BSD-3), a man on one leg who keeps his balance; four synchronised,
  calibrated cameras 3.2 to 3.8 m away (one rolled by 26 degrees), 100 frames at 60 frames/s, 1080 x 1920 upright.
- Reference: the twelve `LIMB_JOINTS` (shoulders, elbows, wrists, hips, knees, ankles), triangulated from the 2D
  landmarks of the *heavy* model in all views (`benchmarks/multiview.py`): left and right resolved, outlier views
  dropped, the cameras' principal points corrected, low-pass at 6 Hz. It has no markers: what the detector gets wrong
  alike in all views (where exactly a hip is, say) is in the reference as well. It is the same for all contestants.
- Contestants, for each camera alone and each landmark model: the detector's 3D landmarks; the same after a
  Savitzky-Golay filter over a quarter of a second; this package's model, whose SMPL joints of the same twelve names
  count. All are compared in the camera's frame, in every frame where the detector saw the person (column "seen").
- `pa_mpjpe`: mm after the best similarity transform a frame. `n_mpjpe`: mid-hip at the origin and the best scale a
  frame, no rotation. `mpjpe`: mid-hip at the origin only. `accel`: error of the acceleration about the mid-hip, in mm/frame^2 at
  60 frames/s (a video of 30 frames/s would show four times that), `accel_si` the same in m/s^2. `tilt`: degrees between
  the directions from mid-hip to mid-shoulder. `seen`: percent of the frames.

Observations are kept in the cache folder (by video, landmark model and the code of `hpof_jax.observe`): a rerun takes seconds.
"""

import argparse
import pathlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.signal import savgol_filter

from benchmarks import multiview
from benchmarks.program import program
from hpof_jax import downloads
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, LIMB_JOINTS, SMPL_LIMBS
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.observe import clip
from hpof_jax.observe.cache import observe_cached
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

Contestant = Callable[[clip.Observations], np.ndarray]  # -> (T, 12, 3) metres, camera frame


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", nargs="*", help="weights to score (default: the package's); none to leave out"
    )
    parser.add_argument("--landmark-models", nargs="+", choices=LANDMARK_MODELS, default=LANDMARK_MODELS)
    parser.add_argument(
        "--keep-swaps",
        action="store_true",
        help="our model gets the landmarks with left and right as detected",
    )
    parser.add_argument(
        "--right",
        nargs="+",
        choices=("2d", "3d"),
        default=(),
        help="everybody gets the reference in place of the limbs' landmarks: what the detector's errors cost",
    )
    parser.add_argument(
        "--pictures", type=pathlib.Path, help="draw the reference on frames of all cameras, here"
    )
    parser.add_argument("--dump", type=pathlib.Path, help="write observations and reference here, as .npz")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    contestants = {"BlazePose": blazepose, "BlazePose, smoothed": smoothed_blazepose}
    for weights in [None] if options.weights is None else options.weights:
        name = pathlib.Path(weights).name if weights else "its weights"
        contestants[f"hpof_jax ({name})"] = lifter(weights, undo_swaps=not options.keep_swaps)

    folder = downloads.fetch("pose2sim_demo")
    videos = [folder / "videos" / f"{camera}.mp4" for camera in CAMERAS]
    views = {
        model: [observe_cached(video, landmark_model=model) for video in videos]
        for model in {*options.landmark_models, "heavy"}
    }
    reference = make_reference(folder, views["heavy"])
    truths = [camera.to_camera(reference.joints).astype(np.float32) for camera in reference.cameras]
    report = {"reference": describe(reference), "right": list(options.right), "contestants": []}
    for model in views:
        for view, camera, truth in zip(views[model], reference.cameras, truths):
            correct(view, camera.project(reference.joints), truth, options.right)
    print_reference(report["reference"])
    if options.pictures:
        draw(reference, views["heavy"], videos, options.pictures)
    if options.dump:
        dump(views, reference, truths, options.dump)

    print_row("", "", "camera", FIGURES)
    for model in options.landmark_models:
        for name, contestant in contestants.items():
            rows = [score(contestant(view), truth, view) for view, truth in zip(views[model], truths)]
            rows.append({figure: float(np.mean([row[figure] for row in rows])) for figure in FIGURES})
            for camera, row in zip((*CAMERAS, "mean"), rows):
                print_row(name, model, camera, row.values())
                report["contestants"].append({"name": name, "landmarks": model, "camera": camera, **row})
    return report


def make_reference(folder: pathlib.Path, views: list[clip.Observations]) -> multiview.Reference:
    cameras = multiview.read_qualisys(folder / "calibration" / "Calib.qca.txt")
    landmarks = np.stack([view.landmarks_2d[:, BLAZEPOSE_LIMBS] for view in views]).astype(float)
    return multiview.reconstruct(cameras, landmarks, PAIRS, float(views[0].fps))


def correct(view: clip.Observations, pixels: np.ndarray, truth: np.ndarray, right: Sequence[str]) -> None:
    """Puts the reference in place of the limbs' landmarks in 2D, 3D or both: pixels (T, 12, 2), truth (T, 12, 3) metres."""
    if "2d" in right:
        view.landmarks_2d[:, BLAZEPOSE_LIMBS, :2] = pixels
    if "3d" in right:
        view.landmarks_3d[:, BLAZEPOSE_LIMBS] = metrics.centre(truth, HIPS)


# --- contestants: observations of one camera -> (T, 12, 3) metres in its frame --------------------------


def blazepose(view: clip.Observations) -> np.ndarray:
    return view.landmarks_3d[:, BLAZEPOSE_LIMBS]


def smoothed_blazepose(view: clip.Observations) -> np.ndarray:
    """A quadratic over a quarter of a second; unseen frames are first filled in linearly."""
    joints = blazepose(view).reshape(len(view.seen), -1)
    frames, seen = np.arange(len(joints)), np.flatnonzero(view.seen)
    filled = np.stack([np.interp(frames, seen, column[seen]) for column in joints.T], axis=-1)
    window = int(float(view.fps) / 4) // 2 * 2 + 1
    return savgol_filter(filled, window, 2, axis=0).reshape(-1, len(LIMB_JOINTS), 3).astype(np.float32)


def lifter(weights: str | None, undo_swaps: bool = True) -> Contestant:
    params_and_config, body = load_weights(weights), load_body()
    return lambda view: lift(view, params_and_config, body, undo_swaps=undo_swaps).joints[:, SMPL_LIMBS]


# --- figures --------------------------------------------------------------------------------------------


def score(pred: np.ndarray, true: np.ndarray, view: clip.Observations) -> dict[str, float]:
    """Means over the frames in which the person was seen, as the module's docstring says."""
    seen = np.asarray(view.seen, bool)

    def average(errors, mask=seen):
        return metrics.mean(metrics.total(errors, mask))

    neighbours = metrics.acceleration_mask(seen)
    # The detector's landmarks have no place in the room: about the mid-hip, all contestants are compared alike.
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
    """How far the reference may be trusted."""
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


def print_reference(facts: dict) -> None:
    print("Reference, camera by camera")
    for name in ("residual_px_median", "residual_mm_median", "views_used_percent", "swapped_percent"):
        print(f"  {name:22}", *(f"{value:6.1f}" for value in facts[name]))
    print(
        f"  bone length, std a bone (mean over {len(BONES)}): {np.mean(facts['bone_length_std_mm']):.1f} mm\n"
    )


def print_row(name: str, model: str, camera: str, cells) -> None:
    texts = (f"{cell:>12}" if isinstance(cell, str) else f"{cell:12.1f}" for cell in cells)
    print(f"{name:28} {model:6} {camera:6}", *texts)


# --- for looking at, and for other programs -------------------------------------------------------------


def draw(
    reference: multiview.Reference,
    views: list[clip.Observations],
    videos: list[pathlib.Path],
    folder: pathlib.Path,
    count: int = 4,
) -> None:
    """A picture a camera: `count` frames with the reference (left red, right green) and the landmarks (cyan)."""
    folder.mkdir(parents=True, exist_ok=True)
    trunk = ((SHOULDERS[0], SHOULDERS[1]), HIPS, (SHOULDERS[0], HIPS[0]), (SHOULDERS[1], HIPS[1]))
    for camera, view, video in zip(reference.cameras, views, videos):
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


def dump(views: dict, reference: multiview.Reference, truths: list[np.ndarray], folder: pathlib.Path) -> None:
    """`obs_MODEL_camN.npz`, and `reference.npz` with joints_camN (T, 12, 3) metres in the frame of camera N."""
    folder.mkdir(parents=True, exist_ok=True)
    for model, observations in views.items():
        for number, view in enumerate(observations, start=1):
            view.save(folder / f"obs_{model}_cam{number}.npz")
    joints = {f"joints_cam{number}": truth for number, truth in enumerate(truths, start=1)}
    np.savez(folder / "reference.npz", joints_world=reference.joints, names=LIMB_JOINTS, **joints)


if __name__ == "__main__":
    main()
