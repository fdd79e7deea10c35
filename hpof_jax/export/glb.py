"""glTF 2.0 in one binary file: skinned meshes, skeletons, one animation, and the video's camera.

y up, metres, at the motion's own times. Pose blend shapes cannot be stored: a body that has them differs a
little around bent joints. Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

import json
import os
import struct
from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

import hpof_jax
from hpof_jax.atomic import replacing
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.export.skeleton import COLOR, camera_to_y_up, influences, joint_names, rest_body, y_up
from hpof_jax.geometry.visibility import vertex_normals
from hpof_jax.world import WorldMotion

_COMPONENTS = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for


def write(
    path: str | os.PathLike, people: Mapping[str, WorldMotion], body: BodyModel, names: str = "smpl"
) -> None:
    """Writes people of one world, by name, as one scene.

    Args:
      people: at least one. Time 0 is the first frame of the earliest of them.
      names: of the joints, 'smpl' or 'mixamo'.

    Raises:
      UserError: the file cannot be written, or there are no such names.
    """
    content = contents(people, body, names)
    with replacing(path, "The GLB file") as partial:
        partial.write_bytes(content)


def contents(people: Mapping[str, WorldMotion], body: BodyModel, names: str = "smpl") -> bytes:
    """What `write` writes."""
    document, blob = _document(people, body, joint_names(names))
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    chunks = b""
    for kind, content, fill in ((b"JSON", text, b" "), (b"BIN\0", blob, b"\0")):
        content += fill * (-len(content) % 4)
        chunks += struct.pack("<I4s", len(content), kind) + content
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


class _Buffer:
    """Arrays in one binary buffer."""

    def __init__(self):
        self.blob, self.views, self.accessors = bytearray(), [], []

    def add(self, array: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Appends an array, one element a row, and returns the number of its accessor."""
        content = np.ascontiguousarray(array).tobytes()
        view = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(content)}
        self.views.append(view | ({"target": target} if target else {}))
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": _COMPONENTS[array.dtype.name],
            "count": len(array),
            "type": _TYPES[array.shape[1:]],
        }
        if bounds:
            accessor |= {key: np.atleast_1d(f(array, axis=0)).tolist() for key, f in _BOUNDS.items()}
        self.accessors.append(accessor)
        self.blob += content + b"\0" * (-len(content) % 4)
        return len(self.accessors) - 1


_BOUNDS = {"min": np.min, "max": np.max}


def _document(people: Mapping[str, WorldMotion], body: BodyModel, names: tuple[str, ...]):
    buffer, nodes, roots, meshes, skins, samplers, channels = _Buffer(), [], [], [], [], [], []
    start = min(motion.times[0] for motion in people.values())
    for person, motion in people.items():
        joints, vertices = rest_body(body, motion.betas)
        # A parent of its own for each skeleton: Blender makes it the armature, of the person's name.
        first = len(nodes) + 1
        nodes.append({"name": person, "children": [first]})
        nodes += _joint_nodes(joints, names, first)
        # Skinned meshes are roots: their place is the skeleton's, and not that of a parent.
        nodes.append({"name": f"{person} body", "mesh": len(meshes), "skin": len(skins)})
        roots += [first - 1, len(nodes) - 1]
        meshes.append(_mesh(buffer, person, vertices, body))
        skins.append(_skin(buffer, person, joints, first))
        new_samplers, new_channels = _channels(buffer, motion, start, first, len(samplers))
        samplers += new_samplers
        channels += new_channels
    filmed = next(iter(people.values()))
    camera, camera_node = _camera(filmed)
    nodes.append(camera_node)
    roots.append(len(nodes) - 1)
    if filmed.world_to_camera.ndim == 3:
        new_samplers, new_channels = _camera_channels(buffer, filmed, start, roots[-1], len(samplers))
        samplers += new_samplers
        channels += new_channels
    material = {
        "name": "body",
        "pbrMetallicRoughness": {
            "baseColorFactor": [*COLOR, 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.6,
        },
    }
    document = {
        "asset": {"version": "2.0", "generator": f"hpof_jax {hpof_jax.__version__}"},
        "scene": 0,
        "scenes": [{"nodes": roots}],
        "nodes": nodes,
        "meshes": meshes,
        "skins": skins,
        "materials": [material],
        "cameras": [camera],
        "animations": [{"name": "motion", "samplers": samplers, "channels": channels}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.blob)}],
    }
    return document, bytes(buffer.blob)


def _joint_nodes(joints: np.ndarray, names: tuple[str, ...], first: int) -> list[dict]:
    """The 24 joints at rest, the pelvis being node `first`."""
    nodes = []
    for joint, parent in enumerate(SMPL_PARENTS):
        offset = joints[joint] - (joints[parent] if parent >= 0 else 0.0)
        children = [first + child for child, above in enumerate(SMPL_PARENTS) if above == joint]
        node = {"name": names[joint], "translation": offset.tolist()}
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _mesh(buffer: _Buffer, name: str, vertices: np.ndarray, body: BodyModel) -> dict:
    faces = np.asarray(body.faces)
    joints, weights = influences(np.asarray(body.lbs_weights, np.float64))
    small = np.uint16 if len(vertices) < 2**16 else np.uint32  # the largest number may not be used
    attributes = {
        "POSITION": buffer.add(vertices.astype(np.float32), _VERTICES, bounds=True),
        "NORMAL": buffer.add(vertex_normals(vertices, faces).astype(np.float32), _VERTICES),
        "JOINTS_0": buffer.add(joints, _VERTICES),
        "WEIGHTS_0": buffer.add(weights, _VERTICES),
    }
    indices = buffer.add(faces.ravel().astype(small), _INDICES)
    primitive = {"attributes": attributes, "indices": indices, "material": 0}
    return {"name": f"{name} body", "primitives": [primitive]}


def _skin(buffer: _Buffer, name: str, joints: np.ndarray, first: int) -> dict:
    inverse = np.tile(np.eye(4, dtype=np.float32), (24, 1, 1))
    inverse[:, 3, :3] = -joints  # glTF's matrices lie column by column
    return {
        "name": name,
        "skeleton": first,
        "joints": [*range(first, first + 24)],
        "inverseBindMatrices": buffer.add(inverse),
    }


def _channels(buffer: _Buffer, motion: WorldMotion, start: float, first: int, number: int):
    """Samplers and channels of one person; `number` is that of the first sampler."""
    rotations, pelvis = y_up(motion)
    quaternions = _continuous(rotations.as_quat().reshape(-1, 24, 4)).astype(np.float32)
    times = buffer.add((motion.times - start).astype(np.float32), bounds=True)
    tracks = [(first, "translation", pelvis.astype(np.float32))]
    tracks += [(first + joint, "rotation", quaternions[:, joint]) for joint in range(24)]
    return _tracks(buffer, times, tracks, number)


def _camera_channels(buffer: _Buffer, motion: WorldMotion, start: float, node: int, number: int):
    """Samplers and channels of a camera that moves; `number` is that of the first sampler."""
    matrices = camera_to_y_up(motion)
    quaternions = _continuous(Rotation.from_matrix(matrices[:, :3, :3]).as_quat()[:, None])[:, 0]
    times = buffer.add((motion.times - start).astype(np.float32), bounds=True)
    tracks = [
        (node, "translation", matrices[:, :3, 3].astype(np.float32)),
        (node, "rotation", quaternions.astype(np.float32)),
    ]
    return _tracks(buffer, times, tracks, number)


def _tracks(buffer: _Buffer, times: int, tracks: list[tuple[int, str, np.ndarray]], number: int):
    """Samplers and channels of tracks (node, path, values); `number` is that of the first sampler."""
    samplers = [{"input": times, "output": buffer.add(track)} for _, _, track in tracks]
    channels = [
        {"sampler": number + row, "target": {"node": node, "path": what}}
        for row, (node, what, _) in enumerate(tracks)
    ]
    return samplers, channels


def _continuous(quaternions: np.ndarray) -> np.ndarray:
    """Of q and -q the one nearer to the frame before, (T, J, 4): some players interpolate without a check."""
    flips = np.sum(quaternions[1:] * quaternions[:-1], axis=-1) < 0
    signs = np.where(np.cumsum(flips, axis=0) % 2, -1.0, 1.0)[..., None]
    return np.concatenate([quaternions[:1], quaternions[1:] * signs])


def _camera(motion: WorldMotion) -> tuple[dict, dict]:
    """The camera of the video and its node; glTF's cameras look along -z, with y up."""
    height, width = motion.image_size.tolist()
    camera = {
        "name": "camera",
        "type": "perspective",
        "perspective": {
            "yfov": 2 * float(np.arctan(height / 2 / motion.focal_length)),
            "aspectRatio": width / height,
            "znear": 0.05,
        },
    }
    matrix = camera_to_y_up(motion).reshape(-1, 4, 4)[0]
    # A node that is animated must not have a matrix.
    place = {
        "translation": matrix[:3, 3].tolist(),
        "rotation": Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist(),
    }
    return camera, {"name": "camera", "camera": 0, **place}
