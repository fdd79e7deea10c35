"""TRC: marker positions for OpenSim. y up, millimetres, a constant frame rate.

Markers are keypoints on the body, not on the skin where a laboratory puts them.
"""

import os

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body import keypoint_basis, keypoints
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import keypoint_names
from hpof_jax.export.skeleton import Y_UP
from hpof_jax.geometry.numpy_rotations import to_matrix
from hpof_jax.world import WorldMotion, at_constant_rate

MARKER_SETS = ("openpose25", "smpl24")


def write(path: str | os.PathLike, motion: WorldMotion, body: BodyModel, markers: str = "openpose25") -> None:
    """Writes one person. Times that vary are resampled; see `world.at_constant_rate`.

    Args:
      markers: 'openpose25', which is BODY_25, named as in Pose2Sim's OpenSim models; or 'smpl24', SMPL's joints.

    Raises:
      UserError: the file cannot be written, or the body's vertices are in an unknown order.
    """
    motion = at_constant_rate(motion, body)
    points, _ = keypoints(
        body, keypoint_basis(body, markers), motion.betas, to_matrix(motion.pose), motion.transl
    )
    points = np.asarray(points, np.float64) @ Y_UP.T * 1000.0
    names = marker_names(markers)
    rate, frames = f"{motion.fps:.6g}", len(motion)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{os.path.basename(path)}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{frames}\t{len(names)}\tmm\t{rate}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ"),
        "",
    ]
    values = np.column_stack([np.arange(1, frames + 1), motion.times, points.reshape(frames, -1)])
    formats = ["%d", "%.6f"] + ["%.4f"] * (3 * len(names))
    with (
        replacing(path, "The TRC file") as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, values, fmt=formats, delimiter="\t")


def marker_names(markers: str) -> tuple[str, ...]:
    """BODY_25's names as in Pose2Sim's OpenSim models, such as RBigToe and CHip; SMPL's joints keep theirs."""
    if markers != "openpose25":
        return keypoint_names(markers)
    return tuple(_short(name) for name in keypoint_names(markers))


def _short(name: str) -> str:
    if name == "mid_hip":
        return "CHip"
    side, _, part = name.partition("_")
    words = f"{side[0]}_{part}" if side in ("left", "right") else name
    return "".join(word.capitalize() for word in words.split("_"))
