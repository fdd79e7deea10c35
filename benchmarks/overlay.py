"""Speed of drawing the body over a frame, against the painter's algorithm with `cv2.fillConvexPoly`.

    python -m benchmarks.overlay
    python -m benchmarks.overlay --rounds 40 --json overlay.json

The free body takes up 70 % of the height of a frame of 1920 x 1080. The functions take turns. Figures are
medians of the CPU time on one thread, which other programs hardly change. `write_overlay` draws in two threads
and encodes in a process, so that it is up to twice as fast as its figure on two cores.

The painter's algorithm sorts the faces by depth and fills them one by one in a flat shade. It does less: one
sample a pixel where `render_mesh` averages four, no smooth shading, no soft edges, no depth. It is wrong where
faces intersect. `zbuffer` is the rasterizer in NumPy that makes the masks, with one sample a pixel. `jax` is a z-buffer
in JAX with one sample a pixel and smooth shading, on the device that JAX has; its picture is copied to the host, where
it is encoded.
"""

import argparse
import functools
import os
import pathlib
import statistics
import tempfile

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.program import print_row, program
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.cli import positive_int
from hpof_jax.geometry import zbuffer
from hpof_jax.geometry.visibility import front_facing
from hpof_jax.motion import Motion
from hpof_jax.timing import interleaved
from hpof_jax.visualize import STYLES, render_mesh, write_overlay
from hpof_jax.visualize.draw import render_silhouette, render_skeleton, shade

SIZE, FOCAL = (1080, 1920), 1800.0
SCALES = (1.0, 2 / 3)  # the frame as filmed, and as `write_overlay` scales it
FRAMES = 48


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=positive_int, default=20)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    cv2.setNumThreads(1)
    body = load_body()
    motion = wave(body)
    vertices, faces = motion.vertices(body, slice(0, 1))[0], np.asarray(body.faces)
    report = {"faces": len(faces), "frames": {}}
    print_row("frames per CPU second", (*DRAW, "mesh/painter"), width=13)
    for scale in SCALES:
        size, focal = [round(side * scale) for side in SIZE], FOCAL * scale
        frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        ways = {name: functools.partial(draw, frame, vertices, faces, focal) for name, draw in DRAW.items()}
        times = interleaved(ways, options.rounds)
        rates = {name: 1.0 / statistics.median(spent["cpu"]) for name, spent in times.items()}
        ratio = rates["render_mesh"] / rates["painter"]
        name = f"{size[1]}x{size[0]}"
        report["frames"][name] = {"frames_per_cpu_second": rates, "render_mesh_over_painter": ratio}
        print_row(name, (*rates.values(), ratio), decimals=2, width=13)
    report["write_overlay"] = videos(body, motion)
    for name, rate in report["write_overlay"].items():
        print_row(name, [rate], decimals=2, width=13)
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


def skeleton(image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, focal: float) -> np.ndarray:
    """Bones between some vertices, as many as a body has."""
    return render_skeleton(image, vertices[:: len(vertices) // len(SMPL_JOINTS)][: len(SMPL_JOINTS)], focal)


def mask(image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, focal: float) -> np.ndarray:
    """The rasterization alone: (H, W) bool, one sample a pixel."""
    points = zbuffer.project(vertices, focal, image.shape[:2])
    return zbuffer.rasterize(points, vertices[:, 2], faces, image.shape[:2]).mask


def paint(image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, focal: float) -> np.ndarray:
    """The painter's algorithm: (H, W, 3), front-facing faces in flat shades, the farthest first."""
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


def draw_by_jax(image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, focal: float) -> np.ndarray:
    """(H, W, 3), the front faces in a smooth shade, one sample a pixel."""
    points = zbuffer.project(vertices, focal, image.shape[:2])
    corners = points[faces]
    front = front_facing(*corners.swapaxes(0, 1))
    faces, corners = faces[front], corners[front]
    side = 4 * int(np.ceil(((np.ceil(corners.max(axis=1)) - np.floor(corners.min(axis=1))).max()) / 4))
    color = np.float32([165, 200, 245]) * shade(vertices, faces)
    arrays = (np.float32(points), np.float32(vertices[:, 2]), color, faces)
    return np.asarray(_zbuffer_by_jax(image, *arrays, side))


@functools.partial(jax.jit, static_argnums=5)
def _zbuffer_by_jax(image, points, depth, colors, faces, side):
    """Each face is sampled at the pixels of a square of `side` pixels, the largest that a face needs."""
    height, width, _ = image.shape
    a, b, c = (points[faces[:, k], None] for k in range(3))  # (F, 1, 2)
    reach = jnp.stack(jnp.meshgrid(jnp.arange(side), jnp.arange(side)), axis=-1).reshape(-1, 2)
    pixel = jnp.floor(jnp.minimum(jnp.minimum(a, b), c)).astype(int) + reach  # (F, side^2, 2)

    def area(p, q, r):
        return (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (
            r[..., 0] - p[..., 0]
        )

    whole, center = area(a, b, c), pixel + 0.5
    shares = jnp.stack([area(b, c, center), area(c, a, center), area(a, b, center)]) / whole
    inside = (shares >= 0).all(axis=0) & (pixel >= 0).all(axis=-1) & (pixel[..., 0] < width)
    shares = shares / depth[faces].T[..., None]  # perspective: 1 / z is linear in the picture
    z = jnp.where(inside, 1 / shares.sum(axis=0), jnp.inf)
    place = jnp.where(inside, pixel[..., 1] * width + pixel[..., 0], height * width)
    nearest = jnp.full(height * width, jnp.inf).at[place].min(z, mode="drop")
    shown = inside & (z <= nearest.at[place].get(mode="clip"))
    color = jnp.einsum("kfp,fkc->fpc", shares * z, colors[faces])
    place = jnp.where(shown, place, height * width)
    color = jnp.clip(color, 0, 255).astype(jnp.uint8)
    return image.reshape(-1, 3).at[place].set(color, mode="drop").reshape(image.shape)


def videos(body: BodyModel, motion: Motion) -> dict[str, float]:
    """Frames per CPU second of `write_overlay`, from frames in memory to a finished file, with encoding."""
    frames = [np.full((*SIZE, 3), 90, np.uint8)] * FRAMES
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "overlay.mp4"
        write_overlay(frames[:2], motion, body, path, progress=False)  # compiles the body
        looks = {f"{style}, two panels of 720p": dict(style=style) for style in STYLES}
        looks["mesh, with the side view"] = dict(side_view=True)
        looks["mesh, one panel of 1080p"] = dict(layout="over", max_height=1080)
        for name, look in looks.items():
            start = os.times()
            write_overlay(frames, motion, body, path, **look, progress=False)
            # With the child processes, because ffmpeg encodes in one.
            spent = sum(os.times()[:4]) - sum(start[:4])
            rates[name] = FRAMES / spent
    return rates


DRAW = {
    "render_mesh": render_mesh,
    "silhouette": render_silhouette,
    "skeleton": skeleton,
    "painter": paint,
    "zbuffer": mask,
    "jax": draw_by_jax,
}

if __name__ == "__main__":
    main()
