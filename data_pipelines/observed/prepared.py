"""Prepared data sets: real videos with annotations, on which the detector has been run.

`python -m hpof_jax.data prepare` writes a folder with `manifest.json` and, in `train/`, `validation/` and `test/`, one
`clip_NAME.npz` for each person and video; those of `train/` are cut into parts of at most `LONGEST` frames. A clip has
the keys of `hpof_jax.observe.clip.Observations`, which can load it, and those of a rendered clip (`observed.rendered`):
`pose (T, 24, 3)`, `transl (T, 3)` and `betas (10,)` of the free body in the camera frame, `true_focal_length ()`,
`name`, `motion_class`, `validation`. The others are:

| key | what |
|---|---|
| `has_smpl`, `has_3d` () bool | whether pose, transl and betas are known; whether anything is known in 3D |
| `valid` (T,) bool | the frame is annotated, and counts in the evaluation |
| `frame_index` (T,) | the numbers of the frames in the video, from 0 |
| `keypoints_2d` (T, 24, 3) | annotated points in pixels, confidence last, named as in `skeletons.SPIN24` |
| `keypoints_3d` (T, 24, 4) | the same in metres, camera frame |
| `features` (T, 2048) float16 | image features, zeros where the person is not in the picture |
| `backbone` | fingerprint of the ResNet-50 that made them |
| `smpl_pose`, `smpl_transl`, `smpl_betas`, `gender`, `body` | SMPL's own numbers, for the evaluation |
| `reference` (T, K, 3), `reference_set` | the points of the data set's protocol, where it is not SMPL |
| `joints` (T, 24, 3), `world_to_camera` (T, 3, 4) | where known |
| `background_*` | of `observe.background`, for the evaluation in the world: test clips whose camera moves |
| `subsets` | names of the protocols that count the clip, separated by commas; empty: all |

Where a key is missing, the data set has no such annotation. All pixels are those of a camera whose principal point is
the middle of the frame: observations and annotations are moved by the difference.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from data_pipelines.feed import Batch
from data_pipelines.motion.windows import frames_text
from data_pipelines.observed import augment as augmentation
from data_pipelines.observed.flow import stored_flow
from data_pipelines.observed.rendered import LEAST_SEEN
from hpof_jax.archives import check_array, damage, open_archive, read_arrays
from hpof_jax.body.skeletons import SPIN24, keypoint_names
from hpof_jax.errors import UserError
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.clip_fields import IMAGE_FEATURES

LONGEST = 240  # frames of a clip for training
POINTS = len(SPIN24)
KIND = "a prepared clip", "delete it and prepare it again"
# Read at once; masks, flow and features stay on the disk until a window needs them.
_PER_FRAME = {
    "landmarks_2d": (33, 3),
    "landmarks_3d": (33, 3),
    "seen": (),
    "pose": (24, 3),
    "transl": (3,),
    "valid": (),
    "keypoints_2d": (POINTS, 3),
    "keypoints_3d": (POINTS, 4),
}
_PER_CLIP = {
    "image_size": (2,),
    "focal_length": (),
    "true_focal_length": (),
    "betas": (10,),
    "has_smpl": (),
    "has_3d": (),
}
_OPTIONAL = {"keypoints_2d", "keypoints_3d"}
_BOOLS = {"seen", "valid", "has_smpl", "has_3d"}


class PreparedClips:
    """The observed source of one folder and split. Clips differ in length; shorter windows are padded.

    Damaged clips are left out with a warning, and those that hardly show the person without one.

    Raises:
      UserError: no clip of the split in the folder, or none that can be read.
    """

    labelled = True
    points = True  # batches have annotated points
    image_features = True  # clips may store image features

    def __init__(self, folder: str | os.PathLike, split: str):
        self._folder = pathlib.Path(folder).expanduser()
        self._clips = _read(self._folder, split)
        if not self._clips:
            raise UserError(
                f"{self._folder} has no prepared clip in its {split} split: "
                "make some with python -m hpof_jax.data prepare."
            )
        odds = np.sqrt([len(clip["seen"]) for clip in self._clips])
        self._odds = odds / odds.sum()

    @property
    def classes(self) -> set[str]:
        return {clip["motion_class"] for clip in self._clips}

    @property
    def backbones(self) -> set[str]:
        """Fingerprints of the ResNet-50s that made the clips' image features."""
        return {clip["backbone"] for clip in self._clips} - {""}

    def draw_batch(
        self,
        rng: np.random.Generator,
        count: int,
        frames: int,
        augment: bool,
        flow_frames: int = 0,
        origins: list[str] | None = None,
        features: bool = False,
    ) -> tuple[Batch, np.ndarray]:
        """Random windows, see `sources.ObservedSource`; also keypoints_2d (B, T, 24, 3) and keypoints_3d (B, T, 24, 4).

        `augment` mirrors some windows and adds failures of the detector. `has_flow` is false without stored flow.
        `features` adds image_features (B, T, 2048) and has_features (B, T); windows that have some are not mirrored,
        because the features of the mirrored pictures are unknown.
        """
        chosen = [self._clips[number] for number in rng.choice(len(self._clips), size=count, p=self._odds)]
        rows, positions = [], []
        for clip in chosen:
            start = rng.integers(max(len(clip["seen"]) - frames, 0) + 1)
            positions.append(start + np.arange(frames))
            rows.append(self._row(clip, positions[-1], features))
        batch = {key: np.stack([row[key] for row in rows]) for key in rows[0] if key != "valid"}
        if augment:
            mirrored = rng.random(count) < augmentation.MIRROR_SHARE
            if features:
                mirrored &= ~batch["has_features"].any(axis=1)
            batch = augmentation.mirror_points(augmentation.mirror_clips(batch, mirrored), mirrored)
            batch = augmentation.drop_and_swap(rng, batch)
        if flow_frames:
            # Drawn last and from generators of their own: the windows are the same with and without flow.
            pairs = zip(rng.spawn(count), chosen, positions, strict=True)
            flow = [_flow(part, clip, window, min(flow_frames, frames)) for part, clip, window in pairs]
            batch |= {key: np.stack([row[key] for row in flow]) for key in flow[0]}
            if augment:
                batch = augmentation.mirror_flow(batch, mirrored)
            batch = augmentation.clear_unseen_flow(batch)
        if origins is not None:
            shown = [
                np.minimum(window, len(clip["seen"]) - 1)
                for clip, window in zip(chosen, positions, strict=True)
            ]
            origins += [
                f"{clip['path']}, {frames_text(window)}" for clip, window in zip(chosen, shown, strict=True)
            ]
        return batch, np.array([clip["motion_class"] for clip in chosen])

    def windows(
        self, frames: int, max_frames: int | None, features: bool = False
    ) -> Iterator[tuple[list[Batch], str, str]]:
        """Every clip whose SMPL parameters are known, once: its consecutive windows, its name and its class."""
        for clip in self._clips:
            if not clip["has_smpl"]:
                continue
            length = min(len(clip["seen"]), max_frames or len(clip["seen"]))
            positions = np.arange(-(-length // frames) * frames).reshape(-1, frames)
            clip = clip | _features(clip) if features else clip
            rows = [self._row(clip, window, features) for window in positions]
            for row, window in zip(rows, positions, strict=True):
                row["mask"] = row["mask"] & (window < length) & row.pop("valid")
                for key in ("keypoints_2d", "keypoints_3d"):
                    del row[key]
            yield rows, clip["path"].stem, clip["motion_class"]

    def _row(self, clip: dict[str, Any], window: np.ndarray, features: bool) -> Batch:
        """A row of a batch: frames (T,) of a clip, the last of them repeated beyond its end."""
        frames = np.minimum(window, len(clip["seen"]) - 1)
        row = {key: clip[key][frames] for key in _PER_FRAME} | {key: clip[key] for key in _PER_CLIP}
        row["mask"] = window < len(clip["seen"])
        if features:
            stored = clip if "image_features" in clip else _features(clip)
            row["image_features"] = stored["image_features"][frames]
            row["has_features"] = row["image_features"].any(axis=1)
        if not self.labelled:
            row |= {
                key: np.zeros_like(row[key]) for key in ("has_smpl", "has_3d", "keypoints_2d", "keypoints_3d")
            }
        return row


def _flow(rng: np.random.Generator, clip: dict[str, Any], window: np.ndarray, count: int) -> Batch:
    """`stored_flow` of a window; blank, with `has_flow` false, where the clip stores none."""
    frames = np.minimum(window, len(clip["seen"]) - 1)
    if {"flow.npy", "masks.npy"} <= clip["members"]:
        try:
            found = Observations.load(clip["path"])
            if found.flow is not None and found.masks is not None and len(found) == len(clip["seen"]):
                return stored_flow(rng, found, frames, count)
        except UserError as error:
            logging.warning("Its optical flow is left out: %s", error)
    side = 64
    return {
        "flow_first": np.int32(0),
        "flow_box": np.zeros((count, 3), np.float32),
        "flow": np.zeros((count - 1, 2, side, side, 2), np.float16),
        "flow_valid": np.zeros((count - 1, 2, side, side), bool),
        "masks": np.zeros((count, side, side), np.uint8),
        "has_flow": np.array(False),
        "has_mask": np.array(False),
    }


def _features(clip: dict[str, Any]) -> Batch:
    """`image_features` (T, 2048) float16 of a clip; 0 where the clip stores none."""
    shape = (len(clip["seen"]), IMAGE_FEATURES)
    if "features.npy" in clip["members"]:
        try:
            stored = read_arrays(clip["path"], *KIND, ["features"])
            with damage(clip["path"], *KIND):
                check_array("features", stored["features"], shape)
            return {"image_features": stored["features"].astype(np.float16)}
        except UserError as error:
            logging.warning("Its image features are left out: %s", error)
    return {"image_features": np.zeros(shape, np.float16)}


def clip_files(folder: pathlib.Path, split: str) -> list[pathlib.Path]:
    """The clips of a split of a prepared folder, sorted."""
    return sorted((folder / split).glob("clip_*.npz"))


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The ground truth of a clip for an evaluation, in float64; None where there is none."""

    frame_index: np.ndarray  # (T,) int64
    valid: np.ndarray  # (T,) bool
    fps: float
    gender: str
    body: str
    subsets: tuple[str, ...]
    pose: np.ndarray | None  # (T, 24, 3) of SMPL
    betas: np.ndarray | None  # (10,)
    transl: np.ndarray | None  # (T, 3)
    reference: np.ndarray | None  # (T, K, 3)
    reference_set: str
    world_to_camera: np.ndarray | None  # (T, 3, 4)
    focal_length: float  # px


def read_reference(path: pathlib.Path) -> Reference:
    """The ground truth of a clip. Raises UserError if it cannot be read."""
    texts = ("gender", "body", "subsets", "reference_set")
    smpl = {"smpl_pose": (24, 3), "smpl_transl": (3,), "world_to_camera": (3, 4)}
    always = ("frame_index", "valid", "fps", "true_focal_length")
    names = (*always, "smpl_betas", "reference", *smpl, *texts)
    with open_archive(path, *KIND) as archive, damage(path, *KIND):
        clip = archive.arrays(names)
        if missing := {*always} - clip.keys():
            raise ValueError(f"it has no '{min(missing)}'")
        frames = clip["valid"].shape[:1]
        check_array("valid", clip["valid"], frames, "b")
        check_array("frame_index", clip["frame_index"], frames, "iu")
        for name in ("fps", "true_focal_length"):
            check_array(name, clip[name], (), "fiu")
        for name, shape in smpl.items():
            if name in clip:
                check_array(name, clip[name], (*frames, *shape))
        if "smpl_betas" in clip:
            check_array("smpl_betas", clip["smpl_betas"], (10,))
        for name in texts:
            check_array(name, clip.setdefault(name, np.array("")), (), "U")
        if "reference" in clip:
            points = len(keypoint_names(str(clip["reference_set"])))
            check_array("reference", clip["reference"], (*frames, points, 3))
        if clip["true_focal_length"] <= 0:
            raise ValueError("its focal length is not positive")
        if not clip["valid"].any():
            raise ValueError("no frame of it counts")
    doubles = {
        name: None if name not in clip else clip[name].astype(np.float64)
        for name in (*smpl, "smpl_betas", "reference")
    }
    return Reference(
        frame_index=clip["frame_index"].astype(np.int64),
        valid=clip["valid"],
        fps=float(clip["fps"]),
        gender=str(clip["gender"]) or "neutral",
        body=str(clip["body"]) or "smpl",
        subsets=tuple(filter(None, str(clip["subsets"]).split(","))),
        pose=doubles["smpl_pose"],
        betas=doubles["smpl_betas"],
        transl=doubles["smpl_transl"],
        reference=doubles["reference"],
        reference_set=str(clip["reference_set"]),
        world_to_camera=doubles["world_to_camera"],
        focal_length=float(clip["true_focal_length"]),
    )


def _read(folder: pathlib.Path, split: str) -> list[dict[str, Any]]:
    clips, failures = [], []
    for name in ("train", "validation") if split == "all" else (split,):
        for path in clip_files(folder, name):
            try:
                clips.append(_read_clip(path))
            except UserError as error:
                failures.append(str(error))
                logging.warning("Left out: %s", error)
    if failures and not clips:
        raise UserError(f"No prepared clip of {folder} can be read; the first: {failures[0]}")
    return [clip for clip in clips if clip["seen"].mean() >= LEAST_SEEN]


def _read_clip(path: pathlib.Path) -> dict[str, Any]:
    with open_archive(path, *KIND) as archive, damage(path, *KIND):
        clip: dict[str, Any] = archive.arrays((*_PER_FRAME, *_PER_CLIP, "motion_class", "backbone"))
        frames = clip["seen"].shape[:1] if "seen" in clip else (0,)
        for key in _OPTIONAL - clip.keys():
            clip[key] = np.zeros((*frames, *_PER_FRAME[key]), np.float32)
        if missing := {*_PER_FRAME, *_PER_CLIP, "motion_class"} - clip.keys():
            raise ValueError(f"it has no '{min(missing)}'")
        for key, shape in (_PER_FRAME | _PER_CLIP).items():
            shape = (*frames, *shape) if key in _PER_FRAME else shape
            check_array(key, clip[key], shape, "b" if key in _BOOLS else "fiu")
        clip.setdefault("backbone", np.array(""))
        for key in ("motion_class", "backbone"):
            check_array(key, clip[key], (), "U")
        if not clip["seen"].size or (clip["image_size"] <= 0).any() or clip["focal_length"] <= 0:
            raise ValueError("it has no frame, or a size that is not positive")
        members = frozenset(archive.members)
    texts = {key: str(clip[key]) for key in ("motion_class", "backbone")}
    return clip | texts | {"path": path, "members": members}
