"""Says in words in which frames a motion should not be trusted.

The constants were chosen on 96 rendered clips of 60 frames with ground truth, half of ordinary and half of
unusual motion, and not on real video. Errors of a limb are those of its joints after Procrustes alignment of
the body:

- `MISFIT`: an arm or a leg beyond it is wrong by more than 10 cm in 61 % of the frames, and in 21 % of all
  frames. It flags 10 % of the frames, and 29 % of those that are wrong by more than 10 cm: many wrong limbs fit
  well in the picture.
- Frames in which the person is not seen: 95 % of the limbs are wrong by more than 10 cm.
- Frames with a confidence of at most 0.5: 53 % of the limbs are.
- Frames in which left and right were swapped back: 48 % of them are.
- `SHAKING`: 0.1 % of the frames of real motion have more, in the ground truth.
- `SLIDING`: the speed of one planted foot in ten.
"""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from hpof_jax.motion import CONFIDENT
from hpof_jax.report import measure

if TYPE_CHECKING:
    from hpof_jax.motion import Motion

MISFIT = 5.0  # % of the person's box
SHAKING = 60.0  # m/s^2, mean over the joints
SLIDING = 0.4  # m/s
SHORTEST = 5 / 30  # seconds; a shorter stretch is not mentioned
APART = 10 / 30  # seconds; closer stretches of one kind are mentioned as one
STATURES = (1.4, 2.1)  # metres; adults outside are rare
SMALLEST = 1 / 6  # share of the picture's height, below which the detector is inaccurate
FEWEST = 25  # frames; the model is trained on longer clips


@dataclasses.dataclass(frozen=True)
class Finding:
    """A sentence about a stretch of frames, or about the whole clip."""

    text: str
    kind: str  # "unseen", "doubt", "outside", "fit", "swap", "jitter", "slide", "cut" or "clip"
    rows: tuple[int, int] | None = None  # the first and the last row of the motion


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """The first and the last row of each run of true flags (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int))).reshape(-1, 2)
    return [(start, stop - 1) for start, stop in edges.tolist()]


def stretches(
    flags: np.ndarray, rate: float, shortest: float = SHORTEST, apart: float = APART
) -> list[tuple[int, int]]:
    """The first and the last row of each run of true flags (T,), at `rate` frames/s.

    Runs less than `apart` seconds apart are joined; those shorter than `shortest` seconds are left out.
    """
    joined: list[list[int]] = []
    for first, last in runs(flags):
        if joined and (first - joined[-1][1]) / rate < apart:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    return [(first, last) for first, last in joined if last - first + 1 >= shortest * rate - 1e-6]


def judge(
    motion: "Motion",
    *,
    errors: dict[str, np.ndarray],
    acceleration: np.ndarray,
    slides: dict[str, np.ndarray],
    stature: float,
    swapped: np.ndarray | None = None,
    cuts: Iterable[int] = (),
) -> list[Finding]:
    """The warnings about a motion, those about the whole clip first, then in the order of their frames.

    Args:
      errors: (T,) of each part, from `measure.part_errors`.
      acceleration: (T,) from `measure.acceleration`.
      slides: (T,) of each foot, from `measure.foot_slide`.
      stature: metres.
      swapped: (T,) bool, where left and right were swapped back; None if that is not known.
      cuts: the first row of each shot but the first.
    """
    rate, seen, found = motion.mocap_framerate, motion.seen, []

    def warn(
        flags: np.ndarray, kind: str, sentence: str, shortest: float = SHORTEST, apart: float = APART
    ) -> None:
        for rows in stretches(flags, rate, shortest, apart):
            found.append(Finding(f"{frames_in_words(motion, rows)}: {sentence}", kind, rows))

    warn(~seen, "unseen", "the person is not seen; the body is a guess", 0.0, 0.0)
    warn((motion.confidence <= CONFIDENT) & seen, "doubt", "do not trust the pose")
    for part, flags in measure.outside(motion).items():
        warn(flags & seen, "outside", f"the {part} is outside the picture; it is a guess")
    for part, error in errors.items():
        warn(np.nan_to_num(error) > MISFIT, "fit", f"the {part} does not fit")
    if swapped is not None:
        warn(
            swapped,
            "swap",
            "the detector took left for right; this was corrected, look whether it is right",
            0.0,
        )
    warn(np.nan_to_num(acceleration) > SHAKING, "jitter", "the body shakes", 0.0)
    for foot, speed in slides.items():
        warn(np.nan_to_num(speed) > SLIDING, "slide", f"the {foot} slides over the floor")
    for row in cuts:
        text = f"frame {motion.frame_index[row]}: the video cuts; the person may be another one from here"
        found.append(Finding(text, "cut", (int(row), int(row))))
    found.sort(key=lambda finding: finding.rows)
    return [*_about_the_clip(motion, seen, stature), *found]


def frames_in_words(motion: "Motion", rows: tuple[int, int]) -> str:
    """Such as "frames 100 to 128", with the frames' numbers in the video."""
    first, last = (int(motion.frame_index[row]) for row in rows)
    return f"frame {first}" if first == last else f"frames {first} to {last}"


def _about_the_clip(motion: "Motion", seen: np.ndarray, stature: float) -> list[Finding]:
    sentences = []
    share = seen.mean()
    if share < 0.5:
        sentences.append(f"The person is seen in only {100 * share:.0f} % of the frames.")
    size = np.median(motion.box[seen, 2]) / motion.image_size[0] if seen.any() else 1.0
    if size < SMALLEST:
        sentences.append(
            f"The person fills only {100 * size:.0f} % of the picture's height; details are lost below 17 %."
        )
    if not STATURES[0] <= stature <= STATURES[1]:
        sentences.append(f"A stature of {stature:.2f} m is unusual: the model knows adults only.")
    if "unknown" in motion.camera_motion:
        sentences.append(
            "The camera's motion is unknown and taken as static; the path in space may be wrong."
        )
    if len(motion) < FEWEST:
        sentences.append(f"The clip has only {len(motion)} frames; the body's shape and pose need {FEWEST}.")
    return [Finding(sentence, "clip") for sentence in sentences]
