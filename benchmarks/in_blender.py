"""Reads exported files in Blender and compares them with what they should hold; run by `benchmarks.foreign_readers`.

    PYTHON benchmarks/in_blender.py FOLDER      # a Python in which `import bpy` works

Reads `motion.glb`, `motion.bvh`, `motion.usd` and `expected.npz` in FOLDER. The last line that it prints is JSON: the largest
distances in millimetres. It also renders `blender.png`.
"""

import json
import pathlib
import sys

import bpy
import mathutils
import numpy as np

FPS = 30
SAMPLES = 64  # light paths per pixel of the picture


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    expected = np.load(folder / "expected.npz")
    names = expected["names"].tolist()
    start_anew()
    bpy.ops.import_anim.bvh(filepath=str(folder / "motion.bvh"), update_scene_fps=True)
    armature = one("ARMATURE")
    # Frame 1 is the first frame of a BVH file.
    found = [joints(armature, names, 1 + frame) for frame in range(len(expected["even_joints"]))]
    figures = {"blender": bpy.app.version_string, "bvh_bones": len(armature.data.bones)}
    figures["bvh_fps"] = bpy.context.scene.render.fps / bpy.context.scene.render.fps_base
    figures["bvh_joints_mm"] = largest(np.stack(found) - expected["even_joints"])

    start_anew()
    bpy.ops.wm.usd_import(filepath=str(folder / "motion.usd"))
    armature, mesh = one("ARMATURE"), one("MESH")
    found = [joints(armature, names, frame) for frame in range(len(expected["even_joints"]))]
    figures["usd_bones"] = len(armature.data.bones)
    figures["usd_fps"] = bpy.context.scene.render.fps / bpy.context.scene.render.fps_base
    figures["usd_joints_mm"] = largest(np.stack(found) - expected["even_joints"])
    found = [vertices(mesh, frame) for frame in expected["even_frames"]]
    figures["usd_vertices_mm"] = largest(np.stack(found) - expected["even_vertices"])

    start_anew()
    bpy.ops.import_scene.gltf(filepath=str(folder / "motion.glb"))
    armature, mesh = one("ARMATURE"), one("MESH")
    found = [joints(armature, names, time * FPS) for time in expected["times"]]
    figures["glb_bones"] = len(armature.data.bones)
    figures["glb_joints_mm"] = largest(np.stack(found) - expected["joints"])
    found = [vertices(mesh, time * FPS) for time in expected["vertex_times"]]
    figures["glb_vertices_mm"] = largest(np.stack(found) - expected["vertices"])
    render(folder / "blender.png", mesh, expected["picture_times"])
    print(json.dumps(figures))


def start_anew() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = FPS


def one(kind: str):
    (found,) = (item for item in bpy.context.scene.objects if item.type == kind and item.name != "Icosphere")
    return found


def set_frame(frame: float) -> None:
    bpy.context.scene.frame_set(int(np.floor(frame)), subframe=float(frame - np.floor(frame)))


def joints(armature, names: list[str], frame: float) -> np.ndarray:
    """The heads of the bones (24, 3), metres, in Blender's world."""
    set_frame(frame)
    return np.array([armature.matrix_world @ armature.pose.bones[name].head for name in names])


def vertices(mesh, frame: float) -> np.ndarray:
    """The vertices of the deformed mesh (V, 3), metres, in Blender's world."""
    set_frame(frame)
    posed = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([posed.matrix_world @ vertex.co for vertex in posed.data.vertices])


def largest(difference: np.ndarray) -> float:
    return float(1000 * np.linalg.norm(difference, axis=-1).max())


def render(path: pathlib.Path, mesh, times: np.ndarray) -> None:
    """A picture of the imported body at several times, on a floor, from the side of the video's camera."""
    scene, corners = bpy.context.scene, []
    for time in times:
        corners.append(vertices(mesh, time * FPS))
        posed = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        copy = bpy.data.objects.new("pose", bpy.data.meshes.new_from_object(posed))
        copy.matrix_world = posed.matrix_world
        copy.data.shade_smooth()
        scene.collection.objects.link(copy)
    mesh.hide_render = True
    low, high = np.concatenate(corners).min(axis=0), np.concatenate(corners).max(axis=0)
    bpy.ops.mesh.primitive_plane_add(size=400)
    floor = bpy.data.materials.new("floor")
    floor.use_nodes = True
    floor.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.62, 0.6, 0.57, 1)
    bpy.context.object.data.materials.append(floor)
    bpy.ops.object.light_add(type="SUN", rotation=(0.7, 0.15, 0.5))
    bpy.context.object.data.energy, bpy.context.object.data.angle = 2.6, 0.05
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.8, 0.85, 0.9, 1)
    centre, size = mathutils.Vector((low + high) / 2), high - low
    away = 1.5 * max(size[0], 1.8 * size[2]) + size[1]
    bpy.ops.object.camera_add(location=centre + mathutils.Vector((0, -away, 0.22 * away)))
    scene.camera = bpy.context.object
    scene.camera.rotation_euler = (centre - scene.camera.location).to_track_quat("-Z", "Y").to_euler()
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples, scene.cycles.use_denoising = "CPU", SAMPLES, True
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x, scene.render.resolution_y = 960, 440
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


main()
