"""The table of joints."""

import dataclasses

import numpy as np

from hpof_jax.body import load_body
from hpof_jax.export import csv
from hpof_jax.world import to_world


def test_a_row_per_frame_and_a_column_per_number(small_motion, tmp_path):
    world = to_world(small_motion, load_body())
    csv.write(tmp_path / "a.csv", world)
    table = np.genfromtxt(tmp_path / "a.csv", delimiter=",", names=True)
    assert len(table) == 5 and len(table.dtype.names) == 2 + 72 + 72
    np.testing.assert_allclose(table["time"], small_motion.times, atol=1e-6)
    np.testing.assert_allclose(table["confidence"], small_motion.confidence, atol=1e-6)
    np.testing.assert_allclose(table["left_knee_z"], world.joints[:, 4, 2], atol=1e-6)
    np.testing.assert_allclose(table["left_knee_rx"], small_motion.pose[:, 4, 0], atol=1e-6)
    np.testing.assert_allclose(table["pelvis_ry"], world.global_orient[:, 1], atol=1e-6)


def test_joint_angles_have_a_table_of_their_own(small_motion, tmp_path):
    csv.write_angles(tmp_path / "a.csv", to_world(small_motion, load_body()))
    table = np.genfromtxt(tmp_path / "a.csv", delimiter=",", names=True)
    assert table.dtype.names == csv.ANGLE_COLUMNS and len(table) == 5
    for name, angle in small_motion.joint_angles().items():
        np.testing.assert_allclose(table[name], angle, atol=1e-4, err_msg=name)


def test_a_single_frame_is_a_table_as_well(small_motion, tmp_path):
    world = to_world(small_motion, load_body())
    one = {
        name: getattr(world, name)[:1]
        for name in "global_orient body_pose transl joints times confidence".split()
    }
    csv.write(tmp_path / "a.csv", dataclasses.replace(world, **one))
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 2
