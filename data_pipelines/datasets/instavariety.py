"""InstaVariety (Kanazawa et al., HMMR, CVPR 2019): Internet videos of 84 hashtags with OpenPose's points, as tfrecords.

A record is a video of one person: pictures that are already cut out, 224 or 300 pixels wide, and points. Where the
record also has HMR's features (`image/phis`), as the published ones have, the points are between -1 and 1 and each
picture was moved and scaled at random. The pictures are taken as the frames of a video. OpenPose's points are no
annotations of people, but the field uses them so.
"""

import pathlib
from collections.abc import Collection

import cv2
import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.loaders import reading
from data_pipelines.motion.tfrecords import find_records, parse_example
from hpof_jax.archives import damage

WHAT = "a readable tfrecord of InstaVariety"
LARGEST_RECORD = 2**28  # bytes
LONGEST = 10_000  # frames
FPS = 30.0  # not stated by the data set
# The points of `image/xys`, `image/face_pts` and `image/toe_pts`. "-": heels, toes, and the head, which is never
# there. OpenPose's neck is halfway between the shoulders.
JOINTS = tuple(
    """- right_knee right_hip left_hip left_knee - right_wrist right_elbow right_shoulder left_shoulder left_elbow
    left_wrist thorax - nose left_eye right_eye left_ear right_ear - - - - left_ankle right_ankle""".split()
)
BODY, FACE, TOES = 14, 5, 6


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    """Each record is a unit. Only the lengths of the records are read, so a cut file gives those before the cut."""
    files = sorted({*raw.rglob("*.tfrecord"), *raw.rglob("*.tfrecords")})
    units, missing = [], []
    for split in (split for split in ("train", "test") if split in splits):
        here = [path for path in files if split in path.relative_to(raw).parts[:-1]]
        if not here:
            missing.append(f"{split}/*.tfrecord")
        for path in here:
            with damage(path, WHAT, "download it again"):
                records = [*find_records(path)]
            for number, (start, size) in enumerate(records):
                units.append(base.Unit(f"{path.stem}_{number:04d}", split, path, path, f"{start}:{size}"))
    return base.Found(units, missing)


def read(unit: base.Unit) -> base.Reading:
    start, size = (int(number) for number in unit.part.split(":"))
    with reading(unit.path, WHAT):
        if size > LARGEST_RECORD:
            raise ValueError(f"a record of {size} bytes")
        with unit.path.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        features = parse_example(content)
        frames = int(features["meta/N"].int64_list.value[0])
        if not 2 <= frames <= LONGEST:
            raise ValueError(f"a video of {frames} frames")
        pictures = [bytes(picture) for picture in features["image/encoded"].bytes_list.value]
        if len(pictures) != frames:
            raise ValueError(f"{len(pictures)} pictures of {frames} frames")
        height, width = _decode(pictures[0]).shape[:2]
        points, visible = _points(features, frames)
        if features["image/phis"].float_list.value:
            points = (points + 1) / 2 * [width, height]
        person = base.of_points(points, visible, JOINTS, FPS, (height, width), "instavariety")
    return base.Reading([person], lambda: map(_decode, pictures))


def _points(features, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (T, 25, 2) and whether they are visible, (T, 25). The file has x of all points, then y, then visibility."""
    body = np.array(features["image/xys"].float_list.value, np.float64).reshape(frames, 2, BODY)
    visible = np.array(features["image/visibilities"].int64_list.value).reshape(frames, 1, BODY)
    parts = [np.concatenate([body, visible], axis=1)]
    for name, count in (("image/face_pts", FACE), ("image/toe_pts", TOES)):
        parts.append(np.array(features[name].float_list.value, np.float64).reshape(frames, 3, count))
    points = np.moveaxis(np.concatenate(parts, axis=2), 1, 2)
    return points[..., :2], points[..., 2] > 0


def _decode(picture: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) if picture else None
    if image is None:
        raise ValueError("a picture that cannot be read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


DATASET = base.DataSet(
    name="instavariety",
    title="InstaVariety",
    url="https://github.com/akanazawa/human_dynamics/blob/master/doc/insta_variety.md",
    licence="none is stated for the tfrecords; the videos belong to those who uploaded them",
    citation="Kanazawa, Zhang, Felsen and Malik: Learning 3D Human Dynamics from Video, CVPR 2019",
    files=(
        base.File("train/*.tfrecord", "the tfrecords of HMMR's page, train"),
        base.File("test/*.tfrecord", "the same, test"),
    ),
    find=find,
    read=read,
)
