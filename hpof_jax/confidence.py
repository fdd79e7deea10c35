"""The confidence of a motion: for each frame, the probability that its pose is right.

A pose counts as right if its PA-MPJPE, over the 12 limb joints, is below `RIGHT`. Where the person is seen, two
measurements decide, both averaged over `WINDOW`:

- the residual in the picture: the distance of the body's limbs from the detector's landmarks;
- the disagreement: the distance between the model's answers for the clip and for its mirror image. An ensemble's
  disagreement tells its error (Lakshminarayanan et al., NeurIPS 2017); the mirror image gives a second member.

A logistic function of their logarithms gives the probability. `benchmarks/confidence.py` fits its coefficients on
rendered people with ground truth and measures what it is worth. The landmarks' visibility and the distance of the
detector's 3D landmarks from the body were tried as well; they did not help (docs/report.md).
"""

import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS
from hpof_jax.geometry.temporal import sliding_mean
from hpof_jax.motion import Motion

RIGHT = 80.0  # mm
WINDOW = 0.3  # seconds
GAP = 0.3  # the confidence of an unseen frame beside a seen one, at most
GAP_DECAY = 0.5  # seconds within a gap in which the confidence falls to 1 / e
# Usual measurements, and the logit there; how much the logit changes if one is e times as large.
USUAL_RESIDUAL = 0.02  # share of the person's box
USUAL_DISAGREEMENT = 0.03  # metres
LOGIT, BY_RESIDUAL, BY_DISAGREEMENT = 0.8, -1.64, -1.9


def of_motion(motion: Motion, points: np.ndarray, disagreement: np.ndarray | None = None) -> np.ndarray:
    """The probability (T,) that each pose is right; at most `GAP` and falling where the person is not seen.

    Args:
      motion: its `keypoints_2d` are the detector's, all zero where the person is not seen.
      points: (T, 33, 3) the body's BlazePose landmarks, metres, camera frame.
      disagreement: (T,) metres, from `models.flip.disagreement`. None: not known, taken as usual.
    """
    seen = motion.seen
    camera = motion.focal_length, motion.image_size
    measured = [residuals(points, motion.keypoints_2d, motion.box, *camera)]
    measured.append(np.full(len(seen), USUAL_DISAGREEMENT) if disagreement is None else disagreement)
    probabilities = probability(*(sliding_mean(values, seen, window(motion)) for values in measured))
    return in_gaps(probabilities, seen, motion.times).astype(np.float32)


def window(motion: Motion) -> int:
    """The number of frames, odd, over which measurements are averaged."""
    return 2 * round(WINDOW * motion.mocap_framerate / 2) + 1


def probability(residual: np.ndarray, disagreement: np.ndarray) -> np.ndarray:
    """The probability (...) that a pose is right, from the residual (...) and the disagreement (...) in metres."""
    logit = LOGIT + evidence(residual, disagreement) @ [BY_RESIDUAL, BY_DISAGREEMENT]
    return 1.0 / (1.0 + np.exp(-logit))


def evidence(residual: np.ndarray, disagreement: np.ndarray) -> np.ndarray:
    """What the logit is linear in, (..., 2): logarithms of both measurements over the usual ones."""
    parts = residual / USUAL_RESIDUAL, disagreement / USUAL_DISAGREEMENT
    return np.log(np.clip(np.stack(parts, axis=-1), 0.05, 20.0))


def residuals(
    points: np.ndarray, keypoints: np.ndarray, box: np.ndarray, focal_length: float, image_size: np.ndarray
) -> np.ndarray:
    """(T,) mean distance of the body's limb joints from the detector's, as a share of the box.

    Args:
      points: (T, 33, 3) the body's BlazePose landmarks, metres, camera frame.
      keypoints: (T, 33, 3) the detector's, [x px, y px, visibility]. box: (T, 3) [x, y, size] px.
      focal_length: px. image_size: (2,) [height, width] px.
    """
    points = points[:, BLAZEPOSE_LIMBS]
    pixels = points[..., :2] * (focal_length / np.maximum(points[..., 2:], 0.1))
    apart = pixels + np.array([image_size[1], image_size[0]]) / 2 - keypoints[:, BLAZEPOSE_LIMBS, :2]
    return np.linalg.norm(apart, axis=-1).mean(axis=1) / np.maximum(box[:, 2], 1.0)


def in_gaps(probabilities: np.ndarray, seen: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The probabilities (T,), and in unseen frames that of the nearest seen one, at most `GAP`, times a decay."""
    frames, there = np.arange(len(seen)), np.flatnonzero(seen)
    if not len(there):
        return np.zeros(len(seen))
    after = np.searchsorted(there, frames)
    neighbours = there[np.clip([after - 1, after], 0, len(there) - 1)]
    away = np.abs(times - times[neighbours])
    nearest = np.take_along_axis(neighbours, away.argmin(axis=0)[None], axis=0)[0]
    return np.where(seen, probabilities, in_gap(probabilities[nearest], away.min(axis=0)))


def in_gap(beside: np.ndarray, away: np.ndarray) -> np.ndarray:
    """The confidence `away` (...) seconds from a frame with confidence `beside` (...) that shows the person."""
    return np.minimum(beside, GAP) * np.exp(-away / GAP_DECAY)
