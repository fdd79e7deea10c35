"""Rerun's recordings, read by Rerun; these tests need the package rerun-sdk."""

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.body.joint_angles import JOINT_ANGLES
from hpof_jax.export import rrd
from hpof_jax.world import to_world

pytest.importorskip("rerun")


def test_a_recording_holds_mesh_joints_angles_and_camera(small_motion, tmp_path):
    from rerun.chunk import RrdReader

    body = load_body()
    world = to_world(small_motion, body)
    rrd.write(tmp_path / "a.rrd", {"Zoë 1": world}, body)
    moving, still = {}, {}
    for chunk in RrdReader(tmp_path / "a.rrd").stream():
        tables = still if chunk.is_static else moving
        tables[chunk.entity_path.replace("\\", "")] = chunk.to_record_batch()
    joints = moving["/world/Zoë 1/joints"]
    np.testing.assert_allclose(joints.column("Points3D:positions").to_pylist(), world.joints, atol=1e-5)
    seconds = [time.value / 1e9 for time in joints.column("time")]
    np.testing.assert_allclose(seconds, world.times, atol=1e-8)
    lowest = np.array(moving["/world/Zoë 1/body"].column("Mesh3D:vertex_positions")[0].as_py())[:, 2].min()
    assert abs(lowest) < 0.2
    assert {f"/Zoë 1/{name}" for name in (*JOINT_ANGLES, "confidence")} <= moving.keys()
    assert "Pinhole:resolution" in still["/world/camera"].schema.names
