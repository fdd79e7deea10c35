"""OpenCap's folders: trials, calibration, metadata, and damaged ones."""

import pickle

import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.sessions import read_session
from tests.sessions.conftest import touch


def test_a_session(opencap):
    session = read_session(opencap)
    assert session.program == "OpenCap" and session.stature == 1.86
    assert [*session.trials] == ["walk1", "walk2"]  # not those for OpenCap's own use
    walk = session.trial("walk1")
    assert {name: path.name for name, path in walk.videos.items()} == dict.fromkeys(
        ("Cam0", "Cam1"), "walk1_sync.mp4"
    )
    # What the laboratory's markers gave comes before what the videos gave.
    assert [path.parent.name for path in walk.markers] == ["Mocap", "PostAugmentation", "PreAugmentation"]
    assert [path.parent.name for path in walk.kinematics] == ["IK", "Kinematics"]
    assert [path.parent.name for path in session.trial("walk2").markers] == [
        "PostAugmentation",
        "PreAugmentation",
    ]
    camera = session.cameras["Cam1"]
    np.testing.assert_allclose(camera.translation, [0.1, 0.2, 3.0])
    assert camera.focal_length(np.array([1280, 720])) == pytest.approx(901)


def test_the_data_sets_layout(opencap):
    """LabValidation: VideoData/Session0/Cam0/trial/trial.avi."""
    (opencap / "Videos").rename(opencap / "VideoData")
    for camera in ("Cam0", "Cam1"):
        (opencap / "VideoData" / "Session0").mkdir(exist_ok=True)
        (opencap / "VideoData" / camera).rename(opencap / "VideoData" / "Session0" / camera)
    touch(opencap / "VideoData" / "Session0" / "Cam0" / "squats1" / "squats1.avi")
    session = read_session(opencap)
    assert [*session.trials] == ["squats1", "walk1", "walk2"] and [*session.cameras] == ["Cam0", "Cam1"]
    assert [*session.trial("squats1").videos] == ["Cam0"]


@pytest.mark.parametrize(
    "change",
    [
        {"intrinsicMat": np.eye(4)},
        {"translation": np.full((3, 1), np.nan)},
        {"intrinsicMat": "none"},
        {"imageSize": np.zeros((2, 1))},
    ],
)
def test_damaged_calibration(opencap, calibration, change):
    path = opencap / "Videos" / "Cam0" / "cameraIntrinsicsExtrinsics.pickle"
    path.write_bytes(pickle.dumps(calibration | change))
    with pytest.raises(UserError, match=r"cameraIntrinsicsExtrinsics\.pickle is not OpenCap's calibration"):
        read_session(opencap)
    del calibration["rotation"]
    path.write_bytes(pickle.dumps(calibration))
    with pytest.raises(UserError, match="it has no 'rotation'"):
        read_session(opencap)


def test_a_calibration_that_would_run_a_program(opencap):
    class Evil:
        def __reduce__(self):
            return eval, ("1 + 1",)

    (opencap / "Videos" / "Cam0" / "cameraIntrinsicsExtrinsics.pickle").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"asks for builtins\.eval"):
        read_session(opencap)


@pytest.mark.parametrize("content", ["", "- 1\n", "a: [", "!!python/object/apply:os.system [ls]"])
def test_damaged_metadata(opencap, content):
    (opencap / "sessionMetadata.yaml").write_text(content)
    with pytest.raises(UserError, match=r"sessionMetadata\.yaml is not OpenCap's metadata"):
        read_session(opencap)


def test_a_stature_that_is_none(opencap):
    (opencap / "sessionMetadata.yaml").write_text("height_m: unknown\n")
    assert read_session(opencap).stature is None
