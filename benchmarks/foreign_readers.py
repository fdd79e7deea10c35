"""Do other programs read the exported files, and do they find the motion in them?

    python -m benchmarks.foreign_readers out/motion.npz --blender PYTHON --node FOLDER --opensim PYTHON

Each reader is optional, and installed apart from this project:

- `--blender`: a Python with Blender as a module (`pip install bpy`). It imports the GLB, the BVH and the USD file.
  Joints over the whole clip must be within 1 mm of the motion's, the skinned mesh within 2 mm.
- `--node`: a folder in which `npm install gltf-validator three` was run. Khronos' validator must find no error and no
  warning in the GLB file; three.js reads it, with the same bounds as Blender.
- `--opensim`: a Python with OpenSim (`pip install opensim`). It reads the TRC files; markers must be within 1 mm.
  With `--opensim-model`, it moves a full-body model by the MOT file: all of its coordinates must be there, and pelvis,
  thighs, thorax and upper arms must turn as the motion's, within 0.01 degrees.

This project's own Python needs usd-core and rerun-sdk: USD's validators must find nothing in the USD file, and Rerun
must read the RRD file. The program fails if a bound does not hold.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.program import program
from hpof_jax.body import load_body
from hpof_jax.body.mesh import posed_vertices
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.export import export
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import Y_UP
from hpof_jax.motion import Motion
from hpof_jax.world import to_world

JOINTS_MM, VERTICES_MM = 1.0, 2.0
FRAMES = 8  # in which the mesh is compared
DEGREES = 0.01
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
_MODEL = """
import json, sys, numpy, opensim
model = opensim.Model(sys.argv[1])
state, table, bodies = model.initSystem(), opensim.TimeSeriesTable(sys.argv[2]), sys.argv[3].split(",")
assert table.getTableMetaDataString("inDegrees") == "yes"
labels = list(table.getColumnLabels())
coordinates = [model.getCoordinateSet().get(number) for number in range(model.getCoordinateSet().getSize())]
missing = [coordinate.getName() for coordinate in coordinates if coordinate.getName() not in labels]
rotations = []
for row in range(table.getNumRows()):
    values = table.getRowAtIndex(row).to_numpy()
    for coordinate in coordinates:
        if coordinate.getName() in labels:
            value = values[labels.index(coordinate.getName())]
            coordinate.setClamped(state, False)
            unit = 1 if coordinate.getName().startswith("pelvis_t") and coordinate.getName()[-1] in "xyz" else numpy.pi / 180
            coordinate.setValue(state, value * unit, False)
    model.realizePosition(state)
    frames = [model.getBodySet().get(body).getTransformInGround(state) for body in bodies]
    rotations.append([[[frame.R().get(i, j) for j in range(3)] for i in range(3)] for frame in frames])
print(json.dumps({"model": model.getName(), "coordinates": len(coordinates), "missing": missing,
                  "rotations": rotations}))
"""
# Bodies of OpenSim's models, the SMPL joints that move with them, and whether the model can follow them exactly.
_BODIES = {
    "pelvis": ("pelvis", True),
    "torso": ("spine3", True),
    "femur_r": ("right_hip", True),
    "femur_l": ("left_hip", True),
    "humerus_r": ("right_shoulder", True),
    "humerus_l": ("left_shoulder", True),
    "tibia_r": ("right_knee", False),  # the model's knees and ankles have fewer degrees of freedom
    "tibia_l": ("left_knee", False),
    "calcn_r": ("right_ankle", False),
    "calcn_l": ("left_ankle", False),
    "hand_r": ("right_wrist", False),  # its elbows have a carrying angle
    "hand_l": ("left_wrist", False),
}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("motion", help="the motion.npz of a reconstruction, made with the free body")
    parser.add_argument("--blender", help="a Python with bpy")
    parser.add_argument("--node", help="a folder with gltf-validator and three in its node_modules")
    parser.add_argument("--opensim", help="a Python with opensim")
    parser.add_argument(
        "--opensim-model", help="a full-body model (.osim) with Rajagopal's or Pose2Sim's coordinates"
    )
    parser.add_argument("--picture", help="where to keep Blender's picture of the imported GLB")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    motion, body = Motion.load(options.motion), load_body()
    world = to_world(motion, body)
    report = {"frames": len(motion)}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        export({"motion": motion}, folder, "glb,bvh,usd,trc,opencap,mot,rrd")
        expected = _expected(motion, world, body)
        report["usd"] = _usd(folder / "motion.usd")
        report["rrd"] = _rrd(folder / "motion.rrd", expected)
        if options.blender:
            report["blender"] = _blender(options.blender, folder, expected)
            if options.picture:
                shutil.copyfile(folder / "blender.png", options.picture)
        if options.node:
            report["validator"] = _validator(options.node, folder)
            report["three"] = _three(options.node, folder, expected)
        if options.opensim:
            even = at_constant_rate(world, body)
            report["opensim"] = _opensim(options.opensim, folder, even.joints)
            if options.opensim_model:
                report["opensim"] |= _model(options.opensim, options.opensim_model, folder, even)
    print(json.dumps(report, indent=1))
    return report


def _expected(motion, world, body) -> dict[str, np.ndarray]:
    """What a reader should find, in the world of `to_world`, which is Blender's."""
    even, times = at_constant_rate(world, body), world.times - world.times[0]
    frames, even_frames = _spread(len(world)), _spread(len(even))
    return dict(
        names=np.array(SMPL_JOINTS),
        times=times,
        joints=world.joints,
        frames=frames,
        vertex_times=times[frames],
        vertices=_vertices(world, body, frames),
        even_joints=even.joints,
        even_frames=even_frames,
        even_vertices=_vertices(even, body, even_frames),
        picture_times=times[_apart(world.joints[:, 0])],
    )


def _spread(number: int) -> np.ndarray:
    return np.linspace(0, number - 1, min(FRAMES, number)).astype(int)


def _vertices(world, body, frames: np.ndarray) -> np.ndarray:
    return posed_vertices(
        body, world.betas, world.global_orient[frames], world.body_pose[frames], world.transl[frames]
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
    assert found["usd_joints_mm"] < JOINTS_MM, found
    assert found["glb_vertices_mm"] < VERTICES_MM and found["usd_vertices_mm"] < VERTICES_MM, found
    return found


def _usd(path: pathlib.Path) -> dict:
    from pxr import Usd, UsdValidation

    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    found = UsdValidation.ValidationContext(validators).Validate(Usd.Stage.Open(str(path)))
    assert not found, [error.GetMessage() for error in found]
    return {"version": ".".join(map(str, Usd.GetVersion())), "validators": len(validators), "errors": 0}


def _rrd(path: pathlib.Path, expected: dict[str, np.ndarray]) -> dict:
    import rerun
    from rerun.chunk import RrdReader

    chunks = [chunk for chunk in RrdReader(path).stream() if not chunk.is_static]
    tables = {chunk.entity_path: chunk.to_record_batch() for chunk in chunks}
    joints = tables["/world/motion/joints"].column("Points3D:positions").to_pylist()
    vertices = tables["/world/motion/body"].column("Mesh3D:vertex_positions")
    vertices = [vertices[int(row)].as_py() for row in expected["frames"]]
    report = {
        "version": rerun.__version__,
        "joints_mm": _largest(np.array(joints) - expected["joints"]),
        "vertices_mm": _largest(np.array(vertices) - expected["vertices"]),
    }
    assert report["joints_mm"] < JOINTS_MM and report["vertices_mm"] < VERTICES_MM, report
    return report


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
    opencap = _json([python, "-c", _OPENSIM, folder / "motion_opencap.trc"])
    return {
        "version": found["version"],
        "smpl24_mm": error,
        "body25_markers": len(body25["labels"]),
        "opencap_markers": len(opencap["labels"]),
    }


def _model(python: str, model: str, folder: pathlib.Path, motion) -> dict:
    """The largest errors in degrees of the bodies of a model that the MOT file moves; medians where it cannot follow."""
    found = _json([python, "-c", _MODEL, model, folder / "motion.mot", ",".join(_BODIES)])
    assert not found["missing"], found["missing"]
    expected = _segments(motion)
    report = {name: found[name] for name in ("model", "coordinates")}
    for number, (body, (_, exact)) in enumerate(_BODIES.items()):
        between = Rotation.from_matrix(np.array(found["rotations"])[:, number]).inv() * expected[body]
        errors = np.degrees(between.magnitude())
        assert not exact or errors.max() < DEGREES, (body, errors.max())
        report[f"{body}_degrees"] = float(errors.max() if exact else np.median(errors))
    return report


def _segments(motion) -> dict[str, Rotation]:
    """The rotations of `_BODIES` in OpenSim's ground: their axes are x forwards, y up, z right at rest, arms down."""
    turns = []
    for parent, local in zip(SMPL_PARENTS, np.moveaxis(motion.pose, 1, 0), strict=True):
        local = Rotation.from_rotvec(local)
        turns.append(turns[parent] * local if parent >= 0 else Rotation.from_matrix(Y_UP) * local)
    rest = Rotation.from_euler("y", -90, degrees=True)  # SMPL faces z at rest
    segments = {}
    for body, (joint, _) in _BODIES.items():
        side = -1 if body.endswith("_l") else 1
        raised = Rotation.from_euler("x", -90 * side, degrees=True)  # SMPL's arms at rest
        if body.startswith("hand"):
            raised = raised * Rotation.from_euler("y", 90 * side, degrees=True)  # with palms down
        elif not body.startswith("humerus"):
            raised = Rotation.identity()
        segments[body] = turns[SMPL_JOINTS.index(joint)] * rest * raised
    return segments


def _json(command: list, folder: str | None = None) -> dict:
    """Runs a program, in a folder, and reads the last line that it prints."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
