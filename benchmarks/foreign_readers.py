"""Do other programs read the exported files, and do they find the motion in them?

    python -m benchmarks.foreign_readers out/motion.npz --blender PYTHON --node FOLDER --opensim PYTHON

Each reader is optional, and installed apart from this project:

- `--blender`: a Python with Blender as a module (`pip install bpy`). It imports the GLB and the BVH file. Joints over
  the whole clip must be within 1 mm of the motion's, the skinned mesh within 2 mm.
- `--node`: a folder in which `npm install gltf-validator three` was run. Khronos' validator must find no error and no
  warning in the GLB file; three.js reads it, with the same bounds as Blender.
- `--opensim`: a Python with OpenSim (`pip install opensim`). It reads the TRC files; markers must be within 1 mm.

The program fails if a bound does not hold.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from benchmarks.program import program
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.export import export
from hpof_jax.export.skeleton import Y_UP
from hpof_jax.motion import Motion
from hpof_jax.world import at_constant_rate, to_world

JOINTS_MM, VERTICES_MM = 1.0, 2.0
FRAMES = 8  # in which the mesh is compared
STEP = 0.7  # metres between the bodies in Blender's picture

_VALIDATE = """
import fs from "fs";
import validator from "gltf-validator";
const {issues} = await validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])));
console.log(JSON.stringify({version: validator.version(), errors: issues.numErrors, warnings: issues.numWarnings,
                            infos: issues.numInfos, hints: issues.numHints}));
"""
_THREE = """
import fs from "fs";
import * as THREE from "three";
globalThis.self = globalThis;  // what the loader expects of a browser
const {GLTFLoader} = await import("three/examples/jsm/loaders/GLTFLoader.js");
const [file, times, vertexTimes] = process.argv.slice(1), data = fs.readFileSync(file);
const bytes = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
const scene = await new GLTFLoader().parseAsync(bytes, "");
const mixer = new THREE.AnimationMixer(scene.scene), point = new THREE.Vector3();
const action = mixer.clipAction(scene.animations[0]);
action.setLoop(THREE.LoopOnce);
action.clampWhenFinished = true;
action.play();
let mesh;
scene.scene.traverse(item => { if (item.isSkinnedMesh) mesh = item; });
const go = time => { action.reset(); mixer.setTime(time); scene.scene.updateMatrixWorld(true); };
const joints = JSON.parse(times).map(time => {
  go(time);
  return mesh.skeleton.bones.map(bone => bone.getWorldPosition(point).toArray());
});
const numbers = [...Array(mesh.geometry.attributes.position.count).keys()];
const vertices = JSON.parse(vertexTimes).map(time => {
  go(time);
  return numbers.map(number => mesh.getVertexPosition(number, point).applyMatrix4(mesh.matrixWorld).toArray());
});
console.log(JSON.stringify({version: THREE.REVISION, joints, vertices}));
"""
_OPENSIM = """
import json, sys, numpy, opensim
table = opensim.TimeSeriesTableVec3(sys.argv[1])
rows = [[table.getRowAtIndex(row)[column].to_numpy().tolist() for column in range(table.getNumColumns())]
        for row in range(table.getNumRows())]
print(json.dumps({"version": opensim.GetVersion(), "labels": list(table.getColumnLabels()),
                  "times": list(table.getIndependentColumn()), "rows": rows}))
"""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("motion", help="the motion.npz of a reconstruction, made with the free body")
    parser.add_argument("--blender", help="a Python with bpy")
    parser.add_argument("--node", help="a folder with gltf-validator and three in its node_modules")
    parser.add_argument("--opensim", help="a Python with opensim")
    parser.add_argument("--picture", help="where to keep Blender's picture of the imported GLB")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    motion, body = Motion.load(options.motion), load_body()
    world = to_world(motion, body)
    report = {"frames": len(motion)}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        export({"motion": motion}, folder, "glb,bvh,trc")
        expected = _expected(motion, world, body)
        if options.blender:
            report["blender"] = _blender(options.blender, folder, expected)
            if options.picture:
                shutil.copyfile(folder / "blender.png", options.picture)
        if options.node:
            report["validator"] = _validator(options.node, folder)
            report["three"] = _three(options.node, folder, expected)
        if options.opensim:
            report["opensim"] = _opensim(options.opensim, folder, at_constant_rate(world, body).joints)
    print(json.dumps(report, indent=1))
    return report


def _expected(motion, world, body) -> dict[str, np.ndarray]:
    """What a reader should find, in the world of `to_world`, which is Blender's."""
    frames = np.linspace(0, len(motion) - 1, min(FRAMES, len(motion))).astype(int)
    to_camera = world.world_to_camera
    times = world.times - world.times[0]
    return dict(
        names=np.array(SMPL_JOINTS),
        times=times,
        joints=world.joints,
        even_joints=at_constant_rate(world, body).joints,
        vertex_times=times[frames],
        picture_times=times[_apart(world.joints[:, 0])],
        vertices=(motion.vertices(body, frames) - to_camera[:3, 3]) @ to_camera[:3, :3],
    )


def _apart(pelvis: np.ndarray) -> list[int]:
    """The first frame, and each in which the pelvis (T, 3) has moved by `STEP` since the one before."""
    frames = [0]
    for frame, place in enumerate(pelvis):
        if np.linalg.norm(place - pelvis[frames[-1]]) > STEP:
            frames.append(frame)
    return frames


def _blender(python: str, folder: pathlib.Path, expected: dict[str, np.ndarray]) -> dict:
    np.savez(folder / "expected.npz", **expected)
    found = _json([python, pathlib.Path(__file__).with_name("in_blender.py"), folder])
    assert found["bvh_joints_mm"] < JOINTS_MM and found["glb_joints_mm"] < JOINTS_MM, found
    assert found["glb_vertices_mm"] < VERTICES_MM, found
    return found


def _validator(modules: str, folder: pathlib.Path) -> dict:
    found = _json(["node", "--input-type=module", "-e", _VALIDATE, folder / "motion.glb"], modules)
    assert found["errors"] == found["warnings"] == 0, found
    return found


def _three(modules: str, folder: pathlib.Path, expected: dict[str, np.ndarray]) -> dict:
    times = [json.dumps(expected[name].tolist()) for name in ("times", "vertex_times")]
    found = _json(["node", "--input-type=module", "-e", _THREE, folder / "motion.glb", *times], modules)
    errors = {
        name: _largest(np.array(found[name]) - expected[name] @ Y_UP.T) for name in ("joints", "vertices")
    }
    assert errors["joints"] < JOINTS_MM and errors["vertices"] < VERTICES_MM, errors
    return {"version": found["version"], "joints_mm": errors["joints"], "vertices_mm": errors["vertices"]}


def _largest(difference: np.ndarray) -> float:
    """The largest distance, metres -> millimetres."""
    return float(1000 * np.linalg.norm(difference, axis=-1).max())


def _opensim(python: str, folder: pathlib.Path, joints: np.ndarray) -> dict:
    found = _json([python, "-c", _OPENSIM, folder / "motion_smpl24.trc"])
    assert tuple(found["labels"]) == SMPL_JOINTS, found["labels"]
    error = _largest(np.array(found["rows"]) / 1000 - joints @ Y_UP.T)
    assert error < JOINTS_MM, error
    body25 = _json([python, "-c", _OPENSIM, folder / "motion.trc"])
    return {"version": found["version"], "smpl24_mm": error, "body25_markers": len(body25["labels"])}


def _json(command: list, folder: str | None = None) -> dict:
    """Runs a program, in a folder, and reads the last line that it prints."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
