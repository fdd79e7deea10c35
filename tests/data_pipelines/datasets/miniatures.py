"""A miniature copy of every data set of the paper's recipe, with frames, in one folder."""

import cv2
import numpy as np

from tests.data_pipelines.datasets import (
    test_amass,
    test_human36m,
    test_instavariety,
    test_mpi_inf_3dhp,
    test_penn_action,
    test_posetrack,
)
from tests.data_pipelines.datasets.conftest import pictures, write_3dpw

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


def film(path, frames, size=(64, 48)):
    """A video; the grey of each frame is about its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*CODECS[path.suffix]), 50, size)
    assert video.isOpened()
    for number in range(frames):
        video.write(np.full((*size[::-1], 3), number, np.uint8))
    video.release()


def write_all(raw):
    """Writes one training video, or recording, of each set below a folder of its name; 3DPW also has one to validate."""
    import tensorflow as tf

    write_3dpw(raw / "3dpw")
    write_3dpw(raw / "3dpw", "office_00", "validation", people=1)
    test_human36m.write(raw / "human36m", "S1")
    film(raw / "human36m/S1/Videos/Walking 1.60457274.mp4", test_human36m.T)
    test_mpi_inf_3dhp.write_train(raw / "mpi_inf_3dhp", frames=40)
    film(raw / "mpi_inf_3dhp/S1/Seq2/imageSequence/video_2.avi", 40)
    test_penn_action.write(raw / "penn_action")
    pictures(raw / "penn_action/frames/0001", "{:06d}.jpg", test_penn_action.T, (240, 320), first=1)
    test_posetrack.write(raw / "posetrack", labelled=range(20))
    pictures(raw / "posetrack/images/train/000001_bonn", "{:06d}.jpg", 20, (120, 160))
    example, _ = test_instavariety.example(tf, frames=20)
    test_instavariety.records(raw / "instavariety/train/a.tfrecord", [example])
    test_amass.write(raw / "amass/CMU/01/01_01_poses.npz")
