import signal
import types

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from hpof_jax.training import evaluation, loop, parallel
from hpof_jax.training.input_wait import Fetched
from hpof_jax.training.schedule import Phase
from hpof_jax.training.state import TrainState
from tests.training.test_skips import step

STEPS = 10
PHASES = [Phase(1, 3, {"betas": 1.0}), Phase(4, STEPS, {"betas": 1.0, "smoothness": 1.0})]
CONFIG = dict(num_steps=STEPS, checkpoint_every=4, log_every=5, eval_every=5, batch_size=8, clip_length=2)


class Noted:
    """Stands for the data, the checkpoints and the log of a training, and notes what the loop asks for."""

    sources = {"synthetic": 1.0}

    def __init__(self, skipped=(), signal_at=None):
        self.skipped, self.signal_at = skipped, signal_at
        self.phases, self.saved, self.logged, self.evaluated = [], [], [], []

    def batches(self, loss_weights, first):
        self.phases.append((first, len(loss_weights)))
        batches = Fetched(self._batch(number) for number in range(first, 2 * STEPS))
        return batches, lambda number: ["a clip"] * 8

    def _batch(self, number):
        """Every clip of a step that is to be skipped holds a 0."""
        return {"x": np.full(8, float(number not in self.skipped), np.float32), "mask": np.ones((8, 2), bool)}

    def windows(self):
        return None

    def save(self, state, config, metrics):
        self.saved.append(int(state.step))

    def train(self, number, logs, skipped, waited):
        self.logged.append((number, skipped))
        if number == self.signal_at:
            signal.raise_signal(signal.SIGTERM)

    def validation(self, number, metrics, waited):
        self.evaluated.append(number)

    def begin_phase(self, *_):
        pass

    step = wait = close = begin_phase


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(loop, "make_step", lambda *arguments: step)
    monkeypatch.setattr(evaluation, "make_totals", lambda *arguments: None)

    def run(noted, start=0):
        monkeypatch.setattr(loop, "RunLog", lambda *arguments: noted)
        state = TrainState(jnp.int32(start), {}, {}, optax.sgd(1.0).init({}), {})
        parts = types.SimpleNamespace(model=None, body=None)
        trained = loop.Loop(ConfigDict(CONFIG), "runs/x", parts, noted, noted)
        return trained.run(parallel.replicate(state), PHASES)

    return run


def test_each_phase_has_its_batches_and_the_last_step_is_logged_evaluated_and_saved(run):
    noted = Noted()
    assert run(noted) == {}
    assert noted.phases == [(1, 1), (4, 2)]
    assert noted.saved == [4, 8, 10] and noted.evaluated == [5, 10]
    assert noted.logged == [(5, 0), (10, 0)]


def test_a_resumed_run_goes_on_in_its_phase(run):
    noted = Noted()
    run(noted, start=6)
    assert noted.phases == [(7, 2)] and noted.saved == [8, 10]
    finished = Noted()
    run(finished, start=STEPS)
    assert not finished.phases and not finished.saved


def test_after_a_skipped_step_the_checkpoint_waits(run):
    noted = Noted(skipped=(4, 5))
    run(noted)
    assert noted.saved == [6, 8, 10] and noted.logged == [(5, 2), (10, 2)]


def test_a_signal_saves_and_ends_the_program(run, caplog):
    noted = Noted(signal_at=5)
    with pytest.raises(SystemExit) as stop, caplog.at_level("INFO"):
        run(noted)
    assert stop.value.code == 128 + signal.SIGTERM and noted.saved == [4, 6]
    assert caplog.messages[-1] == "stopped at step 6, saved in runs/x: the same command resumes the run"
