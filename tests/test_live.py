"""The stream: order and times of its frames, JSON lines, and what a wrong source says."""

import json
import time
import types

import numpy as np
import pytest

from hpof_jax import live
from hpof_jax.causal import Body

IMAGE = np.zeros((4, 6, 3), np.uint8)


def body(at: float) -> Body:
    zeros = np.zeros
    return Body(at, True, zeros(72), zeros(10), np.full(3, 1 / 3), zeros((24, 3)), 0.75)


class Steps:
    """A stepper whose state is the number of the frames so far."""

    def start(self):
        return 0

    def step(self, state, new):
        return state + 1, body(new.time) if new.seen else None


def tracker(image):
    seen = types.SimpleNamespace(landmarks_2d=np.ones((33, 3)), landmarks_3d=np.ones((33, 3)))
    return seen if image.any() else None


def test_every_frame_of_a_file_becomes_a_line_in_order():
    frames = [live.Arrival(IMAGE + (n > 1), n / 25, time.perf_counter()) for n in range(20)]
    results = list(live.stream(frames, tracker, Steps()))
    assert [result.arrival.time for result in results] == [n / 25 for n in range(20)]
    first, last = (json.loads(live.line(n, results[n])) for n in (0, 19))
    names = ["frame", "time", "seen", "pose", "betas", "trans", "joints", "confidence", "latency"]
    assert list(first) == list(last) == names
    assert first["seen"] is False and first["pose"] is None and first["confidence"] == 0
    assert last["seen"] is True and last["trans"] == [0.33333] * 3 and last["confidence"] == 0.75
    assert last["frame"] == 19 and last["latency"] >= 0


def test_the_times_of_a_file_ascend_even_if_the_file_says_otherwise():
    class Frames:
        def __init__(self):
            self.time, self.left = 0.0, [0.0, 0.04, 0.04, 0.12]

        def __iter__(self):
            for at in self.left:
                self.time = at
                yield IMAGE

    found = [arrival.time for arrival in live.arrivals(Frames(), 25.0, live=False)]
    np.testing.assert_allclose(found, [0.0, 0.04, 0.08, 0.12])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.mp4"], "there is no video nowhere.mp4"),
        (["--webcam", "97"], "webcam 97 cannot be opened"),
        (["-"], "standard input is not a video that can be read"),
    ],
)
def test_a_wrong_source_gives_one_sentence(monkeypatch, capfd, tmp_path, arguments, sentence):
    lines = tmp_path / "lines.jsonl"
    monkeypatch.setattr("sys.argv", ["live", *arguments, "--json", str(lines)])
    with pytest.raises(SystemExit) as stopped:
        live.main()
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 2 and error.startswith("error: ") and sentence in error
    assert not lines.exists()


def test_a_file_that_is_no_video_gives_one_sentence(monkeypatch, capfd, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    monkeypatch.setattr("sys.argv", ["live", str(tmp_path / "text.mp4"), "--json", "-"])
    with pytest.raises(SystemExit):
        live.main()
    assert "is not a video that can be read" in capfd.readouterr().err


def test_the_summary_says_how_late_the_bodies_are():
    told = live.summary(4, [0.010, 0.020, 0.030, 0.040], 2.0, 3)
    assert "4 frames at 2.0 frames/s" in told and "75 %" in told and "25 ms (median), 38 ms" in told
    assert live.summary(0, [], 1.0, 0) == "no frame"
