"""Recordings are whole, however they end."""

import itertools
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.visualize import record


def test_ctrl_c_ends_a_recording(tmp_path):
    def camera():
        for number in itertools.count():
            if number == 5:
                signal.raise_signal(signal.SIGINT)
            yield np.full((33, 46, 3), 120, np.uint8)

    record(camera(), 30, tmp_path / "recording.mp4")
    video = cv2.VideoCapture(str(tmp_path / "recording.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    with pytest.raises(UserError, match="no frame"):
        record(iter([]), 30, tmp_path / "none.mp4")
    assert not (tmp_path / "none.mp4").exists()


RECORDS = """
import itertools, sys
import numpy as np
from hpof_jax import interrupt, visualize

interrupt.install()

def camera():
    for number in itertools.count():
        yield np.full((32, 48, 3), 120, np.uint8)
        if number == 3:
            print("go", flush=True)

visualize.record(camera(), 30, sys.argv[1])
print("on")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_ctrl_c_in_a_terminal_reaches_ffmpeg_too_and_the_recording_is_whole(tmp_path):
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # else the program inherits an ignored one
    command = [sys.executable, "-c", RECORDS, tmp_path / "recording.mp4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as program:
        signal.signal(signal.SIGINT, before)
        assert program.stdout.readline() == "go\n"
        os.killpg(program.pid, signal.SIGINT)
        assert program.stdout.read() == "on\n"
    assert program.returncode == 0
    video = cv2.VideoCapture(str(tmp_path / "recording.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= 4
    assert [path.name for path in tmp_path.iterdir()] == ["recording.mp4"]
