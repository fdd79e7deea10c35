"""PoseTrack18 (Andriluka et al., CVPR 2018): videos of several people with points of some frames and track numbers.

15 of the 17 points are annotated; the ears are not. Each track becomes a person. Between annotated frames the box is
interpolated and the detector's landmarks are the target. Ignore regions, which hold people without annotations, matter
to detectors of everybody only. The test split has no annotations.
"""

import pathlib
import re
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.loaders import read_json, reading, take
from hpof_jax.observe.video import read_video

WHAT = "a readable annotation of PoseTrack18"
# Papers count 593 videos for training and 170 for validation, of which the published labels may have 74: that number
# and the site's own were not checked. Fewer than these are not all.
COUNTS = {"train": 593, "val": 74}
FPS = 30.0  # not stated by the data set
LEAST_FRAMES = 4  # annotated frames of a person; tracks with fewer are left out
# The points' names, in the order of the files.
JOINTS = tuple(
    """nose neck head_top_lsp - - left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip
    right_hip left_knee right_knee left_ankle right_ankle""".split()
)


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    units, missing = [], []
    for split, count in COUNTS.items():
        name = "validation" if split == "val" else split
        if name not in splits:
            continue
        folders = (raw / "posetrack_data" / "annotations" / split, raw / "annotations" / split)
        files = [path for folder in folders for path in sorted(folder.glob("*.json"))]
        if len(files) < count:
            missing.append(f"{count - len(files)} of {count} files annotations/{split}/*.json")
        for path in files:
            frames = raw / "images" / split / path.stem
            if not frames.is_dir():
                missing.append(f"images/{split}/{path.stem}/")
            units.append(base.Unit(path.stem, name, path, frames if frames.is_dir() else None))
    return base.Found(units, missing)


def read(unit: base.Unit) -> base.Reading:
    content = read_json(unit.path, WHAT)
    with reading(unit.path, WHAT):
        # The frames' numbers are those of their files, which do not all begin with 0.
        names = {
            image["id"]: int(re.findall(r"\d+", str(image["file_name"]))[-1])
            for image in take(content, "images")
        }
        order = {number: row for row, number in enumerate(sorted(set(names.values())))}
        tracks: dict[int, dict[int, np.ndarray]] = {}
        for annotation in take(content, "annotations"):
            points = np.array(annotation.get("keypoints", ()), np.float64)
            if points.size != 3 * len(JOINTS):
                continue  # the head's box alone
            row = order[names[annotation["image_id"]]]
            tracks.setdefault(int(annotation["track_id"]), {})[row] = points.reshape(-1, 3)
        size = _image_size(unit, tracks)
        people = [
            base.checked(_person(track, found, size))
            for track, found in sorted(tracks.items())
            if len(found) >= LEAST_FRAMES
        ]
    return base.Reading(people, unit.frames and (lambda: read_video(unit.frames)[0]))


def _person(track: int, found: dict[int, np.ndarray], size: tuple[float, float]) -> base.Sequence:
    first, last = min(found), max(found)
    points = np.zeros((last - first + 1, len(JOINTS), 3))
    for row, annotated in found.items():
        points[row - first] = annotated
    there = points[..., 2] > 0
    return base.Sequence(
        person=str(track),
        fps=FPS,
        image_size=size,
        frame_index=np.arange(first, last + 1),
        valid=there.any(axis=1),
        boxes=base.boxes_of(points[..., :2], there, size),
        keypoints_2d=base.as_points(base.with_confidence(points[..., :2], there), JOINTS),
        motion_class="posetrack",
    )


def _image_size(unit: base.Unit, tracks: dict[int, dict[int, np.ndarray]]) -> tuple[float, float]:
    """Of the frames; without them, the extent of the annotated points."""
    if unit.frames:
        height, width = read_video(unit.frames, max_frames=1)[1].image_size
        return float(height), float(width)
    points = [found for track in tracks.values() for found in track.values()]
    extent = np.max([point[:, :2].max(axis=0) for point in points], axis=0) if points else np.ones(2)
    return float(max(extent[1], 1)), float(max(extent[0], 1))


DATASET = base.DataSet(
    name="posetrack",
    title="PoseTrack18",
    url="https://posetrack.net/",
    licence="its own, for non-commercial research; an account was needed. The site has been unreachable at times",
    citation="Andriluka, Iqbal, Insafutdinov, Pishchulin, Milan, Gall and Schiele: "
    "PoseTrack: A Benchmark for Human Pose Estimation and Tracking, CVPR 2018",
    files=(
        base.File(
            "posetrack_data/annotations/{train,val}/*.json", "posetrack18_v0.45_public_labels, unpacked"
        ),
        base.File("images/{train,val}/SEQUENCE/*.jpg", "the 18 archives of the images, unpacked together"),
    ),
    find=find,
    read=read,
)
