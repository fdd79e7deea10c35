"""What tells people apart: the colours of their clothes, and the lengths of their bones."""

import cv2
import numpy as np

from hpof_jax.observe.blazepose import HIPS, SHOULDERS, Pose

KNEES, ANKLES = (25, 26), (27, 28)
COLOUR_BINS, LIGHT_BINS = 32, 16
COLOURS = 64, 191  # range of Lab's a and b
LEG_WIDTH = 0.045  # of the crop's side
MIN_PIXELS = 60  # of a part; fewer say nothing
# Pairs of landmarks; both sides of the body are averaged.
BONES = np.array(
    [
        [(11, 12), (11, 12)],
        [(23, 24), (23, 24)],
        [(11, 23), (12, 24)],
        [(11, 13), (12, 14)],
        [(13, 15), (14, 16)],
        [(23, 25), (24, 26)],
        [(25, 27), (26, 28)],
    ]
)


def clothes(pose: Pose) -> np.ndarray:
    """(2, 1040) the colours of the torso and of the legs, each the roots of two histograms that sum to 1.

    Lab's a and b, 32 x 32, and the lightness, 16. A part that cannot be seen is 0.
    """
    side = len(pose.crop)
    points = pose.landmarks_2d[:, :2] - pose.to_frame[:, 2]
    points = np.round(np.linalg.solve(pose.to_frame[:, :2], points.T).T * side)
    points = np.clip(points, -4 * side, 4 * side).astype(np.int32)
    person = (pose.mask_logits > 0).astype(np.uint8)
    lab = cv2.cvtColor(pose.crop, cv2.COLOR_RGB2LAB)
    lab[..., 1:] = np.clip(lab[..., 1:], *COLOURS)  # few clothes are more colourful
    torso, legs = np.zeros((2, side, side), np.uint8)
    cv2.fillConvexPoly(torso, cv2.convexHull(points[[*SHOULDERS, *HIPS]]), 1)
    for leg in zip(HIPS, KNEES, ANKLES):
        cv2.polylines(legs, [points[list(leg)]], False, 1, int(LEG_WIDTH * side))
    legs &= 1 - torso
    return np.stack([_histograms(lab, part & person) for part in (torso, legs)])


def _histograms(lab: np.ndarray, inside: np.ndarray) -> np.ndarray:
    if cv2.countNonZero(inside) < MIN_PIXELS:
        return np.zeros(COLOUR_BINS**2 + LIGHT_BINS, np.float32)
    colours = cv2.calcHist([lab], [1, 2], inside, [COLOUR_BINS] * 2, [COLOURS[0], COLOURS[1] + 1] * 2)
    light = cv2.calcHist([lab], [0], inside, [LIGHT_BINS], [0, 256])
    colours, light = cv2.GaussianBlur(colours, (5, 5), 0), cv2.GaussianBlur(light, (1, 5), 0)
    return np.concatenate(
        [np.sqrt(counts.ravel() / max(float(counts.sum()), 1e-9)) for counts in (colours, light)]
    )


def clothes_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The mean of the Hellinger distances of the parts that both show, 0 to 1; NaN if there is none.

    a, b: (2, 1040), as `clothes` returns them, or means of such.
    """
    both = a.any(axis=1) & b.any(axis=1)
    if not both.any():
        return float("nan")
    split = COLOUR_BINS**2
    distances = [
        np.sqrt(np.clip(1 - _cosine(a[both][:, part], b[both][:, part]), 0, 1))
        for part in (slice(split), slice(split, None))
    ]
    return float(np.mean(distances))


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(lengths, 1e-9)


def bone_lengths(landmarks_3d: np.ndarray) -> np.ndarray:
    """(..., 7) logarithms of the lengths in metres of a person's bones, from (..., 33, 3)."""
    ends = landmarks_3d[..., BONES, :]
    lengths = np.linalg.norm(ends[..., 0, :] - ends[..., 1, :], axis=-1).mean(axis=-1)
    return np.log(np.maximum(lengths, 0.02))
