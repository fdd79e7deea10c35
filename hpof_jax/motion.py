"""The result of a reconstruction, as an object and a file: one shape, a pose and a place in every frame."""

import dataclasses
import importlib
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from hpof_jax.archives import read_arrays
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.world import WorldMotion

CONFIDENT = 0.5  # frames with at most this confidence are guesses
CHUNK = 64  # frames that `Motion.vertices` skins at once: about 20 MB of intermediate results

# The shape of each array of T frames.
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
    "times": ("T",),
    "camera_rotation": ("T", 3, 3),
    "camera_position": ("T", 3),
    "image_size": (2,),
    "focal_length": (),
    "mocap_framerate": (),
}
_INTEGERS = ("frame_index", "image_size")
_SCALARS = ("focal_length", "mocap_framerate")
_DOUBLES = ("times",)  # after an hour, float32 seconds are 0.2 ms apart
_TEXTS = ("gender", "body", "focal_length_source", "camera_motion", "gravity_source")


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """The motion of one body in T frames.

    Arrays are float32 unless stated otherwise. Camera frame: x right, y down, z forward, metres.

    The first five fields have AMASS's names and shapes, so programs that read AMASS read the file of `save`. The
    root is in the camera frame, however. Where the world is known, the file also has `world_poses (T, 72)` and
    `world_trans (T, 3)`, the same motion with z up and the floor at 0.

    Raises:
      UserError: an array has the wrong shape, or a number is not finite or out of range.
    """

    poses: np.ndarray  # (T, 72) axis-angle: the root in the camera frame, 23 joints relative to their parents
    betas: np.ndarray  # (10,) body shape, one for the whole clip
    trans: np.ndarray  # (T, 3) metres, as SMPL's: the pelvis is at its rest position plus this
    mocap_framerate: float  # mean frame rate of the video, frames/s
    gender: str  # 'neutral', 'female' or 'male'
    joints: np.ndarray  # (T, 24, 3) metres, camera frame
    keypoints_2d: np.ndarray  # (T, 33, 3) the detector's landmarks: [x px, y px, visibility], full frame
    cam: np.ndarray  # (T, 3) [s, tx, ty], weak perspective in the box
    box: np.ndarray  # (T, 3) the person's square: [centre x, centre y, size] px
    frame_index: np.ndarray  # (T,) int64 number of each frame among those read from the video, ascending
    confidence: np.ndarray  # (T,) probability that the pose is right, see `hpof_jax.confidence`
    image_size: np.ndarray  # (2,) int64 [height, width] of the video
    focal_length: float  # px; the principal point is the middle of the frame
    body: str  # name of the body that `betas` belongs to
    # (T,) float64 seconds of the video. None: at `mocap_framerate`; the attribute is never None.
    times: np.ndarray = None  # type: ignore[assignment]
    focal_length_source: str = (
        "assumed"  # where `focal_length` comes from: 'given', 'metadata', 'background' or 'assumed'
    )
    # The camera's motion, relative to the first frame of the shot. None: the camera stands still.
    camera_rotation: np.ndarray = None  # type: ignore[assignment]  # (T, 3, 3) from the first frame's axes to the frame's
    camera_position: np.ndarray = None  # type: ignore[assignment]  # (T, 3) metres, in the first frame's axes
    camera_motion: str = (
        "static"  # 'static', 'rotating', 'moving' or 'unknown'; of several shots, with commas
    )

    # (4, 4) float64 from the world (z up, floor at 0, metres) to the camera frame of the first frame of a shot, and of
    # all frames if the camera stands still. None: not known.
    world_to_camera: np.ndarray | None = None
    gravity_source: str = "level"  # of its tilt: 'given', 'estimated', or 'level' if it is assumed
    gravity_sigma: float = 0.0  # degrees, the standard deviation of the tilt

    def __post_init__(self):
        if self.times is None:
            rate, index = np.asarray(self.mocap_framerate), np.asarray(self.frame_index)
            usable = rate.shape == () and _is_number(rate) and rate > 0 and _is_number(index)  # checked below
            object.__setattr__(self, "times", index / np.float64(rate) if usable else np.zeros(index.shape))
        frames = np.shape(self.poses)[0] if np.ndim(self.poses) else 0
        if self.camera_rotation is None:
            object.__setattr__(self, "camera_rotation", np.tile(np.eye(3, dtype=np.float32), (frames, 1, 1)))
        if self.camera_position is None:
            object.__setattr__(self, "camera_position", np.zeros((frames, 3), np.float32))
        for name, shape in _SHAPES.items():
            shape = tuple(frames if side == "T" else side for side in shape)
            array = np.asarray(getattr(self, name))
            if array.shape != shape:
                raise UserError(
                    f"'{name}' of the motion has shape {array.shape} instead of {shape}: make it again."
                )
            if array.dtype.kind not in "fiu" or not np.all(np.isfinite(array)):
                raise UserError(
                    f"'{name}' of the motion holds something other than finite numbers: make it again."
                )
            kind = np.int64 if name in _INTEGERS else np.float64 if name in _DOUBLES else np.float32
            array = array.astype(kind, copy=False)
            # Scalars stay Python floats: 29.97 in float32 is another frame rate.
            object.__setattr__(self, name, float(getattr(self, name)) if name in _SCALARS else array)
        turns = self.camera_rotation.astype(np.float64)
        if not np.allclose(turns @ np.swapaxes(turns, 1, 2), np.eye(3), atol=1e-3):
            raise UserError(
                "'camera_rotation' of the motion holds something else than rotations: make it again."
            )
        for name in _SCALARS:
            if getattr(self, name) <= 0:
                raise UserError(
                    f"'{name}' of the motion is {getattr(self, name)}, but must be positive: make it again."
                )
        for name in ("frame_index", "times"):
            if np.any(np.diff(getattr(self, name)) <= 0):
                raise UserError(f"'{name}' of the motion does not ascend from frame to frame: make it again.")
        for name in _TEXTS:
            object.__setattr__(self, name, str(getattr(self, name)))
        sigma = np.asarray(self.gravity_sigma)
        if sigma.shape != () or not _is_number(sigma) or not np.isfinite(sigma):
            raise UserError("'gravity_sigma' of the motion is no number: make it again.")
        object.__setattr__(self, "gravity_sigma", float(sigma))
        if self.world_to_camera is not None:
            object.__setattr__(self, "world_to_camera", _rigid(self.world_to_camera))

    def __len__(self) -> int:
        return len(self.poses)

    def __repr__(self) -> str:
        height, width = self.image_size
        seconds = len(self) / self.mocap_framerate
        return (
            f"Motion({len(self)} frames, {seconds:.2f} s at {self.mocap_framerate:.4g} frames/s, "
            f"video of {width} x {height} pixels, body {self.body!r})"
        )

    @property
    def seen(self) -> np.ndarray:
        """(T,) bool, whether the detector found the person."""
        return np.asarray(self.keypoints_2d.any(axis=(1, 2)))

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

    @property
    def camera_moves(self) -> bool:
        """Whether the camera turns or changes its place."""
        return bool(self.camera_position.any() or (self.camera_rotation != np.eye(3)).any())

    def vertices(self, body: "BodyModel", frames: slice | np.ndarray = slice(None)) -> np.ndarray:
        """The vertices of the mesh, (frames, V, 3) float32 metres, camera frame; computed at each call.

        Args:
          body: the body that the motion was made with.
          frames: which of the T frames; each takes 83 kB.
        """
        rows = np.arange(len(self))[frames]
        return posed_vertices(
            body, self.betas, self.global_orient[rows], self.body_pose[rows], self.trans[rows]
        )

    def joint_angles(
        self, *, camera_pitch: float | None = None, camera_roll: float | None = None
    ) -> dict[str, np.ndarray]:
        """Anatomical joint angles by name, (T,) degrees each, such as `knee_angle_r`.

        `hpof_jax.body.joint_angles` says what they mean. `pelvis_rotation` is 0 where the person faces the right of
        the picture, and -90 where the person faces the camera.

        Args:
          camera_pitch, camera_roll: degrees; see `hpof_jax.world.find_world`. None: estimated.

        Raises:
          UserError: an angle of the camera is out of range.
        """
        from scipy.spatial.transform import Rotation

        from hpof_jax.body.joint_angles import joint_angles  # here, because it loads JAX
        from hpof_jax.geometry.numpy_rotations import compose

        # Not an import statement: `hpof_jax.world` uses this module, not the other way round.
        world = importlib.import_module("hpof_jax.world")
        turn = world.upright(self, camera_pitch, camera_roll)
        pose = world.stilled(self).pose.astype(np.float64)
        pose[:, 0] = compose(Rotation.from_matrix(turn).as_rotvec(), pose[:, 0])
        return joint_angles(pose)

    def to_world(self, body: "BodyModel | None" = None, **camera: float | None) -> "WorldMotion":
        """The motion in AMASS's world frame: z up, metres, the floor at z = 0.

        Args:
          body: the body that the motion was made with. None: the free body.
          camera: `camera_pitch`, `camera_roll` and `camera_height`; see `hpof_jax.world.find_world`. Without them,
            the world is that of `world_to_camera`, or estimated where that is not known.

        Raises:
          UserError: another body, no frame, or a number that is out of range.
        """
        from hpof_jax.body import load_body  # here, because it loads JAX

        # Not an import statement: `hpof_jax.world` uses this module, not the other way round.
        world = importlib.import_module("hpof_jax.world")
        return world.to_world(self, load_body() if body is None else body, **camera)

    def render(
        self, video: str | os.PathLike, path: str | os.PathLike, body: "BodyModel | None" = None, **options
    ) -> None:
        """Writes a video, `.mp4`, of the body over the video that the motion was made from.

        Args:
          video: the video file or folder of pictures that `hpof_jax.reconstruct` was given.
          path: the video to write; an existing file is replaced only by a complete one.
          body: the body that the motion was made with. None: the free body.
          options: `style` ("mesh", "skeleton", "silhouette" or "flow"), `layout` ("beside" or "over"),
            `side_view` and others; see `hpof_jax.visualize.render`.

        Raises:
          UserError: the video cannot be read or is not the motion's, or the other video cannot be written.
        """
        importlib.import_module("hpof_jax.visualize").render(self, video, path, body, **options)

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` with an array for each field; only a complete file replaces an existing one.

        Raises:
          UserError: the file cannot be written (full disk, no such folder, no permission).
        """
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.world_to_camera is None:
            del arrays["world_to_camera"]
        else:
            root_in_world = importlib.import_module("hpof_jax.world").root_in_world  # as in `to_world`
            root, trans = root_in_world(self, self.world_to_camera)
            world_poses = np.concatenate([root, self.poses[:, 3:]], axis=1)
            arrays |= {"world_poses": np.float32(world_poses), "world_trans": np.float32(trans)}
        with replacing(path, "The motion") as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def export(self, path: str | os.PathLike, body: "BodyModel | None" = None, **options) -> None:
        """Writes a file for other programs, in a world with a floor: .glb, .bvh, .usd, .csv, .trc, .mot, .rrd or .npz.

        Args:
          path: the ending decides the format; see `hpof_jax.export.ENDINGS`.
          body: the body that the motion was made with. None: the free body.
          options: `names`, `bvh_unit`, `camera_pitch` and others; see `hpof_jax.export.export`.

        Raises:
          UserError: an unknown format, another body, no frame, or a file that cannot be written.
        """
        # Not an import statement: `hpof_jax.export` uses this module, not the other way round.
        importlib.import_module("hpof_jax.export").export_file(self, path, body, **options)

    def _repr_html_(self) -> str | None:
        """The page of `export("motion.html")`, which a notebook shows; None for a body other than the free one."""
        return importlib.import_module("hpof_jax.export.viewer").iframe(self)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Motion":
        """Reads a file that `save` wrote.

        Raises:
          UserError: there is no such file, it is no `.npz`, or an array is missing, of a wrong shape, or not
            finite.
        """
        path = pathlib.Path(path)
        if not path.is_file():
            raise UserError(
                f"There is no motion file at {path}: give the path of a .npz that a reconstruction wrote."
            )
        names = [field.name for field in dataclasses.fields(cls)]
        optional = [
            field.name for field in dataclasses.fields(cls) if field.default is not dataclasses.MISSING
        ]
        arrays: dict[str, Any] = read_arrays(path, "a readable motion .npz", "make it again", names)
        missing = [name for name in names if name not in [*arrays, *optional]]
        if missing:
            raise UserError(f"{path} has no array '{missing[0]}', so it is not a motion file: make it again.")
        try:
            return cls(**arrays)
        except UserError as error:
            raise UserError(f"{path} is damaged: {error}") from error


def _rigid(pose: np.ndarray) -> np.ndarray:
    pose = np.asarray(pose)
    if (
        pose.shape != (4, 4)
        or not _is_number(pose)
        or not np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-4)
    ):
        raise UserError("'world_to_camera' of the motion is no rigid transform (4, 4): make it again.")
    return pose.astype(np.float64)


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind in "fiu"


def posed_vertices(
    body: "BodyModel",
    betas: np.ndarray,
    global_orient: np.ndarray,
    body_pose: np.ndarray,
    trans: np.ndarray,
) -> np.ndarray:
    """The vertices of one shape (10,) in T poses (T, 3), (T, 23, 3) and places (T, 3): (T, V, 3) float32 metres."""
    import jax  # here, because reading and writing results needs only NumPy

    from hpof_jax.body import forward

    skin = jax.jit(forward)
    chunks = [np.zeros((0, len(body.v_template), 3), np.float32)]
    for start in range(0, len(trans), CHUNK):
        chunk = np.arange(start, min(start + CHUNK, len(trans)))
        # Padded to one size, so that a clip of any length compiles once.
        filled = np.resize(chunk, CHUNK)
        vertices, _ = skin(body, betas, global_orient[filled], body_pose[filled], trans[filled])
        chunks.append(np.asarray(vertices)[: len(chunk)])
    return np.concatenate(chunks)
