"""The result of a reconstruction, as an object and a file: one shape, a pose and a place in every frame."""

import dataclasses
import importlib
import os
import pathlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from hpof_jax.archives import read_arrays
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.motion_fields import checked

if TYPE_CHECKING:
    from hpof_jax.body import BodyModel
    from hpof_jax.world import WorldMotion

CONFIDENT = 0.5  # frames with at most this confidence are guesses


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
        for name, value in checked(vars(self)).items():
            object.__setattr__(self, name, value)

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
        from hpof_jax.body.mesh import posed_vertices  # here, because it loads JAX

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
        from hpof_jax.body.joint_angles import joint_angles  # here, because it loads JAX

        return joint_angles(_above("world").upright_pose(self, camera_pitch, camera_roll))

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

        return _above("world").to_world(self, load_body() if body is None else body, **camera)

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
        _above("visualize").render(self, video, path, body, **options)

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` with an array for each field; only a complete file replaces an existing one.

        Raises:
          UserError: the file cannot be written (full disk, no such folder, no permission).
        """
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.world_to_camera is None:
            del arrays["world_to_camera"]
        else:
            root, trans = _above("world").root_in_world(self, self.world_to_camera)  # as in `to_world`
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
        _above("export").export_file(self, path, body, **options)

    def _repr_html_(self) -> str | None:
        """The page of `export("motion.html")`, which a notebook shows; None for a body other than the free one."""
        return _above("export.viewer").iframe(self)

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


def _above(name: str) -> ModuleType:
    """A module that uses this one. An import statement here would make a circle."""
    return importlib.import_module(f"hpof_jax.{name}")
