"""Motion sources: clips of one person's motion from BVH or AMASS files, split by file, cached after the first reading.

    clips = load_source("bvh:recordings/", split="train")
    clips = load_source("amass:AMASS/", split="validation")

World frame of every clip: y up, floor at y = 0, metres, 30 frames a second. A person with the identity as root
rotation stands upright and faces +z, as the body does at rest.
"""

import dataclasses
import functools
import hashlib
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from absl import logging
from scipy.spatial.transform import Rotation

from hpof_jax.body.files import load_body
from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.downloads import cache_dir
from hpof_jax.errors import UserError
from hpof_jax.files import replacing

FPS = 30
CONVERTER_VERSION = 3  # part of the cache's key: raise it whenever a converter gives other numbers
SPLITS = ("train", "validation", "all")


@dataclasses.dataclass(frozen=True)
class MotionClip:
    """One person's motion, T frames at 30 a second. Raises ValueError for wrong shapes and for NaN."""

    name: str  # the file's name, with its extension
    motion_class: str  # "walk", "punch": see `motion_class`
    pose: np.ndarray  # (T, 24, 3) float32 axis-angle, the root first and in the world frame
    transl: np.ndarray  # (T, 3) float32 metres, the pelvis joint in the world frame
    betas: np.ndarray | None = None  # (10,) float32 where the source knows the body's shape

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


def load_source(spec: str, split: str = "all", cache: bool = True) -> list[MotionClip]:
    """Reads every motion file of a folder (recursively) or archive.

    Args:
      spec: "bvh:FOLDER", "bvh:ARCHIVE.zip" or "amass:FOLDER".
      split: "train", "validation" (one file in ten, chosen by its name, see `is_validation`) or "all".
      cache: keep the converted clips in the user's cache folder; changed files are converted anew.

    Returns:
      clips, ordered by path. Files that cannot be read are left out with a warning.

    Raises:
      UserError: an unknown kind, nothing at the path, no motion file there, or none that can be read.
    """
    if split not in SPLITS:
        raise UserError(f"'{split}' is no split: choose one of {', '.join(SPLITS)}.")
    kind, _, path = spec.partition(":")
    if kind not in ("bvh", "amass") or not path:
        raise UserError(f"'{spec}' is no motion source: write bvh:FOLDER, bvh:ARCHIVE.zip or amass:FOLDER.")
    source = pathlib.Path(path).expanduser()
    files = list_files(source, ".bvh" if kind == "bvh" else ".npz")
    stored = cache_dir() / "motion" / f"{kind}-{_fingerprint(source, files)}.npz"
    if cache and stored.is_file():
        clips = _read_cache(stored)
    else:
        clips = _read_files(kind, source, files)
        if cache:
            _write_cache(stored, clips)
    wanted = {"train": False, "validation": True}
    return [clip for clip in clips if split == "all" or is_validation(clip.name) == wanted[split]]


def is_validation(name: str) -> bool:
    """Whether a file belongs to the validation split: CRC-32 of its base name (with extension) is 0 modulo 10."""
    return zlib.crc32(re.split(r"[/\\]", name)[-1].encode()) % 10 == 0


def motion_class(name: str, folder: str = "") -> str:
    """The kind of motion that a file's name tells: 'dataset-1_walk-left_tired_001.bvh' -> 'walk'.

    Numbers, directions, styles, subjects' and data sets' names are dropped; what is left of the words is joined by
    '_'. A name without words gives `folder`.
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
    "forward backward back left right facedown faceup long short stealthy poses stageii active angry childish chimpira "
    "elderly exhausted feminine giant happy masculine masculinity musical normal not not-confident old proud sad tired "
    "youthful".split()
)


def resample(pose: np.ndarray, transl: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """(T, 24, 3) axis-angle and (T, 3) at `fps` -> the same motion at 30 frames a second.

    A multiple of 30 keeps every n-th frame as it is; other rates are interpolated (slerp, and linearly).
    """
    stride = round(fps / FPS)
    if stride >= 1 and abs(fps / FPS - stride) < 0.02 * stride:
        return pose[::stride], transl[::stride]
    old = np.arange(len(pose)) / fps
    new = np.arange(int(old[-1] * FPS + 1e-6) + 1) / FPS
    if len(old) < 2:
        return pose, transl
    below = np.minimum((new * fps).astype(int), len(old) - 2)
    part = (new * fps - below)[:, None]
    start = Rotation.from_rotvec(pose[below].reshape(-1, 3))
    step = (start.inv() * Rotation.from_rotvec(pose[below + 1].reshape(-1, 3))).as_rotvec().reshape(-1, 24, 3)
    turned = start * Rotation.from_rotvec((step * part[..., None]).reshape(-1, 3))
    return turned.as_rotvec().reshape(-1, 24, 3), transl[below] * (1 - part) + transl[below + 1] * part


@functools.cache
def rest_skeleton() -> np.ndarray:
    """(24, 3) joints of the free body's mean shape at rest, the pelvis near the origin. Metres."""
    return np.asarray(load_body().J_template, np.float64)


@functools.cache
def sole_height() -> float:
    """The height of the free body's lowest vertex at rest."""
    return float(np.asarray(load_body().v_template)[:, 1].min())


def joint_positions(pose: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """Joints of the mean shape: axis-angle (..., 24, 3) and pelvis (..., 3) -> (..., 24, 3). Metres, world frame."""
    local = Rotation.from_rotvec(np.reshape(pose, (-1, 3))).as_matrix().reshape(*pose.shape[:-1], 3, 3)
    rest, turns, places = (
        rest_skeleton(),
        [local[..., 0, :, :]],
        [np.broadcast_to(transl, (*pose.shape[:-2], 3))],
    )
    for joint, parent in enumerate(SMPL_PARENTS[1:], start=1):
        places.append(places[parent] + turns[parent] @ (rest[joint] - rest[parent]))
        turns.append(turns[parent] @ local[..., joint, :, :])
    return np.stack(places, axis=-2)


def on_floor(pose: np.ndarray, transl: np.ndarray, percentile: float = 5.0) -> np.ndarray:
    """Shifts a motion, as a whole, up or down so that its feet stand on y = 0 in its low frames.

    Args:
      pose: (T, 24, 3). transl: (T, 3) the pelvis.
      percentile: of the frames' lowest soles; a flight is above the floor, a noisy frame may be below it.
    """
    feet = np.array([7, 8, 10, 11])
    soles = joint_positions(pose, transl)[:, feet, 1] - (rest_skeleton()[feet, 1] - sole_height())
    return transl - np.array([0.0, np.percentile(soles.min(axis=1), percentile), 0.0])


def list_files(source: pathlib.Path, suffix: str) -> list[tuple[str, int, float]]:
    """(path inside the source, size, time of change) of each motion file, sorted by path."""
    if source.is_dir():
        found = (path for path in source.rglob("*") if path.suffix.lower() == suffix and path.is_file())
        files = [
            (path.relative_to(source).as_posix(), path.stat().st_size, path.stat().st_mtime) for path in found
        ]
    elif source.is_file() and source.suffix.lower() == ".zip" and suffix == ".bvh":
        try:
            with zipfile.ZipFile(source) as archive:
                members = [info for info in archive.infolist() if info.filename.lower().endswith(suffix)]
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(
                f"{source} is not a readable zip archive ({error}): download it again."
            ) from error
        files = [(info.filename, info.file_size, float(info.CRC)) for info in members]
    else:
        raise UserError(
            f"There is no motion folder{' or zip' * (suffix == '.bvh')} at {source}: give an existing one."
        )
    if not files:
        raise UserError(f"{source} holds no {suffix} file: give the folder of the recordings.")
    return sorted(files)


def _fingerprint(source: pathlib.Path, files: list[tuple[str, int, float]]) -> str:
    text = repr((CONVERTER_VERSION, source.name, files))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _read_files(kind: str, source: pathlib.Path, files: list[tuple[str, int, float]]) -> list[MotionClip]:
    # Here, because both import MotionClip from this file.
    from data_pipelines import amass, bvh

    read: Callable = bvh.read_all if kind == "bvh" else amass.read_all
    clips, failures = read(source, [name for name, _, _ in files])
    for sentence in failures:
        logging.warning("Left out: %s", sentence)
    if not clips:
        raise UserError(f"No motion file of {source} could be read; the first: {failures[0]}")
    return clips


def _write_cache(path: pathlib.Path, clips: list[MotionClip]) -> None:
    lengths = np.array([len(clip.pose) for clip in clips])
    betas = [np.full(10, np.nan, np.float32) if clip.betas is None else clip.betas for clip in clips]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, "The cache") as partial, partial.open("wb") as file:
            np.savez(
                file,
                names=np.array([clip.name for clip in clips]),
                classes=np.array([clip.motion_class for clip in clips]),
                lengths=lengths,
                pose=np.concatenate([clip.pose for clip in clips]),
                transl=np.concatenate([clip.transl for clip in clips]),
                betas=np.stack(betas),
            )
    except (OSError, UserError) as error:
        logging.warning("The converted motion was not cached in %s: %s", path.parent, error)


def _read_cache(path: pathlib.Path) -> list[MotionClip]:
    with np.load(path, allow_pickle=False) as file:
        stored = {key: file[key] for key in file.files}
    ends = np.cumsum(stored["lengths"])[:-1]
    parts = zip(
        stored["names"],
        stored["classes"],
        np.split(stored["pose"], ends),
        np.split(stored["transl"], ends),
        stored["betas"],
        strict=True,
    )
    return [
        MotionClip(str(name), str(kind), pose, transl, None if np.isnan(betas).any() else betas)
        for name, kind, pose, transl, betas in parts
    ]
