"""Pose2Sim's folders: trials, calibrations of both kinds, and damaged ones."""

import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.sessions import read_session
from hpof_jax.sessions.pose2sim import read_qualisys
from tests.sessions.conftest import QUALISYS, TOML, touch


def test_a_session_of_one_trial(pose2sim):
    session = read_session(pose2sim)
    assert session.program == "Pose2Sim" and session.stature == 1.72
    trial = session.trial()
    assert trial.name == "Balance" and [*trial.videos] == ["cam_01", "cam_02"]
    assert [path.stem.removeprefix("Balance_0-99") for path in trial.markers] == [
        "_filt_butterworth_LSTM",
        "_filt_butterworth",
        "",
    ]
    assert len(trial.kinematics) == 1
    camera = session.cameras["cam_01"]
    np.testing.assert_array_equal(camera.image_size, [1920, 1088])
    np.testing.assert_allclose(camera.rotation @ [0, 0, 1], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(camera.translation, [0.1, 0.2, 3.0])
    assert camera.focal_length(np.array([960, 544])) == pytest.approx(1681.15 / 2)
    assert camera.focal_length(np.array([544, 960])) == pytest.approx(1681.15 / 2)


def test_a_session_of_several_trials(pose2sim):
    session = pose2sim.parent / "batch"
    for number in (1, 2):
        touch(session / f"Trial_{number}" / "videos" / "cam1.mp4")
    (pose2sim / "calibration").rename(session / "calibration")
    (session / "Config.toml").write_text("[project]\nparticipant_height = 'auto'\n")
    found = read_session(session)
    assert [*found.trials] == ["Trial_1", "Trial_2"] and found.stature is None
    # One video and one calibrated camera: they belong together, whatever their names.
    assert [*found.trial("Trial_2").videos] == ["cam_01"]
    with pytest.raises(UserError, match="several trials: name one with --trial"):
        found.trial()
    with pytest.raises(UserError, match="no trial Trial_3: give one of Trial_1, Trial_2"):
        found.trial("Trial_3")


def test_qualisys_calibration(tmp_path):
    (tmp_path / "Calib.qca.txt").write_text(QUALISYS)
    (camera,) = read_qualisys(tmp_path / "Calib.qca.txt")
    assert camera.name == "cam01"
    np.testing.assert_array_equal(camera.image_size, [1919, 1087])
    assert camera.intrinsics[0, 0] == pytest.approx(107599 / 64)
    # The camera stands at (1, 2, 3) m, looks along -z and has y up.
    seen = camera.rotation @ [1.0, 3.0, -1.0] + camera.translation
    np.testing.assert_allclose(seen, [0, -1, 4], atol=1e-12)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[cam_01",
        TOML.replace("1681.2", "nan"),
        TOML.replace("1681.2", "-5.0"),
        TOML.replace("[ 1088.0, 1920.0,]", "[ 1088.0,]"),
        TOML.replace("translation", "shift"),
        TOML.replace("[ 0.1, 0.2, 3.0,]", "'here'"),
    ],
)
def test_damaged_calibration(pose2sim, content):
    (pose2sim / "calibration" / "Calib_scene.toml").write_text(content)
    with pytest.raises(UserError, match=r"Calib_scene\.toml is not a calibration"):
        read_session(pose2sim)


@pytest.mark.parametrize(
    "content", ["", "<a", "<a/>", QUALISYS.replace("transform", "other"), QUALISYS.replace("1000", "far")]
)
def test_damaged_qualisys(pose2sim, content):
    (pose2sim / "calibration" / "Calib_scene.toml").unlink()
    (pose2sim / "calibration" / "Calib.qca.txt").write_text(content)
    with pytest.raises(UserError, match=r"Calib\.qca\.txt is not a calibration"):
        read_session(pose2sim)


def test_entities_are_refused(pose2sim):
    (pose2sim / "calibration" / "Calib_scene.toml").unlink()
    (pose2sim / "calibration" / "Calib.qca.txt").write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    with pytest.raises(UserError, match="XML entities"):
        read_session(pose2sim)


def test_damaged_configuration(pose2sim):
    (pose2sim / "Config.toml").write_text("[project")
    with pytest.raises(UserError, match=r"Config\.toml is not a Config\.toml of Pose2Sim"):
        read_session(pose2sim)
