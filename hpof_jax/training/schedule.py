"""When each loss counts: ramps of the loss weights, and the phases into which they cut a training."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import optax

from hpof_jax.errors import UserError

LossWeights = Mapping[str, float | optax.Schedule]  # loss name -> loss weight, or that of a step


class Phase(NamedTuple):
    """Consecutive steps of a training that compute the same losses. Steps are counted from 1."""

    first: int
    last: int  # inclusive
    loss_weights: dict[str, float | optax.Schedule]  # as `steps.make_train_step` takes them


def make_phases(
    loss_weights: Mapping[str, float], ramps: Mapping[str, tuple[float, float]], num_steps: int
) -> list[Phase]:
    """The phases of a training: a new one begins where a loss comes in.

    Args:
      loss_weights: loss name -> loss weight. A loss with the loss weight 0 is left out.
      ramps: loss name -> (start, end), fractions of `num_steps`. Until `start` the loss is left out. From
        there its loss weight rises linearly from 0, up to `end`. A loss without a ramp has its full loss
        weight from the first step on. Ramps of other losses are ignored.

    Raises:
      UserError: a ramp that is not 0 <= start <= end <= 1, or no loss in the first step.
    """
    weights: dict[str, float | optax.Schedule] = {}
    starts: dict[str, int] = {}
    for name, weight in loss_weights.items():
        if weight:
            first, last = ramp_steps(ramps, name, num_steps)
            starts[name] = first
            weights[name] = _rising(weight, first, last) if last else weight
    if 0 not in starts.values():
        raise UserError("No loss counts in the first step: give one a loss weight and no ramp.")
    cuts = sorted({first for first in starts.values() if first < num_steps})
    return [
        Phase(cut + 1, end, {name: weights[name] for name in weights if starts[name] <= cut})
        for cut, end in zip(cuts, [*cuts[1:], num_steps])
    ]


def ramp_steps(ramps: Mapping[str, tuple[float, float]], name: str, num_steps: int) -> tuple[int, int]:
    """The last step without the loss and the first with its full loss weight; (0, 0) without a ramp.

    Raises:
      UserError: the ramp is not 0 <= start <= end <= 1.
    """
    ramp = ramps.get(name, (0.0, 0.0))
    if len(ramp) != 2 or not 0 <= ramp[0] <= ramp[1] <= 1:
        raise UserError(
            f"config.ramps.{name} is {tuple(ramp)}: set it to a start and an end as fractions of num_steps, "
            "such as (0.6, 0.7)."
        )
    first, last = (round(fraction * num_steps) for fraction in ramp)
    return first, last


def _rising(weight: float, first: int, last: int) -> optax.Schedule:
    """Finished steps -> loss weight of the next step: `weight` / (last - first) in the step first + 1."""
    return lambda step: weight * jnp.clip((step + 1 - first) / max(last - first, 1), 0.0, 1.0)
