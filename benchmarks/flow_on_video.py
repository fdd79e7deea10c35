"""Does the recovered body move as the picture does? The warped silhouettes of a real video's two people.

    python -m benchmarks.flow_on_video [--video FILE] [--people 1 2] [--picture FILE] [--json FILE]

Each person is recovered without optical flow, and the body's silhouette of one frame, warped by DIS's flow, is laid over that of the
neighbouring frame: intersection over union of the pixels above one half, where the flow is valid, beside that of the silhouette left where it was; over all
pairs and the tenth of them that moves most. The picture shows, for the one of these in the middle by overlap, both frames
and the outlines.
"""

import argparse
import pathlib

import cv2
import jax
import numpy as np

from benchmarks.flow_losses import box_pixels
from benchmarks.program import program
from hpof_jax import downloads
from hpof_jax.atomic import replacing
from hpof_jax.body import load_body
from hpof_jax.geometry import camera, flow
from hpof_jax.geometry.rasterizer import soft_silhouette
from hpof_jax.lifting import lift
from hpof_jax.observe import clip, optical_flow
from hpof_jax.observe.crops import crop, square_to_frame
from hpof_jax.observe.video import read_video

SIDE = optical_flow.SIDE
SHOWN = 320  # pixels of a box in the picture
COLOURS = {"this frame": (80, 220, 80), "next frame, left there": (240, 80, 80), "next frame, warped": (90, 150, 255)}  # fmt: skip


def compare(video, person: str | int, body) -> dict:
    """The silhouettes of a person in each pair of frames, and how they overlap."""
    observations = clip.observe(video, person, keep_flow=True)
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
    here, there = silhouettes[pairs], silhouettes[pairs + 1]
    moves = np.float32(observations.flow[pairs, 0])
    valid = np.float32(observations.flow_valid[pairs, 0])
    still = flow.between_boxes(np.zeros_like(moves), boxes[pairs], boxes[pairs + 1])
    warped, left = np.asarray(flow.warp(there, moves)), np.asarray(flow.warp(there, still))
    speed = np.linalg.norm(moves - still, axis=-1)
    return {
        "pairs": pairs,
        "boxes": boxes,
        "here": here,
        "left": left,
        "warped": warped,
        "speed": np.sum(speed * here * valid, axis=(1, 2)) / np.maximum(np.sum(here * valid, axis=(1, 2)), 1),
        "overlap_left": _overlap(left, here, valid),
        "overlap_warped": _overlap(warped, here, valid),
    }


def _overlap(one, other, valid):
    one, other = (one > 0.5) & (valid > 0), (other > 0.5) & (valid > 0)
    return 100 * np.sum(one & other, axis=(1, 2)) / np.maximum(np.sum(one | other, axis=(1, 2)), 1)


def is_fast(found: dict) -> np.ndarray:
    """The tenth of the pairs in which the body moves most."""
    return found["speed"] >= np.quantile(found["speed"], 0.9)


def picture(video, found: dict) -> np.ndarray:
    """A middling one of the fast pairs of a person: this frame, the next one, and the outlines on this one."""
    fast = np.flatnonzero(is_fast(found))
    best = int(fast[np.argsort(found["overlap_warped"][fast])[len(fast) // 2]])
    number = int(found["pairs"][best])
    frames, _ = read_video(video, number + 2)
    frames = list(frames)[number:]
    crops = [_crop(frame, box) for frame, box in zip(frames, found["boxes"][number : number + 2])]
    outlined = crops[0].copy()
    for colour, key in zip(COLOURS.values(), ("here", "left", "warped")):
        fine = cv2.resize(found[key][best], (SHOWN, SHOWN), interpolation=cv2.INTER_CUBIC)
        outline, _ = cv2.findContours(np.uint8(fine > 0.5), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(outlined, outline, -1, colour, 1, cv2.LINE_AA)
    return np.concatenate([*crops, outlined], axis=1)


def _crop(frame, box):
    return crop(frame, square_to_frame(box), (SHOWN, SHOWN))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=pathlib.Path, help="the sample")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2], help="counted from the left, from 1")
    parser.add_argument("--picture", type=pathlib.Path, help="write the comparison there")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    video, body = options.video or downloads.fetch("sample_video"), load_body()
    report, rows = [], []
    for person in options.people:
        found = compare(video, person, body)
        fast = is_fast(found)
        rows.append(picture(video, found))
        for name, where in (("all pairs", fast | True), ("the fastest tenth", fast)):
            line = {"person": person, "pairs": name, "count": int(where.sum())}
            line |= {
                key: float(found[key][where].mean()) for key in ("speed", "overlap_left", "overlap_warped")
            }
            report.append(line)
            print(
                f"person {person}, {name} ({line['count']}): {line['speed']:.2f} px of {SIDE} a frame; "
                f"overlap {line['overlap_left']:.1f} % where it was, {line['overlap_warped']:.1f} % warped"
            )
    if options.picture:
        with replacing(options.picture, "The picture") as partial:
            encoded = cv2.imencode(options.picture.suffix, np.concatenate(rows)[..., ::-1])[1]
            partial.write_bytes(encoded.tobytes())
    return report


if __name__ == "__main__":
    main()
