"""BVH files, read again by the reader of the training data."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.motion.bvh_format import forward, parse_bvh
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.export import bvh
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import Y_UP, joint_names
from hpof_jax.world import to_world


@pytest.mark.parametrize(("names", "unit", "scale"), [("smpl", "m", 1), ("mixamo", "cm", 100)])
def test_joints_are_those_of_the_motion(small_motion, tmp_path, names, unit, scale):
    body = load_body()
    world = to_world(small_motion, body)
    bvh.write(tmp_path / "a.bvh", world, body, names, unit)
    read = parse_bvh((tmp_path / "a.bvh").read_text(encoding="utf-8"))
    even = at_constant_rate(world, body)
    assert len(read.motion) == len(even) and abs(read.fps - 25) < 1e-4
    rows = [read.names.index(name) for name in joint_names(names)]
    _, positions = forward(read)
    np.testing.assert_allclose(positions[:, rows] / scale, even.joints @ Y_UP.T, atol=1e-4)


def test_the_rest_pose_is_the_t_pose_of_the_shape(small_motion, tmp_path):
    body = load_body()
    bvh.write(tmp_path / "a.bvh", to_world(small_motion, body), body)
    read = parse_bvh((tmp_path / "a.bvh").read_text(encoding="utf-8"))
    left_arm = [read.offsets[read.names.index(f"left_{part}")] for part in ("elbow", "wrist", "hand")]
    assert all(bone[0] > 0.9 * np.linalg.norm(bone) for bone in left_arm)
    ends = [joint for joint, name in enumerate(read.names) if not name]
    assert {read.names[read.parents[end]] for end in ends} == {
        name for name in SMPL_JOINTS if name.endswith(("foot", "hand", "head"))
    }
    assert np.all(np.linalg.norm(read.offsets[ends], axis=1) > 0.03)


def test_angles_do_not_jump(small_motion, tmp_path):
    turning = small_motion.pose.copy()
    turning[:, 16] = np.linspace([0, 0, 2.5], [0, 0, 4.5], 5)
    turning[:, 1] = np.linspace([-1.2, 0, 0], [-2.0, 0, 0], 5)  # past the gimbal lock at 90 degrees
    motion = dataclasses.replace(
        small_motion, poses=turning.reshape(5, 72), times=np.arange(5) / 25, mocap_framerate=25
    )
    bvh.write(tmp_path / "a.bvh", to_world(motion, load_body()), load_body())
    read = parse_bvh((tmp_path / "a.bvh").read_text(encoding="utf-8"))
    assert np.abs(np.diff(read.motion[:, 3:], axis=0)).max() < 35
