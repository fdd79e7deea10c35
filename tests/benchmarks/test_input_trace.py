from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import input_trace


def event(name, start, end, module=None):
    stats = [("hlo_module", module)] if module else []
    return SimpleNamespace(name=name, start_ns=start, duration_ns=end - start, stats=stats)


def profile(*events):
    line = SimpleNamespace(events=events)
    return SimpleNamespace(planes=[SimpleNamespace(name="/host:CPU", lines=[line])])


def test_the_time_without_a_step_counts_only_while_a_batch_is_waited_for():
    events = [
        *(event("add", *span, "jit_step") for span in ((0, 40), (30, 50), (80, 90), (95, 100))),
        event("draw", 50, 80, "jit_simulate"),  # makes the batch
        event(input_trace.WAIT, 20, 70),
    ]
    found = input_trace.analyse(profile(*events), "jit_step")
    assert found["running"] == pytest.approx(0.65)
    assert found["waiting"] == pytest.approx(0.2) and found["longest_wait"] == pytest.approx(20e-9)


def test_a_step_that_is_always_there_is_never_waited_for():
    events = [event("add", 0, 100, "jit_step"), event(input_trace.WAIT, 20, 70)]
    found = input_trace.analyse(profile(*events), "jit_step")
    assert found["running"] == 1.0 and found["waiting"] == found["longest_wait"] == 0.0


def test_spans_that_touch_are_one():
    spans = input_trace.union([(4, 6), (0, 2), (2, 3), (1, 2)])
    np.testing.assert_array_equal(spans, [[0, 3], [4, 6]])
    np.testing.assert_array_equal(input_trace.gaps(spans), [[3, 4]])
