import logging
import subprocess
import sys

import cv2
import numpy as np
import pytest

from hpof_jax.observe import capture
from hpof_jax.observe.capture import Capture
from hpof_jax.observe.metadata import Metadata


class Source:
    """What OpenCV gives for a file: `times` of its frames in seconds."""

    def __init__(self, times, fps=30.0, announced=None):
        self.times, self.fps, self.announced, self.at = times, fps, announced or len(times), -1

    def set(self, key, value):
        if key == cv2.CAP_PROP_POS_MSEC:
            self.at = round(value * self.fps / 1000) - 1

    def get(self, key):
        values = {cv2.CAP_PROP_FPS: self.fps, cv2.CAP_PROP_FRAME_COUNT: float(self.announced)}
        return 1000 * self.times[self.at] if key == cv2.CAP_PROP_POS_MSEC else values[key]

    def isOpened(self):
        return bool(self.times)

    def grab(self):
        self.at += 1
        return self.at < len(self.times)

    def retrieve(self):
        return True, np.full((4, 6, 3), (0, 0, self.at), np.uint8)

    def release(self):
        pass


@pytest.fixture
def opened(monkeypatch):
    """Opens a `Source` as if it was a file."""
    capture._warn_once.cache_clear()

    def opened(times, fps=None, own_fps=30.0, announced=None, duration=None):
        monkeypatch.setattr(cv2, "VideoCapture", lambda name: Source(times, own_fps, announced))
        return Capture("clip.mp4", "clip", fps, Metadata(duration))

    return opened


def times_of(source):
    times = []
    while source.grab():
        times.append((source.time, source.file_time))
    return np.array(times).T


def test_frames_come_with_their_times(opened):
    source = opened([0.0, 0.02, 0.1])
    assert source.fps == 30 and source.frame_count == 3 and not source.live
    assert source.grab() and source.time == 0
    assert source.frame()[0, 0].tolist() == [0, 0, 0]
    assert source.grab() and source.time == pytest.approx(0.02)
    assert source.frame()[0, 0].tolist() == [1, 0, 0]  # RGB
    assert source.grab() and not source.grab()


def test_another_rate_replaces_the_times(opened):
    np.testing.assert_allclose(times_of(opened([0.0, 0.02, 0.1], fps=10)), [[0, 0.1, 0.2]] * 2)


def test_broken_times_go_on_evenly(opened):
    time, file_time = times_of(opened([0.0, 0.1, 0.05, 0.0], own_fps=10))
    np.testing.assert_allclose(time, [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(file_time, [0, 0.1, 0.05, 0])


@pytest.mark.parametrize("slow", [0.3, 1.0, 2.0])  # OpenCV goes too far, goes there, and not far enough
def test_a_time_is_found_where_seeking_is_not_exact(opened, slow):
    times = [number * slow / 30 for number in range(400)]
    source = opened(times)
    assert source.grab_at(3.0) and source.time == pytest.approx(min(t for t in times if t >= 3 - 1e-9))
    assert not source.grab_at(30.0)


def test_a_file_that_ends_early_gives_one_warning(opened, caplog):
    def warnings_of(frames, **options):
        caplog.clear()
        capture._warn_once.cache_clear()
        for _ in range(2):
            source = opened([number / 30 for number in range(frames)], **options)
            times_of(source)
            source.warn_if_cut_off()
        return caplog.messages

    warning = ["clip breaks off after 5 of its 90 frames: using those"]
    assert warnings_of(5, announced=90) == warnings_of(5, announced=90, duration=3.0) == warning
    assert warnings_of(5, announced=90, duration=0.2) == []  # the rest is hidden by an edit list
    assert warnings_of(88, announced=90, duration=3.0) == []
    assert warnings_of(5, announced=90, duration=3.0, fps=300.0) == warning


@pytest.mark.parametrize("fps", [0.0, float("nan"), float("inf"), -5.0, 90000.0])
def test_an_unusable_frame_rate_becomes_30(opened, fps, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert opened([0.0], own_fps=fps).fps == 30
        assert opened([0.0], own_fps=fps).fps == 30
        assert opened([0.0], own_fps=fps, fps=25.0).fps == 25
    assert len(caplog.messages) == 1 and "frame rate" in caplog.text


def test_a_file_that_is_no_video_gives_no_warning_about_its_frame_rate(opened, caplog):
    assert not opened([], own_fps=-1.0).grab()
    assert not caplog.messages


def test_libraries_print_nothing(films, tmp_path):
    """In a process of its own, because OpenCV's ffmpeg prints to the process's standard error."""
    names = ("cut.mp4", "cut.avi", "cut_edited.mp4", "damaged.mp4")
    code = f"""
import pathlib
from absl import logging
from hpof_jax.errors import UserError
from hpof_jax.observe.video import read_video
logging.set_verbosity(logging.ERROR)
folder = pathlib.Path({str(films)!r})
for name in {names}:
    list(read_video(folder / name)[0])
for name, size in (("head.mp4", 900), ("head.avi", 9000)):
    head = pathlib.Path({str(tmp_path)!r}) / name
    head.write_bytes((folder / "cut_edited.mp4").read_bytes()[:size])
    try:
        list(read_video(head)[0])
    except UserError:
        pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
