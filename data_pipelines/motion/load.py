"""Reads the motion files of a folder or an archive, split by file, and caches the converted motion.

clips = load_source("bvh:recordings/", split="train")
clips = load_source("amass:AMASS/", split="validation")
"""

import hashlib
import pathlib

import numpy as np
from absl import logging

from data_pipelines.motion import amass, bvh
from data_pipelines.motion.clip import MotionClip, is_validation
from hpof_jax.archives import check_array, damage, open_archive, read_arrays
from hpof_jax.atomic import replacing
from hpof_jax.downloads import cache_dir
from hpof_jax.errors import UserError

CONVERTER_VERSION = 3  # part of the cache key: raise it when a converter gives other numbers
SPLITS = ("train", "validation", "all")


def load_source(spec: str, split: str = "all", cache: bool = True) -> list[MotionClip]:
    """Reads every motion file of a folder (recursively) or archive.

    Args:
      spec: "bvh:FOLDER", "bvh:ARCHIVE.zip" or "amass:FOLDER".
      split: "train", "validation" (one file in ten, see `is_validation`) or "all".
      cache: whether converted clips are kept in the user's cache folder. Changed files are converted again.

    Returns:
      clips, ordered by path. Files that cannot be read are left out with a warning.

    Raises:
      UserError: an unknown kind or split, nothing at the path, no motion file there, or none that can be
      read.
    """
    if split not in SPLITS:
        raise UserError(f"There is no split '{split}': choose one of {', '.join(SPLITS)}.")
    kind, _, path = spec.partition(":")
    if kind not in ("bvh", "amass") or not path:
        raise UserError(f"'{spec}' is no motion source: write bvh:FOLDER, bvh:ARCHIVE.zip or amass:FOLDER.")
    source = pathlib.Path(path).expanduser()
    files = list_files(source, ".bvh" if kind == "bvh" else ".npz")
    stored = cache_dir() / "motion" / f"{kind}-{_fingerprint(source, files)}.npz"
    clips = _read_cache(stored) if cache and stored.is_file() else None
    if clips is None:
        clips = _read_files(kind, source, files)
        if cache:
            _write_cache(stored, clips)
    wanted = {"train": False, "validation": True}
    return [clip for clip in clips if split == "all" or is_validation(clip.name) == wanted[split]]


def list_files(source: pathlib.Path, suffix: str) -> list[tuple[str, int, float]]:
    """(path in the source, size, time of change) of each motion file, sorted by path.

    Raises:
      UserError: no folder or archive at the path, or no motion file in it.
    """
    if source.is_dir():
        found = (path for path in source.rglob("*") if path.suffix.lower() == suffix and path.is_file())
        files = [
            (path.relative_to(source).as_posix(), path.stat().st_size, path.stat().st_mtime) for path in found
        ]
    elif source.is_file() and source.suffix.lower() == ".zip" and suffix == ".bvh":
        with open_archive(source, "a readable zip archive", "download it again") as archive:
            files = [
                (name, member.size, float(member.crc))
                for name, member in archive.members.items()
                if name.lower().endswith(suffix)
            ]
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
    reader = bvh if kind == "bvh" else amass
    clips, failures = reader.read_all(source, [name for name, _, _ in files])
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


def _read_cache(path: pathlib.Path) -> list[MotionClip] | None:
    """The clips of a file that `_write_cache` wrote, or None, with a warning, if it is damaged."""
    kind = "a readable cache", "the motion is converted again"
    try:
        stored = read_arrays(path, *kind)
        with damage(path, *kind):
            return _to_clips(stored)
    except UserError as error:
        logging.warning("%s", error)
        return None


def _to_clips(stored: dict[str, np.ndarray]) -> list[MotionClip]:
    lengths = stored["lengths"]
    count, (frames, *_) = lengths.size, (*stored["pose"].shape, 0)
    check_array("pose", stored["pose"], (frames, 24, 3))
    check_array("lengths", lengths, (count,), "iu")
    check_array("names", stored["names"], (count,), "U")
    check_array("classes", stored["classes"], (count,), "U")
    check_array("transl", stored["transl"], (frames, 3))
    if stored["betas"].shape != (count, 10) or stored["betas"].dtype != np.float32:
        raise ValueError(f"'betas' is {stored['betas'].dtype}{stored['betas'].shape}")
    if not count or lengths.min() < 1 or lengths.max() > frames or lengths.sum() != frames:
        raise ValueError("the lengths of its clips are not those of its frames")
    ends = np.cumsum(lengths)[:-1]
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
