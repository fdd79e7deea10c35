"""The result of a reconstruction: one body, its pose and its place in every frame, as a typed object and a file."""

import dataclasses
import os
import pathlib
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel

CHUNK = 64  # frames skinned at once by `Motion.vertices`: about 20 MB of intermediate results

# The shape of each array, T frames, and the kind of number it holds.
_SHAPES = {
    "poses": ("T", 72),
    "betas": (10,),
    "trans": ("T", 3),
    "joints": ("T", 24, 3),
    "keypoints_2d": ("T", 33, 3),
    "cam": ("T", 3),
    "box": ("T", 3),
    "confidence": ("T",),
    "frame_index": ("T",),
    "image_size": (2,),
    "focal_length": (),
    "mocap_framerate": (),
}
_INTEGERS = ("frame_index", "image_size")
_SCALARS = ("focal_length", "mocap_framerate")
_TEXTS = ("gender", "body")


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """A body in motion, T frames. The camera frame is x right, y down, z forward, in metres; arrays are float32.

    The first five names and shapes are AMASS's, so that tools for AMASS read `save`'s file; but the root is in the
    camera's frame here, not in a world with z up. Making one checks it: UserError if an array has the wrong shape, or
    a number is not finite or out of range.
    """

    poses: np.ndarray  # (T, 72) axis-angle of the 24 joints, root first (in the camera frame), then relative
    betas: np.ndarray  # (10,) the shape, one for the whole clip
    trans: np.ndarray  # (T, 3) metres; SMPL's: the pelvis lies at its rest place plus this
    mocap_framerate: float  # frames per second of the video
    gender: str  # 'neutral', 'female' or 'male'
    joints: np.ndarray  # (T, 24, 3) metres, camera frame
    keypoints_2d: np.ndarray  # (T, 33, 3) the observed landmarks: [x px, y px, visibility], full frame
    cam: np.ndarray  # (T, 3) [s, tx, ty], weak perspective in the box
    box: np.ndarray  # (T, 3) the person's square: [centre x, centre y, size] px
    frame_index: np.ndarray  # (T,) int64 which frame of the source video, ascending
    confidence: np.ndarray  # (T,) 1 where the person was seen, lower in gaps that were filled
    image_size: np.ndarray  # (2,) int64 [height, width] of the video
    focal_length: float  # px, assumed or given; the principal point is the middle of the frame
    body: str  # the name of the body that `betas` belongs to

    def __post_init__(self):
        frames = np.shape(self.poses)[0] if np.ndim(self.poses) else 0
        for name, shape in _SHAPES.items():
            shape = tuple(frames if side == "T" else side for side in shape)
            array = np.asarray(getattr(self, name))
            if array.shape != shape:
                raise UserError(
                    f"'{name}' of the motion has shape {array.shape} instead of {shape}: make it again."
                )
            if array.dtype.kind not in "fiu" or not np.all(np.isfinite(array)):
                raise UserError(
                    f"'{name}' of the motion holds something else than finite numbers: make it again."
                )
            array = array.astype(np.int64 if name in _INTEGERS else np.float32, copy=False)
            # Scalars stay Python floats: 29.97 in float32 is another frame rate.
            object.__setattr__(self, name, float(getattr(self, name)) if name in _SCALARS else array)
        for name in _SCALARS:
            if getattr(self, name) <= 0:
                raise UserError(
                    f"'{name}' of the motion is {getattr(self, name)}, but must be positive: make it again."
                )
        if np.any(np.diff(self.frame_index) <= 0):
            raise UserError("'frame_index' of the motion does not ascend from frame to frame: make it again.")
        for name in _TEXTS:
            object.__setattr__(self, name, str(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def pose(self) -> np.ndarray:
        """(T, 24, 3) axis-angle, root first."""
        return self.poses.reshape(-1, 24, 3)

    @property
    def global_orient(self) -> np.ndarray:
        """(T, 3) axis-angle of the root, camera frame."""
        return self.pose[:, 0]

    @property
    def body_pose(self) -> np.ndarray:
        """(T, 23, 3) axis-angle of the other joints, each relative to its parent."""
        return self.pose[:, 1:]

    def vertices(self, body: "BodyModel", frames: slice = slice(None)) -> np.ndarray:
        """The mesh, made on demand: (frames, V, 3) float32 metres, camera frame.

        Args:
          body: the body the motion was made with.
          frames: which of the T frames; all of them take 83 kB each.
        """
        import jax  # here, so that reading and writing results needs NumPy alone

        from hpof_jax.body import forward

        skin = jax.jit(forward)
        rows = np.arange(len(self))[frames]
        chunks = [np.zeros((0, len(body.v_template), 3), np.float32)]
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            # Filled up to one size, so that a clip of any length compiles once.
            filled = np.resize(chunk, CHUNK)
            vertices, _ = skin(
                body, self.betas, self.global_orient[filled], self.body_pose[filled], self.trans[filled]
            )
            chunks.append(np.asarray(vertices)[: len(chunk)])
        return np.concatenate(chunks)

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` with one array per field; an existing file is replaced only by a complete one.

        Raises:
          UserError: the file cannot be written (full disk, no such folder, no permission).
        """
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in dataclasses.fields(self)}
        with replacing(path, "The motion") as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Motion":
        """Reads a file that `save` wrote.

        Raises:
          UserError: no such file, no `.npz`, a missing array, a wrong shape, or NaN.
        """
        path = pathlib.Path(path)
        if not path.is_file():
            raise UserError(
                f"There is no motion file at {path}: give the path of a .npz that a reconstruction wrote."
            )
        names = [field.name for field in dataclasses.fields(cls)]
        try:
            with path.open("rb") as file:
                archive = np.load(file, allow_pickle=False)
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise ValueError("it is a single array")
                missing = [name for name in names if name not in archive.files]
                arrays = {name: archive[name] for name in names if name not in missing}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{path} is not a readable motion .npz ({error}): make it again.") from error
        if missing:
            raise UserError(f"{path} has no array '{missing[0]}', so it is no motion file: make it again.")
        try:
            return cls(**arrays)
        except UserError as error:
            raise UserError(f"{path} is damaged: {error}") from error
