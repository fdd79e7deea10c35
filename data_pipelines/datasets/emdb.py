"""EMDB (Kaufmann et al., ICCV 2023): video outdoors by a moving phone, SMPL from electromagnetic sensors; for evaluation.

SMPL's body at rest is not in the files, so the translation in the camera's frame is that of SMPL's mean body: it is off
by a few centimetres, which no protocol of a single camera's frame sees.
"""

import pathlib
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.loaders import array, read_pickle, reading, take
from hpof_jax.observe.video import read_video

WHAT = "a readable sequence of EMDB"
COUNT = 81
FPS = 30.0


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    """Nothing but the test split is read."""
    if "test" not in splits:
        return base.Found([], [])
    paths = sorted(raw.glob("P[0-9]/*/*_data.pkl"))
    missing = [f"{COUNT - len(paths)} of {COUNT} files P*/SEQUENCE/*_data.pkl"] * (len(paths) < COUNT)
    units = []
    for path in paths:
        frames = path.parent / "images"
        if not frames.is_dir():
            missing.append(f"{frames.relative_to(raw)}/")
        name = path.name.removesuffix("_data.pkl")
        units.append(base.Unit(name, "test", path, frames if frames.is_dir() else None))
    return base.Found(units, missing)


def read(unit: base.Unit) -> base.Reading:
    content = read_pickle(unit.path, WHAT)
    with reading(unit.path, WHAT):
        smpl, camera, boxes = (take(content, key) for key in ("smpl", "camera", "bboxes"))
        good = array(content, "good_frames_mask").astype(bool)
        frames = len(good)
        world_to_camera = array(camera, "extrinsics")[:, :3].astype(np.float64)
        intrinsics = array(camera, "intrinsics")
        parts = [array(smpl, name).reshape(frames, -1, 3) for name in ("poses_root", "poses_body")]
        pose = np.concatenate(parts, axis=1).astype(np.float64)
        trans = array(smpl, "trans").astype(np.float64)
        pose, transl = base.into_camera(pose, trans, base.SMPL_PELVIS, world_to_camera)
        seen = good.copy()
        seen[array(boxes, "invalid_idxs").astype(int).reshape(-1)] = False
        subsets = [name for name in ("emdb1", "emdb2") if bool(array(content, name).item())]
        person = base.checked(
            base.Sequence(
                person="0",
                fps=FPS,
                image_size=(float(array(camera, "height").item()), float(array(camera, "width").item())),
                frame_index=np.arange(frames),
                valid=good,
                boxes=base.boxes_of_corners(array(boxes, "bboxes").astype(np.float64), seen),
                focal_length=float(intrinsics[0, 0] + intrinsics[1, 1]) / 2,
                principal_point=(float(intrinsics[0, 2]), float(intrinsics[1, 2])),
                pose=pose,
                transl=transl,
                betas=array(smpl, "betas").reshape(-1)[:10],
                gender=str(take(content, "gender")),
                world_to_camera=world_to_camera,
                motion_class="emdb",
                subsets=tuple(subsets) or ("emdb",),  # neither: no protocol counts it
            )
        )
    return base.Reading([person], unit.frames and (lambda: read_video(unit.frames)[0]))


DATASET = base.DataSet(
    name="emdb",
    title="EMDB",
    url="https://eth-ait.github.io/emdb/",
    licence="its own, for non-commercial research; an application is needed, which the authors grant",
    citation="Kaufmann, Song, Guo, Shen, Jiang, Tang, Zárate and Hilliges: "
    "EMDB: The Electromagnetic Database of Global 3D Human Pose and Shape in the Wild, ICCV 2023",
    files=(
        base.File("P{0..9}/SEQUENCE/P*_data.pkl", "the archives of the ten people, unpacked: 81 files"),
        base.File("P{0..9}/SEQUENCE/images/*.jpg", "the same: 81 folders"),
    ),
    find=find,
    read=read,
)
