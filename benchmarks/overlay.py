"""How fast is the body drawn over a frame? Ours against a painter's loop of `cv2.fillConvexPoly`, in the same run.

    python -m benchmarks.overlay
    python -m benchmarks.overlay --rounds 40 --json overlay.json

The free body fills three quarters of a frame of 1920 x 1080. The ways take turns; figures are medians of CPU time on
one thread, so that other programs disturb them little. The painter's loop is what one writes first: faces sorted by
depth and filled one by one in their flat shade. It is cheaper: one sample a pixel where `render_mesh` averages four,
no smooth shading, no soft edges, no depth; and it is wrong where faces interlock.
"""

import argparse
import functools
import os
import pathlib
import statistics
import tempfile

import cv2
import numpy as np

from benchmarks import timing
from benchmarks.program import positive, program
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.geometry import zbuffer
from hpof_jax.motion import Motion
from hpof_jax.visualize import render_mesh, write_overlay

SIZE, FOCAL = (1080, 1920), 1800.0
SCALES = (1.0, 2 / 3)  # the frame as filmed, and as `write_overlay` scales it
FRAMES = 48


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=positive, default=20, help="rounds of each way of drawing")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    cv2.setNumThreads(1)
    body = load_body()
    motion = wave(body)
    vertices, faces = motion.vertices(body, slice(0, 1))[0], np.asarray(body.faces)
    report = {"faces": len(faces), "frames": {}}
    for scale in SCALES:
        size, focal = [round(side * scale) for side in SIZE], FOCAL * scale
        frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        ways = {
            way: functools.partial(way_to_draw, frame, vertices, faces, focal)
            for way, way_to_draw in {"render_mesh": render_mesh, "painter": paint, "mask": mask}.items()
        }
        times = timing.interleaved(ways, options.rounds)
        seconds = {way: statistics.median(spent["cpu"]) for way, spent in times.items()}
        report["frames"][f"{size[1]}x{size[0]}"] = {
            "frames_per_cpu_second": {way: 1.0 / spent for way, spent in seconds.items()},
            "render_mesh_over_painter": seconds["painter"] / seconds["render_mesh"],
        }
        rates = ", ".join(f"{way} {1.0 / spent:.1f}" for way, spent in seconds.items())
        ratio = seconds["painter"] / seconds["render_mesh"]
        print(f"{size[1]}x{size[0]}: frames per CPU second: {rates}; render_mesh is {ratio:.2f}x the painter")
    report["write_overlay"] = videos(body, motion)
    for name, rate in report["write_overlay"].items():
        print(f"write_overlay, {name}: {rate:.1f} frames per CPU second, encoding and all")
    return report


def wave(body: BodyModel) -> Motion:
    """`FRAMES` frames of a body that faces the camera and swings its arms."""
    pose = np.zeros((FRAMES, len(SMPL_JOINTS), 3), np.float32)
    pose[:, 0, 0] = np.pi
    swing = 0.9 + 0.4 * np.sin(np.arange(FRAMES) * 2 * np.pi / 30)
    pose[:, SMPL_JOINTS.index("left_shoulder"), 2] = -swing
    pose[:, SMPL_JOINTS.index("right_shoulder"), 2] = swing
    return Motion(
        poses=pose.reshape(FRAMES, -1),
        betas=np.zeros(10),
        trans=np.tile([0.0, 0.3, 3.9], (FRAMES, 1)),
        mocap_framerate=30.0,
        gender="neutral",
        joints=np.tile([0.0, 0.3, 3.9], (FRAMES, len(SMPL_JOINTS), 1)),
        keypoints_2d=np.zeros((FRAMES, 33, 3)),
        cam=np.ones((FRAMES, 3)),
        box=np.ones((FRAMES, 3)),
        frame_index=np.arange(FRAMES),
        confidence=np.ones(FRAMES),
        image_size=SIZE,
        focal_length=FOCAL,
        body=body.name,
    )


def mask(image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, focal: float) -> np.ndarray:
    """The hard mask of the whole frame, one sample a pixel: what the rasterization alone takes."""
    points = zbuffer.project(vertices, focal, image.shape[:2])
    return zbuffer.rasterize(points, vertices[:, 2], faces, image.shape[:2]).mask


def paint(image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, focal: float) -> np.ndarray:
    """The painter's loop: (H, W, 3) with the faces that look at the camera, the farthest first, in flat shades."""
    image = image.copy()
    points = zbuffer.project(vertices, focal, image.shape[:2])[faces]
    (abx, aby), (acx, acy) = ((points[:, k] - points[:, 0]).T for k in (1, 2))
    ab, ac = (vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2))
    normals = np.cross(ab, ac)
    shade = -normals[:, 2] / np.maximum(np.linalg.norm(normals, axis=-1), 1e-12)
    order = np.argsort(-vertices[faces, 2].mean(axis=1))
    turned = abx * acy - aby * acx < 0
    fixed = np.round((points - 0.5) * 16).astype(np.int32)
    for face in order[turned[order]]:
        light = 0.3 + 0.7 * max(float(shade[face]), 0.0)
        color = (165 * light, 200 * light, 245 * light)
        cv2.fillConvexPoly(image, fixed[face], color, cv2.LINE_8, shift=4)
    return image


def videos(body: BodyModel, motion: Motion) -> dict[str, float]:
    """Frames per CPU second of `write_overlay`, from frames in memory to a finished file."""
    frames = [np.full((*SIZE, 3), 90, np.uint8)] * FRAMES
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "overlay.mp4"
        write_overlay(frames[:2], motion, body, path, progress=False)  # compiles the body
        for name, side_view in (("two panels", False), ("with the side view", True)):
            start = os.times()
            write_overlay(frames, motion, body, path, side_view=side_view, progress=False)
            spent = sum(os.times()[:4]) - sum(
                start[:4]
            )  # with the children: ffmpeg encodes in its own process
            rates[name] = FRAMES / spent
    return rates


if __name__ == "__main__":
    main()
