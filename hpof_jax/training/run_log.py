"""The log of a training run: scalars for TensorBoard, lines with the speed, and a progress bar."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
from absl import logging


class RunLog:
    """Logs the steps of a run; process 0 also writes files and draws the bar.

    Args:
      workdir: the run's folder, see `Scalars`.
      start: finished steps.
      num_steps: of the whole run.
      every: steps between two calls of `train`.
      frames: in the batch of a step, on all devices.
    """

    def __init__(self, workdir: str | os.PathLike, start: int, num_steps: int, every: int, frames: int):
        first_process = jax.process_index() == 0
        self._scalars = Scalars(workdir) if first_process else None
        quiet = None if first_process else True  # None: off where there is no terminal
        self._bar = tqdm.tqdm(total=num_steps, initial=start, unit="step", disable=quiet, dynamic_ncols=True)
        self._every, self._frames = every, frames
        self._pace = Pace()

    def begin_phase(self, step: int, waited: float) -> None:
        """Call after the first step of a phase, whose time includes compiling and does not count.

        Args:
          waited: seconds in which the devices have waited for batches of this phase.
        """
        self._pace.restart(step, waited)
        self._told = False

    def step(self) -> None:
        """Call after each step."""
        self._bar.update()

    def train(self, step: int, logs: Mapping[str, jax.Array], skipped: int, waited: float) -> None:
        """Logs the losses of a step, the number of skipped steps so far, and the speed since the last call."""
        scalars = {f"train/{key}": float(value) for key, value in jax.device_get(logs).items()}
        scalars = {key: value for key, value in scalars.items() if np.isfinite(value)}
        scalars["train/skipped_steps"] = float(skipped)
        if lap := self._pace.lap(step, waited):
            scalars["train/input_wait"] = lap.waiting
            rate = scalars["train/frames_per_second"] = self._frames / lap.seconds
            self._bar.set_postfix(loss=f"{scalars.get('train/total', np.nan):.3f}", frames_s=f"{rate:.0f}")
            if not self._told and lap.steps == self._every:
                logging.info(
                    "a step takes %.0f ms: %.0f frames/s; the devices wait for data %.0f %% of the time",
                    1e3 * lap.seconds,
                    rate,
                    100 * lap.waiting,
                )
                self._told = True
        self._write(step, scalars)

    def validation(self, step: int, metrics: Mapping[str, float], waited: float) -> None:
        """Logs the metrics of an evaluation, whose time does not count as training."""
        self._pace.restart(step, waited)
        if metrics:
            self._write(step, {f"validation/{key}": value for key, value in metrics.items()})
        rounded = {key: round(value, 2) for key, value in metrics.items()}
        logging.info("step %d: %s", step, rounded or "no source has ground truth to evaluate on")

    def close(self) -> None:
        """Removes the bar."""
        self._bar.close()

    def _write(self, step: int, scalars: Mapping[str, float]) -> None:
        if self._scalars:
            self._scalars.write(step, scalars)


class Lap(NamedTuple):
    """Steps between two lines of the log."""

    steps: int
    seconds: float  # of one step, on average
    waiting: float  # share of the time in which the devices waited for a batch


class Pace:
    """Measures the time of a step."""

    def restart(self, step: int, waited: float) -> None:
        """Nothing before this step counts; `waited` seconds until now were spent waiting for batches."""
        self._step, self._time, self._waited = step, time.monotonic(), waited

    def lap(self, step: int, waited: float) -> Lap | None:
        """The steps since the last call; None if there are none."""
        steps, seconds = step - self._step, time.monotonic() - self._time
        share = (waited - self._waited) / max(seconds, 1e-9)
        self.restart(step, waited)
        return Lap(steps, seconds / steps, share) if steps else None


class Scalars:
    """Writes scalars to TensorBoard's event files and, one line for each call, to `metrics.jsonl`."""

    def __init__(self, workdir: str | os.PathLike):
        import tensorflow as tf  # here, because it takes seconds

        self._tf: Any = tf
        self._writer = tf.summary.create_file_writer(str(workdir))
        path = os.path.join(str(workdir), "metrics.jsonl")
        before = tf.io.gfile.GFile(path).read() if tf.io.gfile.exists(path) else ""
        self._lines = tf.io.gfile.GFile(path, "a")
        if before and not before.endswith("\n"):  # a kill came in the middle of a line
            self._lines.write("\n")

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        with self._writer.as_default():
            for key, value in scalars.items():
                self._tf.summary.scalar(key, value, step=step)
        self._lines.write(json.dumps({"step": step, **scalars}) + "\n")
        self._lines.flush()
        self._writer.flush()
