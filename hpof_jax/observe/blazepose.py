"""BlazePose: finds people in an image, and the 33 landmarks and the mask of one person.

Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", CVPR workshop 2020. The two networks
are MediaPipe's, fetched by `hpof_jax.downloads`. The steps around them follow MediaPipe's published graphs.
Pixels are counted as everywhere in this package: the centre of pixel (row i, column j) is (j + 0.5, i + 0.5).
"""

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from hpof_jax import downloads, interrupt
from hpof_jax.observe.crops import crop

NUM_LANDMARKS = 33
DETECTOR_SIDE, LANDMARK_SIDE, HEATMAP_SIDE = 224, 256, 64
MIN_DETECTION_SCORE, MIN_PRESENCE = 0.5, 0.5
SHOULDERS, HIPS = (11, 12), (23, 24)


class Region(NamedTuple):
    """A square of the image, in px, turned clockwise by `angle` radians, in which a body stands upright."""

    x: float
    y: float
    size: float
    angle: float

    def to_frame(self) -> np.ndarray:
        """(2, 3) affine map from the unit square to pixels of the image."""
        axes = self.size * _rotation(self.angle)
        return np.column_stack([axes, (self.x, self.y) - axes @ (0.5, 0.5)])


@dataclasses.dataclass(frozen=True, eq=False)
class Pose:
    """What the landmark network finds in one region of one image.

    landmarks_2d: (33, 3) [x px, y px, visibility 0..1].
    landmarks_3d: (33, 3) metres about the mid-hip, camera axes (x right, y down, z forward).
    score: probability that the region holds a person.
    region: where to look for the same person in the next frame.
    crop: (256, 256, 3) uint8 pixels of the region.
    to_frame: (2, 3) affine map from the crop's unit square to pixels of the image.
    mask_logits: (256, 256) of the person's mask in the crop.
    """

    landmarks_2d: np.ndarray
    landmarks_3d: np.ndarray
    score: float
    region: Region
    crop: np.ndarray
    to_frame: np.ndarray
    mask_logits: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(256, 256) uint8 person mask in the crop, 255 = person."""
        return np.round(255 * _sigmoid(self.mask_logits)).astype(np.uint8)


class BlazePose:
    """The person detector and a landmark network, "full" or "heavy", on `threads` threads each."""

    def __init__(self, landmark_model: str = "full", threads: int = 2):
        self._detector = _Network("pose_detection", threads)
        self._landmarks = _Network(f"pose_landmark_{landmark_model}", threads)

    def detect(self, image: np.ndarray, square: Sequence[float]) -> list[Region]:
        """Regions of the people in a square of an image, best first.

        Args:
          image: (H, W, 3) uint8 RGB.
          square: [centre x, centre y, side] px. A person should fill about a fifth of the side or more.
        """
        to_frame = Region(*square, 0.0).to_frame()
        pixels = crop(image, to_frame, (DETECTOR_SIDE, DETECTOR_SIDE))
        raw, logits = self._detector(pixels / np.float32(127.5) - 1)
        scores = _sigmoid(logits[:, 0])
        order = np.argsort(-scores)[: np.count_nonzero(scores >= MIN_DETECTION_SCORE)]
        # Values 4 to 7: the mid-hip and a point on the circle around the body, relative to the anchor's
        # centre.
        points = raw[order, 4:8].reshape(-1, 2, 2) / DETECTOR_SIDE + _anchors()[order, None]
        points = points @ to_frame[:, :2].T + to_frame[:, 2]
        regions: list[Region] = []
        for hip, rim in points:
            region = _body_region(hip, rim)
            if all(overlap(region, other) < 0.5 for other in regions):
                regions.append(region)
        return regions

    def landmarks(self, image: np.ndarray, region: Region) -> Pose:
        """The pose in `region` of `image` (H, W, 3) uint8 RGB; a low `score` means that nobody is there."""
        to_frame = region.to_frame()
        pixels = crop(image, to_frame, (LANDMARK_SIDE, LANDMARK_SIDE))
        outputs = self._landmarks(pixels / np.float32(255))
        values, presence, mask_logits, heatmaps, world = outputs
        values, world = values.reshape(39, 5), world.reshape(39, 3)[:NUM_LANDMARKS]
        points = _refine(values[:, :2] / LANDMARK_SIDE, heatmaps) @ to_frame[:, :2].T + to_frame[:, 2]
        visibility = _sigmoid(values[:NUM_LANDMARKS, 3:4])
        world = np.column_stack([world[:, :2] @ _rotation(region.angle).T, world[:, 2]])
        return Pose(
            landmarks_2d=np.hstack([points[:NUM_LANDMARKS], visibility]).astype(np.float32),
            landmarks_3d=(world - world[list(HIPS)].mean(0)).astype(np.float32),
            score=float(presence.item()),
            region=_body_region(points[33], points[34]),
            crop=pixels,
            to_frame=to_frame,
            mask_logits=mask_logits[..., 0],
        )


def overlap(a: Region, b: Region) -> float:
    """Intersection over union of two regions; ignores their angles."""
    width = min(a.x + a.size / 2, b.x + b.size / 2) - max(a.x - a.size / 2, b.x - b.size / 2)
    height = min(a.y + a.size / 2, b.y + b.size / 2) - max(a.y - a.size / 2, b.y - b.size / 2)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a.size**2 + b.size**2 - shared)


class _Network:
    def __init__(self, name: str, threads: int):
        path = str(downloads.fetch(name))
        with _without_info():
            self._interpreter = Interpreter(model_path=path, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


@contextlib.contextmanager
def _without_info() -> Iterator[None]:
    """Keeps LiteRT's lines that begin with INFO from standard error; it has no option for that."""
    with tempfile.TemporaryFile() as held:
        before = os.dup(2)
        restore = functools.partial(os.dup2, before, 2)
        os.dup2(held.fileno(), 2)
        try:
            with interrupt.cleanup(restore):
                yield
        finally:
            restore()
            os.close(before)
            held.seek(0)
            for line in held:
                if not line.startswith(b"INFO:"):
                    os.write(2, line)


@functools.cache
def _anchors() -> np.ndarray:
    """(2254, 2) centres of the detector's anchors in the unit square: three grids, 2, 2 and 6 to a cell."""
    grids = []
    for cells, repeats in ((28, 2), (14, 2), (7, 6)):
        centres = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(grids)


def _body_region(hip: np.ndarray, rim: np.ndarray) -> Region:
    """The region around the mid-hip, 1.25 times as wide as the circle through `rim`, a point above it."""
    dx, dy = rim - hip
    return Region(float(hip[0]), float(hip[1]), float(2.5 * np.hypot(dx, dy)), float(np.arctan2(dx, -dy)))


def _refine(points: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Moves each point to the centre of mass of its heat-map, within 3 cells around the point.

    A point stays if it is outside the square, or if its heat-map is below one half around it.

    Args:
      points: (N, 2) in the unit square.
      heatmaps: (64, 64, N) logits.
    """
    cells = np.floor(points * HEATMAP_SIDE).astype(int)
    reach = np.arange(-3, 4)
    columns, rows = cells[:, 0, None] + reach, cells[:, 1, None] + reach
    inside = [(axis >= 0) & (axis < HEATMAP_SIDE) for axis in (columns, rows)]
    clipped = [np.clip(axis, 0, HEATMAP_SIDE - 1) for axis in (columns, rows)]
    window = heatmaps[clipped[1][:, :, None], clipped[0][:, None, :], np.arange(len(points))[:, None, None]]
    weight = _sigmoid(window) * inside[1][:, :, None] * inside[0][:, None, :]
    total = weight.sum((1, 2))
    sure = (weight.max((1, 2)) >= 0.5) & np.all((cells >= 0) & (cells < HEATMAP_SIDE), axis=1)
    mass = np.column_stack([(weight.sum(1) * columns).sum(1), (weight.sum(2) * rows).sum(1)])
    return np.where(sure[:, None], mass / np.maximum(total, 1e-9)[:, None] / HEATMAP_SIDE, points)


def _rotation(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
