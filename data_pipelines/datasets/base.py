"""What the readers of all data sets share: their description, the sequences that they give, geometry and checks.

A reader is one module with a `DataSet`. `find` lists the units of work, usually videos, without opening them.
`read` opens one unit and gives a `Sequence` for each person in it, and its frames.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from hpof_jax.archives import check_array
from hpof_jax.body.skeletons import SPIN24
from hpof_jax.geometry.numpy_rotations import are_rotations
from hpof_jax.geometry.temporal import linear

SPLITS = ("train", "validation", "test")
MARGIN = 1.25  # size of an annotated box over the extent of the points in it
LONGEST_GAP = 15  # frames without an annotated box, between two with one, in which the box is interpolated
FARTHEST = 1e3  # metres and radians; more is damage
POINTS = SPIN24  # annotated keypoints are stored under these names, in this order
SMPL_PELVIS = np.array([-0.0018, -0.2233, 0.0282])  # metres, of SMPL's mean body at rest
NO_CHECKSUM = "not published"


class File(NamedTuple):
    """Files that a user downloads: where they belong below the raw folder, and what they are."""

    place: str
    what: str
    checksum: str = NO_CHECKSUM


class Unit(NamedTuple):
    """A part of a data set that is prepared at once."""

    name: str  # a file name without suffix, unique in its split
    split: str
    path: pathlib.Path  # of the annotations
    frames: pathlib.Path | None = None  # a video or a folder of pictures; None: not there
    part: str = ""  # which part of the annotations, such as a camera


class Found(NamedTuple):
    """The units of a raw folder, and what is missing in it, one text for each file or folder."""

    units: list[Unit]
    missing: list[str]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set: what to tell the user, and how to read it."""

    name: str
    title: str
    url: str
    licence: str
    citation: str
    files: tuple[File, ...]
    find: Callable[[pathlib.Path, Collection[str]], Found]  # of a raw folder, some splits of `SPLITS`
    read: Callable[[Unit], "Reading | dict[str, np.ndarray]"]  # or the arrays of a file of motion


def instructions(dataset: DataSet) -> str:
    """What the user must download, one line for each kind of file."""
    places = [f"- {file.place} ({file.what}; checksum {file.checksum})" for file in dataset.files]
    return "\n".join(
        [
            f"Accept the terms of {dataset.title} at {dataset.url} (licence: {dataset.licence}).",
            "Place its files so below one folder:",
            *places,
        ]
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Sequence:
    """One person in T frames of a video. Arrays that a data set does not have are None.

    Lengths are in metres, in the camera frame (x right, y down, z forward). Points are in pixels of the frame.
    """

    person: str
    fps: float
    image_size: tuple[float, float]  # height, width
    frame_index: np.ndarray  # (T,) int64, ascending: the numbers of the frames in the video, from 0
    valid: np.ndarray  # (T,) bool: the frame is annotated, and counts in the evaluation
    boxes: np.ndarray  # (T, 3) [centre x, centre y, size] px, zeros where the person is not annotated
    focal_length: float | None = None  # px
    principal_point: tuple[float, float] | None = None  # x, y px; None: the middle of the frame
    pose: np.ndarray | None = None  # (T, 24, 3) axis-angle of SMPL, root first
    transl: np.ndarray | None = None  # (T, 3) SMPL's translation
    betas: np.ndarray | None = None  # (10,) of SMPL
    gender: str = "neutral"
    body: str = "smpl"  # or "smplx", whose betas mean nothing on SMPL
    joints: np.ndarray | None = None  # (T, 24, 3) SMPL's joints
    keypoints_2d: np.ndarray | None = None  # (T, 24, 3) [x, y, confidence], of `POINTS`
    keypoints_3d: np.ndarray | None = None  # (T, 24, 4) [x, y, z, confidence], of `POINTS`
    reference: np.ndarray | None = None  # (T, K, 3) the points of the data set's protocol
    reference_set: str = ""  # their keypoint set, see `body.skeletons.KEYPOINT_SETS`
    world_to_camera: np.ndarray | None = None  # (T, 3, 4)
    motion_class: str = ""
    subsets: tuple[str, ...] = ()  # protocols that count this sequence, where not all of a split do

    def __len__(self) -> int:
        return len(self.frame_index)


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """The people of a unit, and its frames: a function that gives an iterator of (H, W, 3) uint8 RGB, or None.

    `Sequence.frame_index` counts the frames that the iterator gives.
    """

    people: list[Sequence]
    frames: Callable[[], Iterator[np.ndarray]] | None = None


def checked(sequence: Sequence) -> Sequence:
    """The sequence with arrays in single precision.

    Raises:
      ValueError: an array of another shape or kind, or with numbers that are not finite or beyond all reason.
    """
    frames = len(sequence)
    shapes = {
        "boxes": (frames, 3),
        "pose": (frames, 24, 3),
        "transl": (frames, 3),
        "betas": (10,),
        "joints": (frames, 24, 3),
        "keypoints_2d": (frames, len(POINTS), 3),
        "keypoints_3d": (frames, len(POINTS), 4),
        "world_to_camera": (frames, 3, 4),
    }
    if sequence.reference is not None:
        shapes["reference"] = (frames, *sequence.reference.shape[1:])
    if frames < 2:
        raise ValueError(f"{frames} frames")
    check_array("frame_index", sequence.frame_index, (frames,), "iu")
    check_array("valid", sequence.valid, (frames,), "b")
    if sequence.frame_index[0] < 0 or (np.diff(sequence.frame_index) <= 0).any():
        raise ValueError("its frame numbers do not ascend")
    if not 1 <= sequence.fps <= 1000 or min(sequence.image_size) < 1:
        height, width = sequence.image_size
        raise ValueError(f"{sequence.fps:g} frames/s of {width:g} x {height:g} pixels")
    if sequence.focal_length is not None and not 1 < sequence.focal_length < 1e6:
        raise ValueError(f"a focal length of {sequence.focal_length} pixels")
    made = {}
    for name, shape in shapes.items():
        array = getattr(sequence, name)
        if array is not None:
            check_array(name, array, shape, "fiu")
            if (
                name in ("pose", "transl", "joints")
                and np.abs(array[sequence.valid]).max(initial=0) > FARTHEST
            ):
                raise ValueError(f"'{name}' has numbers over {FARTHEST:.0f}")
            made[name] = np.asarray(array, np.float32)
    return dataclasses.replace(sequence, **made)


def of_points(
    points: np.ndarray,
    visible: np.ndarray,
    names: tuple[str, ...],
    fps: float,
    image_size: tuple[float, float],
    motion_class: str,
) -> Sequence:
    """The only person of a video with annotated points in every frame.

    Args:
      points: (T, K, 2) pixels. visible: (T, K) bool. names: of the K points.

    Raises:
      ValueError: as `checked`.
    """
    return checked(
        Sequence(
            person="0",
            fps=fps,
            image_size=image_size,
            frame_index=np.arange(len(points)),
            valid=visible.any(axis=1),
            boxes=boxes_of(points, visible, image_size),
            keypoints_2d=as_points(with_confidence(points, visible), names),
            motion_class=motion_class,
        )
    )


def into_camera(
    pose: np.ndarray, transl: np.ndarray, pelvis: np.ndarray, world_to_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """SMPL's pose (T, 24, 3) and translation (T, 3) in the world -> the same in the camera.

    SMPL turns the root about the pelvis, so the rotation of the camera also moves the translation.

    Args:
      pelvis: (3,) metres, the pelvis of the body at rest.
      world_to_camera: (T, 3, 4), of rigid motions.

    Raises:
      ValueError: the orientation of a camera is no rotation.
    """
    turn, shift = world_to_camera[..., :3], world_to_camera[..., 3]
    check_rotations(turn)
    turned = pose.copy()
    turned[:, 0] = (Rotation.from_matrix(turn) * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    return turned, np.einsum("tij,tj->ti", turn, transl + pelvis) + shift - pelvis


def check_rotations(turn: np.ndarray) -> None:
    """Raises ValueError if matrices (..., 3, 3) are no rotations."""
    if not are_rotations(turn):
        raise ValueError("the orientation of a camera is no rotation")


def inverted(rigid: np.ndarray) -> np.ndarray:
    """Rigid motions (T, 3, 4), such as from the world to the camera -> their inverses."""
    turn = np.swapaxes(rigid[..., :3], -1, -2)
    return np.concatenate([turn, -turn @ rigid[..., 3:]], axis=-1)


def transform(points: np.ndarray, world_to_camera: np.ndarray) -> np.ndarray:
    """Points (T, K, 3) in the world -> the same in the camera; world_to_camera (T, 3, 4)."""
    return np.einsum("tij,tkj->tki", world_to_camera[..., :3], points) + world_to_camera[:, None, :, 3]


def project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Points (..., 3) in the camera -> pixels (..., 2); intrinsics (3, 3)."""
    pixels = points @ np.asarray(intrinsics, np.float64).T
    return pixels[..., :2] / np.maximum(pixels[..., 2:], 1e-3)


def fit_intrinsics(solid: np.ndarray, flat: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Focal length and principal point, px, that project points (T, K, 3) in the camera to pixels (T, K, 2).

    A linear least-squares fit, because the calibration is a text file of its own that not every copy has.

    Raises:
      ValueError: the points are no projection of each other.
    """
    points, pixels = solid.reshape(-1, 3)[::7], flat.reshape(-1, 2)[::7]
    there = (points[:, 2] > 0.1) & np.isfinite(points).all(axis=1) & np.isfinite(pixels).all(axis=1)
    points, pixels = points[there], pixels[there]
    if len(points) < 10:
        raise ValueError("its points are not in front of the camera")
    rays = points[:, :2] / points[:, 2:]
    found = []
    for axis in range(2):
        rows = np.stack([rays[:, axis], np.ones(len(rays))], axis=1)
        found.append(np.linalg.lstsq(rows, pixels[:, axis], rcond=None)[0])
        if np.median(np.abs(rows @ found[-1] - pixels[:, axis])) > 20:
            raise ValueError("its points in 2D are not those in 3D")
    focal = float(found[0][0] + found[1][0]) / 2
    if not 100 < focal < 1e5:
        raise ValueError(f"a focal length of {focal:.0f} pixels")
    return focal, (float(found[0][1]), float(found[1][1]))


def boxes_of(points: np.ndarray, confidence: np.ndarray, image_size: tuple[float, float]) -> np.ndarray:
    """Square boxes (T, 3) around points (T, K, 2) whose confidence (T, K) is not 0; zeros around fewer than 4.

    Points outside the frame do not count: nobody sees them.
    """
    inside = (points >= 0) & (points <= np.array(image_size)[::-1])
    there = (confidence > 0) & inside.all(axis=-1)
    low = np.min(np.where(there[..., None], points, np.inf), axis=1)
    high = np.max(np.where(there[..., None], points, -np.inf), axis=1)
    enough = (there.sum(axis=1) >= 4)[:, None]
    low, high = np.where(enough, low, 0), np.where(enough, high, 0)
    size = MARGIN * np.max(high - low, axis=1, keepdims=True)
    return np.concatenate([(low + high) / 2, size], axis=1) * (enough & (size > 4))


def boxes_of_corners(corners: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Square boxes (T, 3) around rectangles (T, 4) = [left, top, right, bottom] px, zeros where not valid, (T,)."""
    low, high = corners[:, :2], corners[:, 2:]
    size = 1.1 * np.max(high - low, axis=1, keepdims=True)
    boxes = np.concatenate([(low + high) / 2, size], axis=1)
    return np.where(valid[:, None] & (size > 4) & np.isfinite(boxes).all(axis=1, keepdims=True), boxes, 0.0)


def fill_boxes(boxes: np.ndarray) -> np.ndarray:
    """The boxes (T, 3), interpolated in gaps of at most `LONGEST_GAP` frames."""
    there = np.flatnonzero(boxes[:, 2])
    if not len(there):
        return boxes
    frames = np.arange(len(boxes))
    position = np.interp(frames, there, np.arange(len(there)))
    after = there[np.minimum(np.searchsorted(there, frames), len(there) - 1)]
    before = there[np.maximum(np.searchsorted(there, frames, side="right") - 1, 0)]
    near = (frames >= there[0]) & (frames <= there[-1]) & (after - before <= LONGEST_GAP + 1)
    return np.where(near[:, None], linear(boxes[there], position), boxes)


def as_points(points: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Points (..., K, D) with their confidence last, of these names -> (..., 24, D) of `POINTS`; zeros elsewhere."""
    found = np.zeros((*points.shape[:-2], len(POINTS), points.shape[-1]), np.float32)
    for number, name in enumerate(names):
        if name in POINTS:
            found[..., POINTS.index(name), :] = points[..., number, :]
    return np.where(found[..., -1:] > 0, found, 0)


def with_confidence(points: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Points (..., D) and whether each is known, (...,) -> (..., D + 1), zeros where it is not."""
    there = np.broadcast_to(there, points.shape[:-1])[..., None]
    with np.errstate(over="ignore"):  # `checked` refuses what is too large
        return np.concatenate([np.where(there, points, 0), there], axis=-1).astype(np.float32)


def listed(folder: pathlib.Path, pattern: str, expected: tuple[str, ...] = ()) -> tuple[list, list[str]]:
    """The files or folders of a pattern, sorted, and those of the expected names that are not there."""
    found = sorted(folder.glob(pattern))
    names = {path.name for path in found}
    return found, [str(folder / name) for name in expected if name not in names]
