"""Makes a report and writes it as `.json` and `.html`."""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpof_jax import __version__
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.motion import CONFIDENT
from hpof_jax.report import judge, measure
from hpof_jax.report.page import page

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.motion import Motion

PACKAGES = ("jax", "flax", "numpy", "scipy", "opencv-python-headless", "ai-edge-litert", "mediapy")
FOCAL_LENGTHS = {
    "given": "given by the user",
    "metadata": "from the video's metadata",
    "background": "from how the background moves while the camera turns",
    "assumed": "assumed, because neither the user nor the video states it; distance, depth and size depend on it",
}

CAMERA_MOTIONS = {
    "static": "it stands still",
    "rotating": "it turns, and is taken to stay at one place",
    "moving": "it turns and moves",
    "unknown": "unknown, because the background cannot be followed; where it moves, the path in space is wrong",
}
FITS = {
    "off": "none; the motion is the network's answer",
    "fast": "the network's answer was fitted to landmarks and masks",
    "full": "the network's answer was fitted to landmarks, masks and optical flow",
}


def make(
    motion: "Motion",
    body: "BodyModel",
    *,
    swapped: np.ndarray | None = None,
    shots: Sequence[int] = (0,),
    person: str | int | None = None,
    refine: str = "off",
    made_with: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What can be measured about a motion without ground truth, as numbers and words for JSON.

    Lists over time have a value for each frame of the motion; None is "not measured".

    Args:
      motion: at least one frame.
      body: the body that the motion was made with.
      swapped: (T,) bool, frames whose left-right swaps were undone. None: not known.
      shots: the first row of each shot.
      person: who was asked for, such as "largest". None: not known.
      refine: the mode of the fit that corrected the motion, see `hpof_jax.refine`.
      made_with: what somebody needs to make the motion again, such as the options and `versions()`.

    Raises:
      UserError: the motion has no frame, or was made with another body.
    """
    if not len(motion):
        raise UserError(
            "The motion has no frame to report on: reconstruct a video in which somebody is seen."
        )
    if motion.body != body.name:
        raise UserError(
            f"The motion was made with the body '{motion.body}' and not with '{body.name}': give that body's file."
        )
    errors = measure.part_errors(motion, measure.reprojection(motion, body))
    acceleration, slides = measure.acceleration(motion), measure.foot_slide(motion)
    seen, shape = motion.seen, measure.shape(motion, body)
    height, width = (int(side) for side in motion.image_size)
    found = judge.judge(
        motion,
        errors=errors,
        acceleration=acceleration,
        slides=slides,
        stature=shape["stature_m"],
        swapped=swapped,
        cuts=shots[1:],
    )
    doubtful = np.zeros(len(motion), bool)
    for finding in found:
        if finding.rows and finding.kind != "cut":
            doubtful[finding.rows[0] : finding.rows[1] + 1] = True
    numbers, times = motion.frame_index, motion.times
    return {
        "frames": len(motion),
        "seconds": round(len(motion) / motion.mocap_framerate, 3),
        "frames_per_second": round(motion.mocap_framerate, 4),
        "image_size": {"width": width, "height": height},
        "share_without_warning": round(float(1 - doubtful.mean()), 4),
        "warnings": [
            {"text": finding.text, "kind": finding.kind}
            | (
                {
                    "frames": [int(numbers[row]) for row in finding.rows],
                    "seconds": [round(float(times[row] - times[0]), 3) for row in finding.rows],
                }
                if finding.rows
                else {}
            )
            for finding in found
        ],
        "coverage": {
            "seen_share": round(float(seen.mean()), 4),
            "gaps": [[int(numbers[row]) for row in rows] for rows in judge.runs(~seen)],
            "cuts": [int(numbers[row]) for row in shots[1:]],
        },
        "confidence": {
            "mean": round(float(motion.confidence.mean()), 3),
            "trusted_share": round(float((motion.confidence > CONFIDENT).mean()), 4),
        },
        "reprojection_percent_of_box": {
            part: _summary(error) | {"visible_share": round(float(np.isfinite(error).mean()), 4)}
            for part, error in errors.items()
        },
        "acceleration_m_s2": _summary(acceleration),
        "foot_slide_m_s": {
            foot: _summary(speed) | {"planted_share": round(float(np.isfinite(speed).mean()), 4)}
            for foot, speed in slides.items()
        },
        "shape": shape | {"betas": _numbers(motion.betas, 4), "body": motion.body},
        "camera": {
            "focal_length_px": round(motion.focal_length, 1),
            "horizontal_fov_degrees": round(
                float(2 * np.degrees(np.arctan(width / 2 / motion.focal_length))), 1
            ),
            "focal_length_source": motion.focal_length_source,
            "why": FOCAL_LENGTHS.get(motion.focal_length_source, motion.focal_length_source),
            "motion": "; ".join(CAMERA_MOTIONS.get(kind, kind) for kind in motion.camera_motion.split(",")),
        },
        "fit": FITS.get(refine, refine),
        "identity": {
            "person": "not known" if person is None else str(person),
            "switches": "not checked; when people cross, it may continue with another one",
        },
        "over_time": {
            "frame": numbers.tolist(),
            "seconds": _numbers(times, 4),
            "seen": seen.tolist(),
            "confidence": _numbers(motion.confidence, 3),
            "reprojection_percent_of_box": {part: _numbers(error, 2) for part, error in errors.items()},
            "acceleration_m_s2": _numbers(acceleration, 2),
            "foot_slide_m_s": {foot: _numbers(speed, 3) for foot, speed in slides.items()},
        },
        "made_with": dict(made_with or {"versions": versions()}),
    }


def write(report: Mapping[str, Any], path: str | os.PathLike, overlay: str | None = None) -> None:
    """Writes a report from `make` to `path`, `.html`, and beside it as `.json`.

    The page needs no network. An existing file is replaced only by a complete one.

    Args:
      overlay: the file name of the overlay in the same folder, to which the warnings link.

    Raises:
      UserError: the files cannot be written.
    """
    path = pathlib.Path(path)
    texts = {".json": json.dumps(report, indent=1, ensure_ascii=False) + "\n", ".html": page(report, overlay)}
    for suffix, text in texts.items():
        with replacing(path.with_suffix(suffix), "The report") as partial:
            partial.write_text(text, encoding="utf-8")


def versions() -> dict[str, str]:
    """The versions of this package, Python and the packages that decide the result."""
    found = {"hpof_jax": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def digest(path: str | os.PathLike) -> str | None:
    """The SHA-256 of a file; None if it is no file, as a folder of pictures."""
    path = pathlib.Path(path)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _summary(values: np.ndarray) -> dict[str, float | None]:
    """Mean and 95th percentile over the frames in which there is a value."""
    values = values[np.isfinite(values)]
    if not len(values):
        return {"mean": None, "percentile_95": None}
    mean, high = float(values.mean()), float(np.percentile(values, 95))
    return {"mean": round(mean, 3), "percentile_95": round(high, 3)}


def _numbers(values: np.ndarray, decimals: int) -> list[float | None]:
    return [round(float(value), decimals) if np.isfinite(value) else None for value in values]
