"""PennAction (Zhang et al., ICCV 2013): 2326 videos of sports with 13 annotated points in every frame."""

import pathlib
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.loaders import read_matlab, reading
from hpof_jax.observe.video import read_video

WHAT = "a readable label of PennAction"
COUNT = 2326
FPS = 30.0  # not stated by the data set
# The points' names; "-" is the head, whose place no other set shares.
JOINTS = tuple(
    """- left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee
    right_knee left_ankle right_ankle""".split()
)
_KEYS = ("x", "y", "visibility", "train", "dimensions", "action")


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    """The label tells the split, so all are needed and opened: a damaged one is a unit of the training split."""
    labels = sorted((raw / "labels").glob("*.mat"))
    missing = [f"{COUNT - len(labels)} of {COUNT} files labels/*.mat"] * (len(labels) < COUNT)
    units = []
    for path in labels:
        frames, split = raw / "frames" / path.stem, _split(path)
        if split not in splits:
            continue
        if not frames.is_dir():
            missing.append(f"frames/{path.stem}/")
        units.append(base.Unit(path.stem, split, path, frames if frames.is_dir() else None))
    return base.Found(units, missing)


def _split(path: pathlib.Path) -> str:
    try:
        return "train" if read_matlab(path, ("train",), WHAT)["train"].item() == 1 else "test"
    except ValueError:  # UserError, too: `read` says what is wrong
        return "train"


def read(unit: base.Unit) -> base.Reading:
    found = read_matlab(unit.path, _KEYS, WHAT)
    with reading(unit.path, WHAT):
        height, width, count = (float(number) for number in found["dimensions"].reshape(-1)[:3])
        points = np.stack([np.asarray(found[name], np.float64) for name in ("x", "y")], axis=-1)
        visible = np.asarray(found["visibility"]) > 0
        if points.shape[1:] != (len(JOINTS), 2) or visible.shape != points.shape[:2]:
            raise ValueError(f"points of shape {points.shape} and visibilities of shape {visible.shape}")
        frames = min(len(points), int(count))  # a few labels have other numbers of frames than their videos
        points, visible = points[:frames] - 0.5, visible[:frames]  # MATLAB's first pixel has its centre at 1
        person = base.of_points(
            points, visible, JOINTS, FPS, (height, width), str(found["action"].reshape(-1)[0])
        )
    return base.Reading([person], unit.frames and (lambda: read_video(unit.frames)[0]))


DATASET = base.DataSet(
    name="penn_action",
    title="PennAction",
    url="https://dreamdragon.github.io/PennAction/",
    licence="none is stated on its page; research use is customary",
    citation="Zhang, Zhu and Derpanis: "
    "From Actemes to Action: A Strongly-Supervised Representation for Detailed Action Understanding, ICCV 2013",
    files=(
        base.File("labels/0001.mat ... 2326.mat", "Penn_Action.tar.gz, unpacked"),
        base.File("frames/0001/000001.jpg ...", "Penn_Action.tar.gz, unpacked: 2326 folders"),
    ),
    find=find,
    read=read,
)
