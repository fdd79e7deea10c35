import json

import numpy as np
import pytest

from hpof_jax.training import run_log


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(run_log.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def written(monkeypatch):
    """What is written as scalars: step -> values."""
    found = {}

    class Scalars:
        def __init__(self, workdir):
            pass

        def write(self, step, scalars):
            found[step] = scalars

    monkeypatch.setattr(run_log, "Scalars", Scalars)
    return found


def test_the_speed_is_that_of_the_steps_since_the_last_line(clock, written, caplog):
    log = run_log.RunLog("run", start=0, num_steps=9, every=3, frames=60)
    log.begin_phase(1, waited=5.0)  # compiled, and waited for the first batch
    with caplog.at_level("INFO"):
        for step, seconds in ((3, 2.0), (6, 6.0), (9, 6.0)):
            clock[0] += seconds
            log.train(
                step, {"total": np.float32(0.5), "gradient": np.float32(np.nan)}, 2, waited=5.0 + step / 6
            )
        log.validation(9, {"pa_mpjpe": 71.234}, waited=7.0)
    log.close()
    assert [scalars["train/frames_per_second"] for step, scalars in written.items() if step < 9] == [60, 30]
    assert written[6] == {
        "train/total": 0.5,
        "train/skipped_steps": 2.0,
        "train/input_wait": pytest.approx(0.5 / 6),
        "train/frames_per_second": pytest.approx(30),
    }
    assert written[9] == {"validation/pa_mpjpe": 71.234}
    assert caplog.messages == [  # the first line is of two steps, and speed is told once
        "a step takes 2000 ms: 30 frames/s; the devices wait for data 8 % of the time",
        "step 9: {'pa_mpjpe': 71.23}",
    ]


def test_nothing_to_evaluate_on(written, caplog):
    log = run_log.RunLog("run", start=0, num_steps=9, every=3, frames=60)
    with caplog.at_level("INFO"):
        log.validation(3, {}, waited=0.0)
    log.close()
    assert not written and caplog.messages == ["step 3: no source has ground truth to evaluate on"]


@pytest.mark.slow  # imports TensorFlow
def test_a_line_that_a_kill_cut_off_is_left_alone(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "lo')
    run_log.Scalars(tmp_path).write(2, {"loss": 0.5})
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1]) == {"step": 2, "loss": 0.5}
