"""TRC files, read line by line as OpenSim's format says."""

import dataclasses

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError
from hpof_jax.export import trc
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import Y_UP
from hpof_jax.world import to_world


def read(path):
    """Times (T,) and markers: name -> (T, 3)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = lines[3].split("\t")[2::3]
    values = np.array([[float(word) for word in line.split("\t")] for line in lines[6:]])
    assert len(values) == int(header["NumFrames"]) and len(names) == int(header["NumMarkers"])
    assert values.shape[1] == 2 + 3 * len(names) == len(lines[4].split("\t")) and not lines[5]
    assert header["Units"] == "mm"
    np.testing.assert_array_equal(values[:, 0], np.arange(1, len(values) + 1))
    return (
        float(header["DataRate"]),
        values[:, 1],
        dict(zip(names, values[:, 2:].reshape(len(values), -1, 3).swapaxes(0, 1))),
    )


@pytest.fixture
def world(small_motion):
    return to_world(small_motion, load_body())


def test_smpls_joints_are_markers_in_millimetres(world, tmp_path):
    trc.write(tmp_path / "a.trc", world, load_body(), "smpl24")
    rate, times, markers = read(tmp_path / "a.trc")
    even = at_constant_rate(world, load_body())
    assert abs(rate - 25) < 1e-3
    np.testing.assert_allclose(times, even.times, atol=1e-6)
    assert tuple(markers) == SMPL_JOINTS
    have = np.stack([*markers.values()], axis=1)
    np.testing.assert_allclose(have, 1000 * even.joints @ Y_UP.T, atol=0.1)


def test_body_25_has_the_names_of_pose2sim(world, tmp_path):
    trc.write(tmp_path / "a.trc", world, load_body())
    _, _, markers = read(tmp_path / "a.trc")
    names = "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist CHip RHip RKnee RAnkle LHip LKnee LAnkle REye LEye"
    assert list(markers) == [
        *names.split(),
        *"REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel".split(),
    ]
    knees = world.joints[[0, -1], 4] @ Y_UP.T * 1000
    np.testing.assert_allclose(markers["LKnee"][[0, -1]], knees, atol=0.1)
    assert markers["LBigToe"][0, 1] < markers["LKnee"][0, 1] < markers["Nose"][0, 1]


def test_opencaps_markers_are_on_the_skin_around_the_joints(world, tmp_path):
    body = load_body()
    trc.write(tmp_path / "a.trc", world, body, "opencap")
    _, _, markers = read(tmp_path / "a.trc")
    studies = [name for name in markers if name.endswith("_study")]
    assert len(markers) == 63 and len(studies) == 43 and "midHip" in markers and "Nose" not in markers
    joints = at_constant_rate(world, body).joints @ Y_UP.T * 1000
    for side, whole in (("r", "right"), ("L", "left")):
        for joint, pair in {"knee": ("knee", "mknee"), "ankle": ("ankle", "mankle")}.items():
            middle = sum(markers[f"{side}_{name}_study"] for name in pair) / 2
            centre = joints[:, SMPL_JOINTS.index(f"{whole}_{joint}")]
            assert np.linalg.norm(middle - centre, axis=1).max() < 35, (side, joint)
    assert np.all(markers["RHJC_study"][:, 0] < markers["LHJC_study"][:, 0])  # the person faces the camera
    assert np.all(markers["r.ASIS_study"][:, 2] > markers["r.PSIS_study"][:, 2])


def test_opencaps_markers_need_the_free_body(world, tmp_path):
    body = dataclasses.replace(load_body(), name="SMPL_NEUTRAL")
    with pytest.raises(UserError, match="OpenCap's markers are known on the free body alone"):
        trc.write(tmp_path / "a.trc", world, body, "opencap")
    assert not list(tmp_path.iterdir())
