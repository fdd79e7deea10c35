"""Steps that were skipped because their numbers are not finite: counts them and names their clips."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from hpof_jax.errors import UserError
from hpof_jax.training.parallel import AXIS
from hpof_jax.training.state import TrainState
from hpof_jax.training.terms import Batch

MOST_IN_A_ROW = 10
_MOST_NAMED = 3  # clips in one message


class _Step(NamedTuple):
    number: int
    skipped: Any  # () 0 or 1, perhaps still being computed
    batch: Batch


class SkippedSteps:
    """Follows a training and stops it after ten skipped steps in a row.

        skips = SkippedSteps()
        skips.begin(step, origins)  # for each phase
        for number, batch in ...:
            state, logs = pmapped(state, batch)
            skips.note(number, logs["skipped"], batch, state)

    Attributes:
      total: skipped steps so far.
      in_a_row: skipped steps since the last one that was not.
    """

    def __init__(self):
        self.total = self.in_a_row = 0
        self._last: _Step | None = None

    def begin(self, step: Callable, origins: Callable[[int], list[str]]) -> None:
        """A phase begins.

        Args:
          step: as `steps.make_train_step` returns it, with the axis `parallel.AXIS`.
          origins: number of a step -> where each clip of its batch on this process is from.
        """
        self._alone, self._origins = for_one_clip(step), origins

    def note(self, number: int, skipped: jax.Array, batch: Batch, state: TrainState) -> None:
        """Call after each step, with its batch before `parallel.cut` and the new state.

        Looks at the step before: so the device has the next step to do while the host waits for the last.

        Raises:
          UserError: ten steps in a row were skipped.
        """
        self.settle(state)
        self._last = _Step(number, skipped, batch)

    def settle(self, state: TrainState) -> None:
        """Waits for the last step and looks at it. Call at the end of a phase, too. Raises as `note` does."""
        if self._last is None:
            return
        last, self._last = self._last, None
        if not np.any(jax.device_get(last.skipped)):
            self.in_a_row = 0
            return
        self.total += 1
        self.in_a_row += 1
        before = jax.device_get(state).replace(step=np.int32(last.number - 1))  # for the same random numbers
        clips = find_clips(self._alone, before, last.batch)
        which = _describe(clips, len(last.batch["mask"]), lambda: self._origins(last.number))
        logging.warning("Step %d was skipped: its numbers are not finite (%s).", last.number, which)
        if self.in_a_row == MOST_IN_A_ROW:
            first = last.number - MOST_IN_A_ROW + 1
            raise UserError(
                f"The loss or its gradient is not finite in {MOST_IN_A_ROW} steps in a row, {first} to "
                f"{last.number}: lower --config.optimizer.learning_rate or correct the data ({which}), and "
                "start the same command again, which resumes from the last checkpoint."
            )


def for_one_clip(step: Callable) -> Callable:
    """The step of `steps.make_train_step` for a batch (1, 1, ...) on one device; compiled at the first call."""
    return jax.jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name=AXIS))


def find_clips(alone: Callable, state: TrainState, batch: Mapping[str, np.ndarray]) -> list[int]:
    """Indices of the clips to blame for a skipped step: their arrays, or else their losses, are not finite.

    Args:
      alone: the step as `for_one_clip` returns it.
      state: before the step.
      batch: of this process, (B, ...).
    """
    wrong = np.zeros(len(batch["mask"]), bool)
    for array in batch.values():
        if np.issubdtype(array.dtype, np.floating):
            wrong |= ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if not wrong.any():
        for clip in range(len(wrong)):
            _, logs = alone(state, {key: array[None, clip : clip + 1] for key, array in batch.items()})
            wrong[clip] = bool(logs["skipped"])
    return np.flatnonzero(wrong).tolist()


def _describe(clips: list[int], count: int, origins: Callable[[], list[str]]) -> str:
    if not clips:
        return "no clip of this process alone is the cause"
    if len(clips) == count > 1:
        return f"all {count} clips of this process"
    found = origins()
    names = "; ".join(found[clip] for clip in clips[:_MOST_NAMED])
    more = len(clips) - _MOST_NAMED
    return names + (f"; and {more} more" if more > 0 else "")
