"""Makes the pictures of README.md and docs/ from this project's own output.

    python docs/pictures.py free_body_poses free_body_shapes overlay report viewer blender --blender PYTHON

- `free_body_poses`, `free_body_shapes`: the free body.
- `overlay`: frames of the sample video, and below them the bodies drawn over them.
- `report`: the report of the first person, in headless Chromium.
- `viewer`: the page of two people and their video, in headless Chromium.
- `blender`: the exported GLB, imported and rendered in Blender. `--blender` is a Python in which `import bpy` works.

All but the first two show the two people of the sample video. `--motion` names reconstructions of them that are there already.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import mediapy
import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from hpof_jax import downloads, reconstruct  # noqa: E402
from hpof_jax.body import BodyModel, forward, load_body  # noqa: E402
from hpof_jax.body.skeletons import SMPL_JOINTS  # noqa: E402
from hpof_jax.motion import Motion  # noqa: E402
from hpof_jax.observe.video import read_video  # noqa: E402
from hpof_jax.visualize import render_mesh  # noqa: E402

FOLDER = ROOT / "docs/images"
BODIES = ("free_body_poses", "free_body_shapes")
NAMES = (*BODIES, "overlay", "report", "viewer", "blender")
PEOPLE = ("largest", "2")  # of the sample video; the first one is in every picture
FRAMES = 6  # in the strip
SIDE = 330  # pixels of each of its pictures
MARGIN = 1.25  # side of the part of the frame that is shown, over that of the person's box
QUALITY = 85  # of the JPEG files
SKIN = (190, 150, 125)  # RGB of the free body
DISTANCE, FOCAL_LENGTH = 6.0, 1080.0  # of its pictures' camera: metres, pixels
TILES = (440, 340), (370, 370)  # height and width of one body in these pictures, pixels
# Axis-angles, radians, of joints of the five bodies in `free_body_poses`.
POSES: tuple[dict[str, tuple[float, float, float]], ...] = (
    {},
    {
        **{"pelvis": (0, 0.7, 0), "left_hip": (-1.5, 0, 0), "right_hip": (-1.5, 0, 0)},
        **{"left_knee": (1.5, 0, 0), "right_knee": (1.5, 0, 0)},
        **{"left_shoulder": (0.0, 0, -1.2), "right_shoulder": (0.0, 0, 1.2)},
        **{"left_elbow": (0, -1.0, 0), "right_elbow": (0, 1.0, 0)},
    },
    {
        **{
            "pelvis": (0, 0.9, 0),
            "left_hip": (-0.6, 0, 0),
            "right_hip": (0.5, 0, 0),
            "right_knee": (0.7, 0, 0),
        },
        **{"left_shoulder": (0.5, 0, -1.3), "right_shoulder": (-0.5, 0, 1.3)},
        **{"left_elbow": (0, -0.5, 0), "right_elbow": (0, 0.5, 0)},
    },
    {
        **{"pelvis": (0, 0.4, 0), "left_elbow": (0, -1.6, 0), "right_shoulder": (0, 0.6, 0)},
        "right_elbow": (0, 1.2, 0),
    },
    {"left_shoulder": (0, 0, 1.3), "right_shoulder": (0, 0, -1.3)},
)
REPORT = (820, 1270)  # width and height of the part of the report that is shown, pixels


def make_poses(body: BodyModel) -> np.ndarray:
    """The mean free body in five poses."""
    rotations = np.zeros((len(POSES), 24, 3), np.float32)
    for row, pose in zip(rotations, POSES):
        for joint, rotation in pose.items():
            row[SMPL_JOINTS.index(joint)] = rotation
    return np.concatenate(_portraits(body, np.zeros((len(POSES), 10)), rotations, TILES[0]), axis=1)


def make_shapes(body: BodyModel) -> np.ndarray:
    """Two standard deviations of the first five components: positive above, negative below."""
    betas = np.concatenate([2 * np.eye(10)[:5], -2 * np.eye(10)[:5]])
    found = _portraits(body, betas, np.zeros((10, 24, 3), np.float32), TILES[1])
    return np.concatenate([np.concatenate(found[:5], axis=1), np.concatenate(found[5:], axis=1)])


def _portraits(
    body: BodyModel, betas: np.ndarray, rotations: np.ndarray, size: tuple[int, int]
) -> list[np.ndarray]:
    """A picture of each body on white, from the front."""
    vertices, _ = forward(body, betas.astype(np.float32), rotations[:, 0], rotations[:, 1:])
    to_camera = np.array([1, -1, -1])  # from y up and z out of the chest
    return [
        render_mesh(
            np.full((*size, 3), 255, np.uint8),
            (mesh - [0, (mesh[:, 1].max() + mesh[:, 1].min()) / 2, 0]) * to_camera + [0, 0, DISTANCE],
            np.asarray(body.faces),
            FOCAL_LENGTH,
            SKIN,
            alpha=1.0,
        )
        for mesh in np.asarray(vertices)
    ]


def strip(frames: list[np.ndarray], motion: Motion, body: BodyModel, rows: list[int]) -> np.ndarray:
    """The frames (H, W, 3) of some rows of the motion above the same frames with bodies, about the person."""
    faces, vertices = np.asarray(body.faces), motion.vertices(body, np.array(rows))
    bodies = [render_mesh(frame, mesh, faces, motion.focal_length) for frame, mesh in zip(frames, vertices)]
    places = [_square(motion.box[row], motion.image_size) for row in rows]
    return np.concatenate(
        [
            np.concatenate([_cut(frame, *place) for frame, place in zip(line, places)], axis=1)
            for line in (frames, bodies)
        ]
    )


def _square(box: np.ndarray, image_size: np.ndarray) -> tuple[int, int, int]:
    """Left, top and side of a square about a box [centre x, centre y, size], moved into the frame."""
    side = int(min(MARGIN * box[2], *image_size))
    left, top = (int(np.clip(box[axis] - side / 2, 0, image_size[1 - axis] - side)) for axis in (0, 1))
    return left, top, side


def _cut(frame: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    return mediapy.resize_image(frame[top : top + side, left : left + side], (SIDE, SIDE))


def make_overlay(motion: Motion, video: pathlib.Path) -> np.ndarray:
    """The strip of frames at equal distances, the first and the last left out."""
    rows = np.linspace(0, len(motion) - 1, FRAMES + 2).astype(int)[1:-1].tolist()
    wanted = dict.fromkeys(motion.frame_index[rows].tolist())
    frames, _ = read_video(video)
    for number, frame in enumerate(frames):
        if number in wanted:
            wanted[number] = frame
    return strip([*wanted.values()], motion, load_body(), rows)


def make_report(report: pathlib.Path) -> np.ndarray:
    """The upper part of a report.html."""
    from benchmarks.chromium import chromium  # here, because the other pictures need no browser

    with tempfile.TemporaryDirectory() as folder, chromium() as page:
        page.open(report.as_uri(), REPORT)
        page.wait("document.readyState === 'complete'")
        page.screenshot(pathlib.Path(folder, "report.png"))
        return mediapy.read_image(pathlib.Path(folder, "report.png"))[..., :3]


def photograph(benchmark: str, *options: str | pathlib.Path) -> np.ndarray:
    """The picture that a benchmark keeps; it also checks what it shows, and fails if that does not hold."""
    with tempfile.TemporaryDirectory() as folder:
        picture = pathlib.Path(folder, "picture.png")
        command = [
            sys.executable,
            "-m",
            f"benchmarks.{benchmark}",
            *map(str, options),
            "--picture",
            str(picture),
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        return mediapy.read_image(picture)[..., :3]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="PICTURE", help=f"of {', '.join(NAMES)}")
    parser.add_argument(
        "--motion",
        type=pathlib.Path,
        action="append",
        default=[],
        help="a motion.npz with its report.html; twice for two people",
    )
    parser.add_argument("--blender", metavar="PYTHON", help="a Python with bpy")
    parser.add_argument("--out", type=pathlib.Path, default=FOLDER, help="folder of the pictures")
    options = parser.parse_args()
    if "blender" in options.names and not options.blender:
        parser.error("the picture 'blender' needs --blender PYTHON")
    for name in dict.fromkeys(name for name in options.names if name in BODIES):
        picture = (make_poses if name == BODIES[0] else make_shapes)(load_body())
        _write_few_colours(options.out / f"{name}.png", picture)
    options.names = [name for name in options.names if name not in BODIES]
    if not options.names:
        return
    video = downloads.fetch("sample_video")
    with tempfile.TemporaryDirectory() as folder:
        motions = [path.absolute() for path in options.motion]
        for person in PEOPLE[len(motions) : len(PEOPLE) if "viewer" in options.names else 1]:
            reconstruct(video, pathlib.Path(folder, person), person=person, overlay=False)
            motions.append(pathlib.Path(folder, person, "motion.npz"))
        for name in options.names:
            if name == "overlay":
                picture = make_overlay(Motion.load(motions[0]), video)
            elif name == "report":
                picture = make_report(motions[0].with_name("report.html"))
            elif name == "viewer":
                picture = photograph("viewer_in_chromium", *motions, "--video", video)
            else:
                picture = photograph("foreign_readers", motions[0], "--blender", options.blender)
            path = options.out / f"{name}.{'png' if name == 'report' else 'jpg'}"
            if name == "report":
                _write_few_colours(path, picture)
            else:
                mediapy.write_image(path, picture, fmt="jpeg", quality=QUALITY)
                print(path)


def _write_few_colours(path: pathlib.Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).quantize(64).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
