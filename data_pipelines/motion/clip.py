"""A clip of one person's motion in the world, its split and its motion class.

World frame of every clip: y up, floor at y = 0, metres. A person whose root rotation is the identity stands
upright and faces +z, as the body does at rest. The frame rate is 30 frames/s.
"""

import dataclasses
import re
import zlib

import numpy as np

from hpof_jax.geometry import temporal

FPS = 30
LONGEST = 7200  # seconds of a file: resampling to 30 frames/s then takes little memory


@dataclasses.dataclass(frozen=True)
class MotionClip:
    """One person's motion, T frames at 30 frames/s.

    Raises:
      ValueError: a wrong shape or dtype, NaN or infinity, or no frame.
    """

    name: str  # of the file, with its extension
    motion_class: str  # such as "walk" or "punch": see `motion_class`
    pose: np.ndarray  # (T, 24, 3) float32 axis-angle; the root comes first and is in the world frame
    transl: np.ndarray  # (T, 3) float32 metres, the pelvis joint in the world frame
    betas: np.ndarray | None = None  # (10,) float32, if the source has the body's shape

    def __post_init__(self):
        frames = len(self.pose)
        wanted = {"pose": (frames, 24, 3), "transl": (frames, 3), "betas": (10,)}
        for field, shape in wanted.items():
            array = getattr(self, field)
            if array is None and field == "betas":
                continue
            if array.shape != shape or array.dtype != np.float32:
                raise ValueError(
                    f"{field} of {self.name} is {array.dtype}{array.shape} instead of float32{shape}."
                )
            if not np.isfinite(array).all():
                raise ValueError(f"{field} of {self.name} holds NaN or infinity.")
        if frames == 0:
            raise ValueError(f"{self.name} has no frame.")


def is_validation(name: str) -> bool:
    """Whether a file is in the validation split: the CRC-32 of its base name is 0 modulo 10."""
    return zlib.crc32(re.split(r"[/\\]", name)[-1].encode()) % 10 == 0


def motion_class(name: str, folder: str = "") -> str:
    """The motion class in a file's name: 'dataset-1_walk-left_tired_001.bvh' -> 'walk'.

    Numbers, directions, styles, and names of subjects and data sets are dropped. The other words are joined
    by '_'. A name without such words gives `folder`.
    """
    stem = re.split(r"[/\\]", name)[-1].rsplit(".", 1)[0].lower()
    stem = re.sub(r"^(dataset-\d+|train|test|val|sie)_", "", stem)
    words = []
    for token in re.split(r"[_\s]+", stem):
        word = re.sub(r"\d+$", "", token.split("-")[0])
        word = _VERBS.get(word, word)
        if len(word) > 1 and not word.isdigit() and token not in _NOT_A_MOTION and word not in _NOT_A_MOTION:
            words.append(word)
    return "_".join(words) or folder.lower() or "unknown"


_VERBS = {"walking": "walk", "running": "run", "jumping": "jump"}
_NOT_A_MOTION = frozenset(
    "forward backward back left right facedown faceup long short stealthy poses stageii active angry "
    "childish chimpira elderly exhausted feminine giant happy masculine masculinity musical normal not "
    "not-confident old proud sad tired youthful".split()
)


def resample(pose: np.ndarray, transl: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Motion at `fps` -> the same motion at 30 frames/s: pose (T, 24, 3) axis-angle and transl (T, 3).

    A multiple of 30 keeps every n-th frame. Other rates are interpolated: slerp for rotations, linear for
    `transl`.
    """
    stride = round(fps / FPS)
    if stride >= 1 and abs(fps / FPS - stride) < 0.02 * stride:
        return pose[::stride], transl[::stride]
    position = temporal.positions(len(pose), fps, FPS)
    position = position[: int((len(pose) - 1) / fps * FPS + 1e-6) + 1]  # drops a shorter last step
    return temporal.slerp(pose, position), temporal.linear(transl, position)
