"""GLB files, read again by a small reader of glTF that knows nothing of the writer."""

import dataclasses
import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.body import load_body
from hpof_jax.export import glb
from hpof_jax.export.skeleton import Y_UP
from hpof_jax.world import share_world, to_world

TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
SIZES = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Gltf:
    """The document, its arrays, and the scene at a time."""

    def __init__(self, path):
        content = path.read_bytes()
        magic, version, length, size, kind = struct.unpack("<4sIII4s", content[:20])
        assert (magic, version, length, kind) == (b"glTF", 2, len(content), b"JSON")
        self.document = json.loads(content[20 : 20 + size])
        assert content[24 + size : 28 + size] == b"BIN\0"
        self.blob = content[28 + size :]

    def array(self, number):
        accessor = self.document["accessors"][number]
        view = self.document["bufferViews"][accessor["bufferView"]]
        width = SIZES[accessor["type"]]
        count, start = accessor["count"] * width, view["byteOffset"]
        array = np.frombuffer(self.blob, TYPES[accessor["componentType"]], count, start)
        return array.reshape(-1, width) if width > 1 else array

    def node(self, name):
        return next(i for i, node in enumerate(self.document["nodes"]) if node["name"] == name)

    def frame(self, row):
        """World transforms (nodes, 4, 4) at the row-th key of every channel."""
        places = [np.array(node.get("translation", (0, 0, 0))) for node in self.document["nodes"]]
        still = (node.get("rotation", (0, 0, 0, 1)) for node in self.document["nodes"])
        turns = [Rotation.from_quat(turn).as_matrix() for turn in still]
        animation = self.document["animations"][0]
        for channel in animation["channels"]:
            node, what = channel["target"]["node"], channel["target"]["path"]
            value = self.array(animation["samplers"][channel["sampler"]]["output"])[row]
            if what == "translation":
                places[node] = value
            else:
                turns[node] = Rotation.from_quat(value).as_matrix()
        transforms = np.tile(np.eye(4), (len(places), 1, 1))

        def place(number, above):
            transforms[number, :3] = np.column_stack([turns[number], places[number]])
            transforms[number] = above @ transforms[number]
            for child in self.document["nodes"][number].get("children", ()):
                place(child, transforms[number])

        for root in self.document["scenes"][0]["nodes"]:
            place(root, np.eye(4))
        return transforms

    def skin(self, row, number=0):
        """The vertices (V, 3) of the number-th skinned mesh."""
        skin = self.document["skins"][number]
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        moves = self.frame(row)[skin["joints"]] @ inverse
        attributes = self.document["meshes"][number]["primitives"][0]["attributes"]
        vertices, joints, weights = (
            self.array(attributes[name]) for name in ("POSITION", "JOINTS_0", "WEIGHTS_0")
        )
        blend = np.einsum("vk,vkij->vij", weights, moves[joints])
        return np.einsum("vij,vj->vi", blend[:, :3, :3], vertices) + blend[:, :3, 3]


@pytest.fixture(scope="module")
def written(small_motion, tmp_path_factory):
    world = to_world(small_motion, load_body())
    path = tmp_path_factory.mktemp("glb") / "a.glb"
    glb.write(path, {"Zoë": world}, load_body())
    return Gltf(path), world


def test_joints_and_skin_are_those_of_the_motion(small_motion, written):
    gltf, world = written
    to_y_up = Y_UP @ np.linalg.inv(world.world_to_camera)[:3]
    vertices = small_motion.vertices(load_body())
    vertices = np.concatenate([vertices, np.ones_like(vertices[..., :1])], axis=-1) @ to_y_up.T
    joints = gltf.document["skins"][0]["joints"]
    for row in range(5):
        np.testing.assert_allclose(gltf.frame(row)[joints, :3, 3], world.joints[row] @ Y_UP.T, atol=1e-3)
        np.testing.assert_allclose(gltf.skin(row), vertices[row], atol=2e-3)


def test_names_times_and_weights(written):
    gltf, _ = written
    document = gltf.document
    assert document["nodes"][document["skins"][0]["joints"][4]]["name"] == "left_knee"
    assert gltf.node("Zoë") in document["scenes"][0]["nodes"]
    (animation,) = document["animations"]
    assert len(animation["channels"]) == 25
    for sampler in animation["samplers"]:
        np.testing.assert_allclose(gltf.array(sampler["input"]), [0, 0.04, 0.1, 0.12, 0.16], atol=1e-6)
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    weights = gltf.array(attributes["WEIGHTS_0"])
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert np.all(gltf.array(attributes["JOINTS_0"])[weights == 0] == 0)
    faces = gltf.array(document["meshes"][0]["primitives"][0]["indices"])
    np.testing.assert_array_equal(faces.reshape(-1, 3), load_body().faces)


def test_the_camera_sees_what_the_video_saw(small_motion, written):
    gltf, world = written
    camera = gltf.document["cameras"][0]["perspective"]
    matrix = gltf.frame(0)[gltf.node("camera")]
    points = np.append(world.joints[0] @ Y_UP.T, np.ones((24, 1)), axis=1) @ np.linalg.inv(matrix).T
    focal = 240 / np.tan(camera["yfov"] / 2)
    pixels = focal * points[:, :2] / -points[:, 2:3] * (1, -1)
    want = small_motion.joints[0]
    np.testing.assert_allclose(pixels, 600 * want[:, :2] / want[:, 2:], atol=0.01)
    np.testing.assert_allclose(camera["aspectRatio"], 640 / 480)


def test_a_camera_that_moves_is_animated(filmed_by_hand, tmp_path):
    world = to_world(filmed_by_hand, load_body())
    glb.write(tmp_path / "a.glb", {"a": world}, load_body())
    gltf = Gltf(tmp_path / "a.glb")
    for row in (0, 4):
        matrix = gltf.frame(row)[gltf.node("camera")]
        points = np.append(world.joints[row] @ Y_UP.T, np.ones((24, 1)), axis=1) @ np.linalg.inv(matrix).T
        np.testing.assert_allclose(points[:, :3] * (1, -1, -1), filmed_by_hand.joints[row], atol=1e-4)


def test_quaternions_do_not_jump(small_motion, tmp_path):
    turning = small_motion.pose.copy()
    turning[:, 16] = np.linspace([0, 2.5, 0], [0, 4.0, 0], 5)  # across 180 degrees
    world = to_world(dataclasses.replace(small_motion, poses=turning.reshape(5, 72)), load_body())
    glb.write(tmp_path / "a.glb", {"a": world}, load_body())
    gltf = Gltf(tmp_path / "a.glb")
    animation = gltf.document["animations"][0]
    for channel, sampler in zip(animation["channels"], animation["samplers"]):
        if channel["target"]["path"] == "rotation":
            quaternions = gltf.array(sampler["output"])
            assert np.all(np.sum(quaternions[1:] * quaternions[:-1], axis=1) > 0)


def test_several_people_are_in_one_scene(small_motion, tmp_path):
    later = dataclasses.replace(small_motion, times=small_motion.times + 0.5)
    worlds = share_world([small_motion, later], load_body())
    glb.write(tmp_path / "two.glb", dict(zip(["a", "b"], worlds)), load_body(), "mixamo")
    gltf = Gltf(tmp_path / "two.glb")
    document = gltf.document
    assert len(document["skins"]) == len(document["meshes"]) == 2
    assert len(document["animations"]) == 1 and len(document["animations"][0]["channels"]) == 50
    first, second = (document["skins"][number]["joints"] for number in (0, 1))
    assert not {*first} & {*second}
    assert document["nodes"][second[0]]["name"] == "mixamorig:Hips"
    starts = {gltf.array(s["input"])[0] for s in document["animations"][0]["samplers"]}
    np.testing.assert_allclose(sorted(starts), [0, 0.5], atol=1e-6)
    np.testing.assert_allclose(gltf.skin(2, 1), gltf.skin(2, 0), atol=1e-5)
