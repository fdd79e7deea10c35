"""The loop over the steps of a training: step, log, evaluate, save, stop."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import jax
from absl import logging
from ml_collections import ConfigDict

from hpof_jax.training import evaluation, parallel, preemption, processes
from hpof_jax.training.checkpoint import Checkpointer
from hpof_jax.training.input_wait import Fetched
from hpof_jax.training.run_log import RunLog
from hpof_jax.training.schedule import LossWeights, Phase
from hpof_jax.training.setup import Parts, make_step
from hpof_jax.training.skips import SkippedSteps
from hpof_jax.training.state import TrainState


class Data(Protocol):
    """The clips of a training."""

    @property
    def sources(self) -> Mapping[str, float]:
        """The names of the sources and their shares."""

    def batches(self, loss_weights: LossWeights, first: int) -> tuple[Fetched, Callable[[int], list[str]]]:
        """The batches that these losses need, from the step `first` on, and where their clips are from.

        The function takes the number of a step, counted from 1, and returns a text for each clip of this process.
        """

    def windows(self) -> Iterable | None:
        """The validation clips, see `evaluation.evaluate`; None if there are none."""


class Loop:
    """Trains from the state of one step to the last; `checkpointer` and the log write to `workdir`."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: str | os.PathLike,
        parts: Parts,
        data: Data,
        checkpointer: Checkpointer,
    ):
        self._config, self._workdir = config, workdir
        self._parts, self._data, self._checkpointer = parts, data, checkpointer
        self._totals = evaluation.make_totals(parts.model, parts.body)
        self._skipped = SkippedSteps()
        self._logs: Any = None  # of the last step, perhaps still being computed
        self._metrics: dict[str, float] = {}  # of the last evaluation
        self._save_due = False

    def run(self, state: TrainState, phases: Sequence[Phase]) -> dict[str, float]:
        """Runs all steps after `state` and returns the metrics of the last evaluation.

        SIGTERM and Ctrl-C save a checkpoint and end the program.

        Args:
          state: replicated; its buffers are donated to the first step.

        Raises:
          UserError: ten steps in a row whose loss or gradient is not finite.
        """
        config, start, self._state = self._config, int(state.step), state
        frames = config.batch_size * config.clip_length
        self._log = RunLog(self._workdir, start, config.num_steps, config.log_every, frames)
        with preemption.Notice() as notice:
            parameters = sum(x.size for x in jax.tree.leaves(self._state.params))
            sources = dict(self._data.sources)
            logging.info("%d parameters, %d devices, sources %s", parameters, jax.device_count(), sources)
            for phase in phases:
                if start < phase.last:
                    self._run_phase(phase, max(phase.first, start + 1), notice)
        self._log.close()
        self._checkpointer.wait()
        self._checkpointer.close()
        return self._metrics

    def _run_phase(self, phase: Phase, first: int, notice: preemption.Notice) -> None:
        """The steps of a phase from `first` on, which have their own compiled step and their own batches."""
        logging.info("step %d: compiling the step for %s", first, ", ".join(phase.loss_weights))
        plain = make_step(self._parts, self._config, phase.loss_weights)
        batches, origins = self._data.batches(phase.loss_weights, first)
        self._skipped.begin(plain, origins)
        step = parallel.pmap_step(plain)
        for number in range(first, phase.last + 1):
            batch = batches.take(self._logs)
            # The copy to the devices runs while they still compute the step before.
            placed = parallel.place(parallel.cut(batch))
            # The first call compiles, which may copy constants.
            with jax.transfer_guard("allow" if number == first else "disallow"):
                self._state, self._logs = step(self._state, placed)
            self._skipped.note(number, self._logs.pop("skipped"), batch, self._state)
            if number == first:
                jax.block_until_ready(self._logs)
                self._log.begin_phase(number, batches.waited)
            self._log.step()
            stop = notice.received(number) and number < self._config.num_steps
            self._after_step(number, batches.waited, stop)
            if stop:
                batches.close()
                self._stop(number, notice.status)
        batches.close()
        self._skipped.settle(self._state)

    def _after_step(self, number: int, waited: float, stop: bool) -> None:
        """Logs, evaluates and saves where it is due."""
        config, last = self._config, number == self._config.num_steps
        self._save_due |= number % config.checkpoint_every == 0 or last or stop
        if self._save_due:
            self._skipped.settle(self._state)
        if number % config.log_every == 0 or last:
            self._log.train(number, self._logs, self._skipped.total, waited)
        measured: dict[str, float] = {}
        if config.eval_every and (number % config.eval_every == 0 or last):
            measured = self._metrics = self._evaluate()
            self._log.validation(number, measured, waited)
        # After a skipped step the checkpoint waits, so that a training that has gone wrong keeps the old ones.
        if self._save_due and (not self._skipped.in_a_row or last or stop):
            self._checkpointer.save(self._state, config, measured)
            self._save_due = False

    def _evaluate(self) -> dict[str, float]:
        windows = self._data.windows()
        if windows is None:
            return {}
        return evaluation.evaluate(self._totals, self._state.ema, {"": windows}, processes.gather)["overall"]

    def _stop(self, number: int, status: int) -> None:
        self._log.close()
        self._checkpointer.close()  # returns when everything is written
        logging.info(
            "stopped at step %d, saved in %s: the same command resumes the run", number, self._workdir
        )
        sys.exit(status)
