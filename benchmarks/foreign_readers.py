"""Do other programs read the exported files, and do they find the motion in them?

    python -m benchmarks.foreign_readers out/motion.npz --blender PYTHON --validator FOLDER --opensim PYTHON

Each reader is optional, and installed apart from this project:

- `--blender`: a Python with Blender as a module (`pip install bpy`). It imports the GLB and the BVH file. Joints over
  the whole clip must be within 1 mm of the motion's, the skinned mesh within 2 mm.
- `--validator`: a folder in which `npm install gltf-validator` was run. Khronos' validator must find no error and no
  warning.
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
from hpof_jax.motion import Motion
from hpof_jax.world import at_constant_rate, to_world

JOINTS_MM, VERTICES_MM = 1.0, 2.0
FRAMES = 8  # in which the mesh is compared

_VALIDATE = """
const validator = require(process.argv[1] + "/node_modules/gltf-validator"), fs = require("fs");
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2]))).then(report => console.log(JSON.stringify({
  version: validator.version(), errors: report.issues.numErrors, warnings: report.issues.numWarnings,
  infos: report.issues.numInfos, hints: report.issues.numHints})));
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
    parser.add_argument("--validator", help="a folder with node_modules/gltf-validator")
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
        if options.blender:
            _expect(folder / "expected.npz", motion, world, body)
            script = pathlib.Path(__file__).with_name("in_blender.py")
            report["blender"] = found = _json([options.blender, script, folder])
            assert found["bvh_joints_mm"] < JOINTS_MM and found["glb_joints_mm"] < JOINTS_MM, found
            assert found["glb_vertices_mm"] < VERTICES_MM, found
            if options.picture:
                shutil.copyfile(folder / "blender.png", options.picture)
        if options.validator:
            command = [
                "node",
                "-e",
                _VALIDATE,
                pathlib.Path(options.validator).resolve(),
                folder / "motion.glb",
            ]
            report["validator"] = found = _json(command)
            assert found["errors"] == found["warnings"] == 0, found
        if options.opensim:
            report["opensim"] = _opensim(options.opensim, folder, at_constant_rate(world, body).joints)
    print(json.dumps(report, indent=1))
    return report


def _expect(path: pathlib.Path, motion, world, body) -> None:
    """Writes what Blender should find; Blender's world is that of `to_world`."""
    frames = np.linspace(0, len(motion) - 1, min(FRAMES, len(motion))).astype(int)
    vertices = motion.vertices(body, frames)
    to_camera = world.world_to_camera
    times = world.times - world.times[0]
    np.savez(
        path,
        names=np.array(SMPL_JOINTS),
        times=times,
        joints=world.joints,
        even_joints=at_constant_rate(world, body).joints,
        vertex_times=times[frames],
        vertices=(vertices - to_camera[:3, 3]) @ to_camera[:3, :3],
    )


def _opensim(python: str, folder: pathlib.Path, joints: np.ndarray) -> dict:
    found = _json([python, "-c", _OPENSIM, folder / "motion_smpl24.trc"])
    assert tuple(found["labels"]) == SMPL_JOINTS, found["labels"]
    markers = np.array(found["rows"])  # millimetres, x, y up, z towards the camera
    error = np.linalg.norm(markers * (1, 1, -1) / 1000 - joints[..., [0, 2, 1]], axis=-1).max() * 1000
    assert error < JOINTS_MM, error
    body25 = _json([python, "-c", _OPENSIM, folder / "motion.trc"])
    return {"version": found["version"], "smpl24_mm": error, "body25_markers": len(body25["labels"])}


def _json(command: list) -> dict:
    """Runs a program and reads the last line that it prints."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
