"""What the test-time fit gains on rendered people with ground truth, with each term on and off.

    python -m hpof_jax.data render --clip-frames 60 --as-recorded --keep-flow --motion bvh:recordings/ --out rendered/
    python -m benchmarks.refine rendered/ [more folders] [--variants off fast full] [--json FILE]

Errors of the 24 joints, means over the clips' frames: MPJPE and PA-MPJPE in mm, acceleration error in mm/frame^2;
`root_accel` is that of the pelvis in the camera frame, `path` the pelvis's distance from its place, but for a constant, in
mm. First the mean of all clips, then of three disjoint thirds, then of each kind of motion. `limbs 2D` is the mean distance of the
limbs' landmarks from the detector's visible ones, with the landmarks' mean offsets, in % of the person's box. `cpu` is
the time of the fit in CPU milliseconds per frame; a variant's first clip, which compiles, is not counted.
"""

import argparse
import collections
import time

import jax
import numpy as np

from benchmarks.program import print_row, program
from benchmarks.rendered import add_folders, read_clips
from data_pipelines.observed.rendered import LEAST_SEEN, clip_path
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS
from hpof_jax.geometry import camera
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.observe.clip import Observations
from hpof_jax.picture_fit import TERMS, detected_landmarks, load_statistics
from hpof_jax.refine import WEIGHTS, refine
from hpof_jax.report import measure
from hpof_jax.training import metrics

FIGURES = ("mpjpe", "pa_mpjpe", "accel", "root_accel", "path", "limbs_2d", "cpu")
NO_FLOW = WEIGHTS["full"] | {"flow_silhouette": 0.0, "vertex_flow": 0.0}
# Each is the mode "full" with some terms switched off, but for the first ones.
VARIANTS = {
    "off": {"mode": "off"},
    "fast": {"mode": "fast"},
    "full": {"mode": "full"},
    "landmarks": {"weights": NO_FLOW | {"silhouette": 0.0}},
    "mask": {"weights": NO_FLOW | {"landmarks": 0.0}},
    "landmarks+mask": {"weights": NO_FLOW},
    "no_warp": {"weights": WEIGHTS["full"] | {"flow_silhouette": 0.0}},
    "no_vertex_flow": {"weights": WEIGHTS["full"] | {"vertex_flow": 0.0}},
    "no_offsets": {"offsets": False},
}
assert set(WEIGHTS["full"]) == set(TERMS)
# Words in the names of motion files.
KINDS = {
    "jumping": ("jump",),
    "walking": ("walk", "step"),
    "running": ("run", "jog", "soccer"),
    "gestures": ("raise", "wave", "bye", "guide", "call", "bow", "blast", "punch", "spell"),
    "low": ("crouch", "getup", "sit", "squat", "swim", "death", "fall", "crawl"),
    "balancing": ("balance",),
    "playground": ("01_0",),
    "other": ("",),
}


def kind_of(name: str) -> str:
    """The kind of motion of a motion file."""
    return next(kind for kind, words in KINDS.items() if any(word in name.lower() for word in words))


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip")
    parser.add_argument("--weights", help="weights of the network (default: the package's)")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    body, weights = load_body(), load_weights(options.weights)
    clips = []
    for folder in options.folders:
        for count, (number, clip) in enumerate(read_clips(folder)):
            if count % options.every == 0 and clip["seen"].mean() >= LEAST_SEEN:
                rows = score_clip(clip_path(folder, number), clip, body, weights, options.variants)
                kind = f"{folder.name}: {kind_of(str(clip['name']))}"
                clips.append({"folder": folder.name, "kind": kind, "clip": number, "variants": rows})
    report = {"clips": clips, "tables": {}}
    for title, chosen in groups(clips).items():
        print_row(f"{title} ({len(chosen)} clips)", FIGURES)
        report["tables"][title] = {name: means(chosen, name) for name in options.variants}
        for name, row in report["tables"][title].items():
            print_row(f"  {name}", row.values(), decimals=2)
    return report


def score_clip(path, clip, body, weights, variants) -> dict[str, dict[str, float]]:
    """`FIGURES` of each variant on one clip."""
    observations = Observations.load(path)
    motion, rows = lift(observations, weights, body), {}
    for name in variants:
        start = time.process_time()
        fitted = refine(motion, observations, body, **VARIANTS[name], progress=False)
        spent = (time.process_time() - start) / len(motion) * 1e3
        rows[name] = score(fitted, clip["joints"], body) | {"cpu": spent}
    return rows


def score(motion, true, body) -> dict[str, float]:
    """The errors of a motion against joints (T, 24, 3)."""
    centred = metrics.centre(motion.joints, 0), metrics.centre(true, 0)
    root, place = motion.joints[:, :1], motion.joints[:, 0] - true[:, 0]
    return {
        "mpjpe": float(np.mean(metrics.mpjpe(motion.joints, true))),
        "pa_mpjpe": float(np.mean(metrics.pa_mpjpe(motion.joints, true))),
        "accel": float(np.mean(metrics.acceleration_error(*centred))),
        "root_accel": float(np.mean(metrics.acceleration_error(root, true[:, :1]))),
        "path": 1e3 * float(np.linalg.norm(place - place.mean(axis=0), axis=-1).mean()),
        "limbs_2d": limb_error(motion, body),
    }


def limb_error(motion, body) -> float:
    """Mean distance of the limbs' landmarks from the detector's visible ones, % of the person's box."""
    points, joints = _landmarks(body, motion.betas, motion.pose, load_statistics())
    points = np.asarray(points - joints[:, :1]) + motion.joints[:, :1]
    pixels = camera.project(points, motion.focal_length, motion.image_size)
    distance = np.linalg.norm(pixels - motion.keypoints_2d[..., :2], axis=-1) / motion.box[:, 2:]
    visible = motion.keypoints_2d[..., 2] >= measure.VISIBLE
    return 100 * float(distance[:, BLAZEPOSE_LIMBS][visible[:, BLAZEPOSE_LIMBS]].mean())


@jax.jit
def _landmarks(body, betas, pose, statistics):
    return detected_landmarks(body, betas, axis_angle_to_matrix(pose), statistics)


def groups(clips: list[dict]) -> dict[str, list[dict]]:
    """The clips of all folders, of each folder, of three thirds, and of each kind of motion."""
    found = collections.defaultdict(list)
    for clip in clips:
        found["all"].append(clip)
        found[clip["folder"]].append(clip)
    for third in range(3):
        if clips[third::3]:
            found[f"third {third + 1}"] = clips[third::3]
    for clip in sorted(clips, key=lambda clip: clip["kind"]):
        found[clip["kind"]].append(clip)
    return found


def means(clips: list[dict], variant: str) -> dict[str, float]:
    """The mean of each figure over the clips; of `cpu` the median, which leaves compilation out."""
    rows = [clip["variants"][variant] for clip in clips]
    return {
        name: float((np.median if name == "cpu" else np.mean)([row[name] for row in rows]))
        for name in FIGURES
    }


if __name__ == "__main__":
    main()
