"""Session folders in the layouts of Pose2Sim and OpenCap."""

import pickle

import numpy as np
import pytest

TOML = """
[cam_01]
name = "cam_01"
size = [ 1088.0, 1920.0,]
matrix = [ [ 1681.2, 0.0, 532.9,], [ 0.0, 1681.1, 948.1,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.046, 0.139, 0.0006, 0.0006,]
rotation = [ 1.5707963267948966, 0.0, 0.0,]
translation = [ 0.1, 0.2, 3.0,]
fisheye = false

[metadata]
adjusted = false
error = 0.0
"""
QUALISYS = """<?xml version='1.0' encoding='ASCII'?>
<calibration><cameras><camera active="1" serial="cam01">
<transform r11="1" r12="0" r13="0" r21="0" r22="1" r23="0" r31="0" r32="0" r33="1" x="1000" y="2000" z="3000"/>
<intrinsic centerPointU="34110" centerPointV="60680" focalLengthU="107599" focalLengthV="107588"
 radialDistortion1="-0.046" radialDistortion2="0.139" tangentalDistortion1="0.0006" tangentalDistortion2="0.0007"
 sensorMaxU="69568" sensorMaxV="122816" sensorMinU="0" sensorMinV="0"/>
</camera></cameras></calibration>
"""
METADATA = "height_m: 1.86\nmass_kg: 83.0\niphoneModel:\n  Cam0: iPhone13,3\nopenSimModel: LaiUhlrich2022\n"


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.fixture
def pose2sim(tmp_path):
    """One trial with two cameras; the calibration knows the first."""
    folder = tmp_path / "Balance"
    for name in ("cam_01.mp4", "cam_02.mp4"):
        touch(folder / "videos" / name)
    stem = "Balance_0-99"
    for ending in ("", "_filt_butterworth", "_filt_butterworth_LSTM"):
        touch(folder / "pose-3d" / f"{stem}{ending}.trc")
    touch(folder / "kinematics" / f"{stem}_filt_butterworth_LSTM.mot")
    (folder / "calibration").mkdir()
    (folder / "calibration" / "Calib_scene.toml").write_text(TOML)
    (folder / "Config.toml").write_text("[project]\nparticipant_height = 1.72\nframe_rate = 'auto'\n")
    return folder


@pytest.fixture
def calibration():
    return {
        "imageSize": np.array([[1280.0], [720.0]]),
        "intrinsicMat": np.array([[900.0, 0, 360], [0, 902.0, 640], [0, 0, 1]]),
        "distortion": np.array([[0.1, -0.2, 0.0, 0.0, 0.0]]),
        "rotation": np.eye(3),
        "translation": np.array([[100.0], [200.0], [3000.0]]),
        "rotation_EulerAngles": np.zeros((3, 1)),
    }


@pytest.fixture
def opencap(tmp_path, calibration):
    """Two trials and the recordings that OpenCap needs itself; of the first there are markers, too."""
    folder = tmp_path / "OpenCapData"
    for camera in ("Cam0", "Cam1"):
        for trial in ("calibration", "neutral", "walk1", "walk2"):
            touch(folder / "Videos" / camera / "InputMedia" / trial / f"{trial}.mov")
            touch(folder / "Videos" / camera / "OutputMedia_mmpose" / trial / f"{trial}.mp4")
        touch(folder / "Videos" / camera / "InputMedia" / "walk1" / "walk1_sync.mp4")
        with (folder / "Videos" / camera / "cameraIntrinsicsExtrinsics.pickle").open("wb") as file:
            pickle.dump(calibration, file, protocol=4)
    for trial in ("neutral", "walk1", "walk2"):
        touch(folder / "MarkerData" / "PostAugmentation" / f"{trial}.trc")
        touch(folder / "MarkerData" / "PreAugmentation" / f"{trial}.trc")
        touch(folder / "OpenSimData" / "Kinematics" / f"{trial}.mot")
    touch(folder / "MarkerData" / "Mocap" / "walk1.trc")
    touch(folder / "OpenSimData" / "Mocap" / "IK" / "walk1.mot")
    (folder / "sessionMetadata.yaml").write_text(METADATA)
    return folder
