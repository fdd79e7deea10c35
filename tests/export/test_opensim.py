"""TRC and MOT files: our own, OpenCap's and Pose2Sim's layout, gaps, and damaged ones."""

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.body.joint_angles import joint_angles
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError
from hpof_jax.export import mot, trc
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.opensim import read_mot, read_trc
from hpof_jax.export.skeleton import Y_UP
from hpof_jax.world import to_world

# As OpenCap writes it: a path in the first line, metres, tabs behind the last cell, an empty line.
OPENCAP = (
    "PathFileType  4\t(X/Y/Z) C:\\data\\walk\n"
    "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
    "60.0\t60.0\t3\t2\tm\t60.0\t1\t3\n"
    "Frame#\tTime\tr.ASIS_study\t\t\tL_knee_study\t\t\t\n"
    "\t\tX1\tY1\tZ1\tX2\tY2\tZ2\t\n"
    "\n"
    "1\t0.0000000\t1.5\t2.0\t3.0\t4.0\t5.0\t6.0\n"
    "2\t0.0166667\t\t\t\t4.0\t5.0\t6.0\t\n"
    "3\t0.0333333\t0.0\t0.0\t0.0\t4.5\n"
)


def test_what_our_writers_wrote_is_read(small_motion, tmp_path):
    body = load_body()
    world = to_world(small_motion, body)
    even = at_constant_rate(world, body)
    trc.write(tmp_path / "a.trc", world, body, "smpl24")
    markers = read_trc(tmp_path / "a.trc")
    np.testing.assert_allclose(markers.times, even.times, atol=1e-6)
    assert tuple(markers.points) == SMPL_JOINTS
    np.testing.assert_allclose(np.stack([*markers.points.values()], axis=1), even.joints @ Y_UP.T, atol=1e-4)
    mot.write(tmp_path / "a.mot", world, body)
    coordinates = read_mot(tmp_path / "a.mot")
    np.testing.assert_allclose(coordinates.times, even.times, atol=1e-6)
    true = joint_angles(even.pose)["knee_angle_l"]
    np.testing.assert_allclose(coordinates.values["knee_angle_l"], true, atol=1e-4)


def test_opencaps_layout_and_missing_markers(tmp_path):
    (tmp_path / "a.trc").write_text(OPENCAP)
    markers = read_trc(tmp_path / "a.trc")
    np.testing.assert_allclose(markers.times, [0, 0.0166667, 0.0333333])
    nan = np.nan
    np.testing.assert_array_equal(markers.points["r.ASIS_study"], [[1.5, 2, 3], [nan] * 3, [nan] * 3])
    np.testing.assert_array_equal(markers.points["L_knee_study"], [[4, 5, 6], [4, 5, 6], [nan] * 3])


def test_radians_become_degrees_and_metres_stay(tmp_path):
    (tmp_path / "a.mot").write_text(
        "Coordinates\nversion=1\nnRows=2\nnColumns=3\ninDegrees = no\n\nendheader\n"
        "time  pelvis_tx  knee_angle_r\n 0.0  1.5  0.5\n 0.1  1.6  1.0\n"
    )
    found = read_mot(tmp_path / "a.mot")
    np.testing.assert_allclose(found.values["knee_angle_r"], np.degrees([0.5, 1.0]))
    np.testing.assert_allclose(found.values["pelvis_tx"], [1.5, 1.6])


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("PathFileType", "Path", "PathFileType"),
        ("\tm\t", "\tinch\t", "inch"),
        ("0.0166667", "-1", "ascend"),
        ("0.0166667", "nan", "ascend"),
        ("\t4.5", "\ta few", "a few"),
        ("L_knee_study", "r.ASIS_study", "twice"),
        ("4.5\n", "4.5" + "\t1" * 9 + "\n", "columns"),
    ],
)
def test_damaged_trc(tmp_path, old, new, words):
    (tmp_path / "a.trc").write_text(OPENCAP.replace(old, new))
    with pytest.raises(UserError, match=r"a\.trc is not a TRC file .*" + words):
        read_trc(tmp_path / "a.trc")


@pytest.mark.parametrize("content", ["", "endheader\n", "endheader\ntime a\n", "endheader\na b\n1 2\n2 3\n"])
def test_damaged_mot(tmp_path, content):
    (tmp_path / "a.mot").write_text(content)
    with pytest.raises(UserError, match=r"a\.mot is not a MOT file"):
        read_mot(tmp_path / "a.mot")


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        read_trc(tmp_path / "a.trc")
    (tmp_path / "a.trc").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(UserError, match="is not a TRC file"):
        read_trc(tmp_path / "a.trc")
