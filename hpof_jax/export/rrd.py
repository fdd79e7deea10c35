"""RRD: a recording for the Rerun viewer, with meshes, joints, joint angles and the video's camera. z up, metres.

The timeline `time` counts the seconds of the video. Needs the package rerun-sdk. Viewer: https://rerun.io
"""

import os
from collections.abc import Mapping

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body.joint_angles import joint_angles
from hpof_jax.body.mesh import posed_vertices
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.export.skeleton import COLOR
from hpof_jax.geometry.visibility import vertex_normals
from hpof_jax.world import WorldMotion

_COLOR = tuple(round(255 * part ** (1 / 2.2)) for part in COLOR)  # sRGB; COLOR is linear
_RADIUS = 0.015  # metres, of the joints
_IMAGE_PLANE = 0.5  # metres from the camera at which the viewer draws the picture's frame


def write(path: str | os.PathLike, people: Mapping[str, WorldMotion], body: BodyModel) -> None:
    """Writes people of one world, by name. Each frame's mesh is stored: about 85 kB per person and frame.

    Entities: `world/NAME/body` (mesh), `world/NAME/joints`, `world/NAME/bones`, `world/camera`, `NAME/ANGLE` for each
    joint angle in degrees, and `NAME/confidence`.

    Args:
      people: at least one.

    Raises:
      UserError: the file cannot be written.
    """
    import rerun as rr

    with replacing(path, "The RRD file") as partial:
        partial.touch()  # raises OSError where Rerun would raise its own error
        with rr.RecordingStream("hpof_jax", send_properties=False) as recording:
            recording.save(partial)
            recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
            first = next(iter(people.values()))
            _camera(recording, first, [rr.TimeColumn("time", duration=first.times)])
            for name, motion in people.items():
                _person(recording, name, motion, body)


def _person(recording, name: str, motion: WorldMotion, body: BodyModel) -> None:
    import rerun as rr

    def entity(part: str) -> str:
        return rr.new_entity_path(["world", name, part])

    times, frames = [rr.TimeColumn("time", duration=motion.times)], len(motion)
    vertices = posed_vertices(body, motion.betas, motion.global_orient, motion.body_pose, motion.transl)
    # Without normals the viewer draws a mesh without light.
    faces = np.asarray(body.faces)
    normals = np.stack([vertex_normals(shape, faces).astype(np.float32) for shape in vertices])
    mesh = rr.Mesh3D.columns(vertex_positions=vertices.reshape(-1, 3), vertex_normals=normals.reshape(-1, 3))
    look = rr.Mesh3D.from_fields(triangle_indices=faces, albedo_factor=_COLOR)
    recording.log(entity("body"), look, static=True)
    recording.send_columns(entity("body"), times, mesh.partition([vertices.shape[1]] * frames))

    joints = motion.joints.astype(np.float32)
    points = rr.Points3D.columns(positions=joints.reshape(-1, 3))
    look = rr.Points3D.from_fields(radii=_RADIUS, labels=SMPL_JOINTS, show_labels=False)
    recording.log(entity("joints"), look, static=True)
    recording.send_columns(entity("joints"), times, points.partition([len(SMPL_JOINTS)] * frames))
    bones = np.stack([joints[:, list(SMPL_PARENTS[1:])], joints[:, 1:]], axis=2)
    strips = rr.LineStrips3D.columns(strips=bones.reshape(-1, 2, 3))
    recording.send_columns(entity("bones"), times, strips.partition([bones.shape[1]] * frames))

    for curve, values in (joint_angles(motion.pose) | {"confidence": motion.confidence}).items():
        recording.send_columns(rr.new_entity_path([name, curve]), times, rr.Scalars.columns(scalars=values))


def _camera(recording, motion: WorldMotion, times) -> None:
    import rerun as rr

    height, width = motion.image_size.tolist()
    to_world = np.linalg.inv(motion.world_to_camera)
    lens = rr.Pinhole(
        focal_length=motion.focal_length, width=width, height=height, image_plane_distance=_IMAGE_PLANE
    )
    recording.log("world/camera", lens, static=True)  # Rerun's camera frame is ours
    if to_world.ndim == 2:
        place = rr.Transform3D(translation=to_world[:3, 3], mat3x3=to_world[:3, :3])
        recording.log("world/camera", place, static=True)
    else:
        places = rr.Transform3D.columns(translation=to_world[:, :3, 3], mat3x3=to_world[:, :3, :3])
        recording.send_columns("world/camera", times, places)
