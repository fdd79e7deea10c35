import sys

import cv2
import numpy as np
import pytest

from benchmarks import long_video

LINE = "I1129 08:48:09.676955 139959212051328 progress.py:42] "


def child(*lines):
    said = "; ".join(f"print({LINE + line!r}, file=sys.stderr, flush=True)" for line in lines)
    return [sys.executable, "-c", f"import sys, time; {said}; time.sleep(WAIT)"]


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_each_stage_has_a_rate_and_a_peak():
    command = child(
        "observing: 230 frames in 9.2 s, 25.0 frames/s", "fitting: 25 windows in 5.0 s, 5.0 windows/s"
    )
    run = long_video.watch([*command[:2], command[2].replace("WAIT", "0")])
    assert [(stage["stage"], stage["count"], stage["rate"]) for stage in run["stages"]] == [
        ("observing", 230, 25.0),
        ("fitting", 25, 5.0),
    ]
    assert run["status"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_it_is_killed_at_the_wanted_frame():
    command = child(
        "observing: 126 of 5402 frames, 4.2 frames/s", "observing: 2801 of 5402 frames, 4.2 frames/s"
    )
    run = long_video.watch([*command[:2], command[2].replace("WAIT", "60")], kill_at=0.5)
    assert run["status"] == -9 and not run["stages"] and run["peak_mb"] > 0


def test_the_video_has_the_wanted_length(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 48))
    for shade in range(12):
        writer.write(np.full((48, 64, 3), 20 * shade, np.uint8))
    writer.release()
    long_video.make_video(tmp_path / "a.avi", tmp_path / "b.mp4", 2.0, "64:48")
    assert cv2.VideoCapture(str(tmp_path / "b.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(60, abs=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.avi", "b.mp4"]
