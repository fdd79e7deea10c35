"""Reads the clips of folders that `python -m hpof_jax.data render` made."""

import argparse
import pathlib
from collections.abc import Iterator

import numpy as np

from hpof_jax.body.skeletons import SMPL_LIMBS
from hpof_jax.errors import UserError

Clip = dict[str, np.ndarray]


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders of rendered clips, one or more, to a benchmark's options."""
    parser.add_argument(
        "folders", nargs="+", type=pathlib.Path, help="made by python -m hpof_jax.data render"
    )


def read_clips(folder: pathlib.Path) -> Iterator[tuple[int, Clip]]:
    """The number and the arrays of each clip in a folder.

    Raises:
      UserError: there is none.
    """
    paths = sorted(folder.glob("clip_*.npz"))
    if not paths:
        raise UserError(
            f"There is no rendered clip in {folder}: make some with python -m hpof_jax.data render."
        )
    for path in paths:
        with np.load(path, allow_pickle=False) as clip:
            yield int(path.stem.rpartition("_")[2]), dict(clip)


def true_limbs(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth of the limb joints: (T, 12, 3) metres, camera frame, and their pixels (T, 12, 2)."""
    height, width = clip["image_size"]
    joints = clip["joints"][:, SMPL_LIMBS]
    pixels = joints[..., :2] / joints[..., 2:] * clip["true_focal_length"] + (width / 2, height / 2)
    return joints, pixels
