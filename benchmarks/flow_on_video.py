"""Agreement of the recovered body's motion with the optical flow of a real video, by its warped silhouettes.

    python -m benchmarks.flow_on_video [--video FILE] [--people 1 2] [--picture FILE] [--json FILE]

Each person is recovered without optical flow. The body's silhouette in the next frame is warped by DIS flow
and compared with that in this frame: intersection over union of the pixels above one half where the flow is
valid. Beside it stands the overlap without warping. Both are means over all pairs of frames, and over the
tenth of the pairs with the fastest motion. The picture shows the pair of median overlap among the fast ones:
both frames, and the outlines.
"""

import argparse
import pathlib

import cv2
import jax
import numpy as np

from benchmarks.flow_clips import box_pixels
from benchmarks.program import print_row, program
from hpof_jax import downloads
from hpof_jax.atomic import replacing
from hpof_jax.body import BodyModel, load_body
from hpof_jax.geometry import camera, flow
from hpof_jax.geometry.rasterizer import soft_silhouette
from hpof_jax.lifting import lift
from hpof_jax.observe.clip import observe
from hpof_jax.observe.crops import crop, square_to_frame
from hpof_jax.observe.optical_flow import SIDE
from hpof_jax.observe.video import read_video

PICTURE_SIDE = 320  # pixels of a box in the picture
# Of the outlines: this frame green, the next frame red, the next frame warped blue.
COLOURS = {"this": (80, 220, 80), "next": (240, 80, 80), "warped": (90, 150, 255)}
FIGURES = ("speed", "overlap_next", "overlap_warped")


def compare(video: pathlib.Path, person: int, body: BodyModel) -> dict[str, np.ndarray]:
    """The silhouettes of a person in each of N pairs of neighbouring frames, and their overlap.

    Returns:
      pairs: (N,) number of the first frame. boxes: (T, 3), of all frames. this, next, warped: (N, 64, 64)
      silhouettes in the box of the first frame. speed: (N,) pixels of the box per frame. overlap_next,
      overlap_warped: (N,) percent.
    """
    observations = observe(video, person, keep_flow=True)
    motion = lift(observations, body=body)
    faces, boxes = np.asarray(body.faces), observations.flow_box
    draw = jax.jit(lambda points: soft_silhouette(points, faces, (SIDE, SIDE)))
    silhouettes = []
    for start in range(0, len(motion), 32):
        span = slice(start, start + 32)
        vertices = motion.vertices(body, span)
        points = camera.project(vertices, observations.focal_length, observations.image_size)
        silhouettes.append(np.asarray(draw(box_pixels(points, np.maximum(boxes[span], 1e-3)))))
    silhouettes = np.concatenate(silhouettes)
    pairs = np.flatnonzero((boxes[:-1, 2] > 0) & (boxes[1:, 2] > 0))
    this, other = silhouettes[pairs], silhouettes[pairs + 1]
    moves = np.float32(observations.flow[pairs][:, 0])
    valid = np.float32(observations.flow_valid[pairs][:, 0])
    still = flow.between_boxes(np.zeros_like(moves), boxes[pairs], boxes[pairs + 1])
    warped, unwarped = np.asarray(flow.warp(other, moves)), np.asarray(flow.warp(other, still))
    speed = np.linalg.norm(moves - still, axis=-1)
    return {
        "pairs": pairs,
        "boxes": boxes,
        "this": this,
        "next": unwarped,
        "warped": warped,
        "speed": np.sum(speed * this * valid, axis=(1, 2)) / np.maximum(np.sum(this * valid, axis=(1, 2)), 1),
        "overlap_next": overlap(unwarped, this, valid),
        "overlap_warped": overlap(warped, this, valid),
    }


def overlap(one: np.ndarray, other: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Intersection over union of silhouettes (N, H, W) where `valid`, in percent, (N,)."""
    one, other = (one > 0.5) & (valid > 0), (other > 0.5) & (valid > 0)
    return 100 * np.sum(one & other, axis=(1, 2)) / np.maximum(np.sum(one | other, axis=(1, 2)), 1)


def is_fast(found: dict) -> np.ndarray:
    """Which pairs belong to the tenth with the fastest motion, (N,)."""
    return found["speed"] >= np.quantile(found["speed"], 0.9)


def picture(video: pathlib.Path, found: dict[str, np.ndarray]) -> np.ndarray:
    """The fast pair of median overlap: this frame, the next one, and the outlines on this one."""
    fast = np.flatnonzero(is_fast(found))
    median = int(fast[np.argsort(found["overlap_warped"][fast])[len(fast) // 2]])
    number = int(found["pairs"][median])
    frames, _ = read_video(video, number + 2)
    frames = list(frames)[number:]
    crops = [_crop(frame, box) for frame, box in zip(frames, found["boxes"][number : number + 2])]
    outlined = crops[0].copy()
    for key, colour in COLOURS.items():
        size = (PICTURE_SIDE, PICTURE_SIDE)
        fine = cv2.resize(found[key][median], size, interpolation=cv2.INTER_CUBIC)
        outline, _ = cv2.findContours(np.uint8(fine > 0.5), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(outlined, outline, -1, colour, 1, cv2.LINE_AA)
    return np.concatenate([*crops, outlined], axis=1)


def _crop(frame, box):
    return crop(frame, square_to_frame(box), (PICTURE_SIDE, PICTURE_SIDE))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=pathlib.Path, help="the video (the sample)")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2], help="counted from the left, from 1")
    parser.add_argument("--picture", type=pathlib.Path, help="write the picture to this file")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> list[dict]:
    video, body = options.video or downloads.fetch("sample_video"), load_body()
    report, rows = [], []
    print_row("overlap in %", ("pairs", *FIGURES), width=16)
    for person in options.people:
        found = compare(video, person, body)
        fast = is_fast(found)
        rows.append(picture(video, found))
        for name, where in (("all pairs", fast | True), ("the fastest tenth", fast)):
            line = {"person": person, "pairs": name, "count": int(where.sum())}
            figures = {key: float(found[key][where].mean()) for key in FIGURES}
            report.append(line | figures)
            print_row(f"person {person}, {name}", (line["count"], *figures.values()), decimals=2, width=16)
    if options.picture:
        with replacing(options.picture, "The picture") as partial:
            encoded = cv2.imencode(options.picture.suffix, np.concatenate(rows)[..., ::-1])[1]
            partial.write_bytes(encoded.tobytes())
    return report


if __name__ == "__main__":
    main()
