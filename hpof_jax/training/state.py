"""The state of a training, its optimizers and its initial values."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax

from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params
from hpof_jax.models.discriminator import Discriminator
from hpof_jax.models.hpof import HPOF
from hpof_jax.training.adversary import Adversary
from hpof_jax.training.schedule import ramp_steps


@flax.struct.dataclass
class TrainState:
    """A pytree. It holds no random key: randomness follows from the seed and `step`."""

    step: jax.Array  # () int32, finished steps
    params: Any
    ema: Any  # exponential moving average of params, which is evaluated and shipped
    opt_state: Any
    discriminator: Any  # its params and opt_state; empty without an adversary


def make_optimizer(config: ml_collections.ConfigDict, num_steps: int) -> optax.GradientTransformation:
    """AdamW with the schedule below and clipping of the global gradient norm.

    If `config.train_only` names a part of the model, such as "fitting_head", all other parameters stay as they are.
    """
    schedule = make_schedule(config, num_steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedule, weight_decay=config.weight_decay),
    )
    if not (part := config.get("train_only")):
        return optimizer

    def labels(params: dict) -> dict[str, str]:
        if part not in params:
            raise UserError(
                f"The model has no part '{part}': set --config.optimizer.train_only to one of {sorted(params)}."
            )
        return {name: "trained" if name == part else "kept" for name in params}

    return optax.multi_transform({"trained": optimizer, "kept": optax.set_to_zero()}, labels)


def make_schedule(config: ml_collections.ConfigDict, num_steps: int) -> optax.Schedule:
    """The learning rate by step: linear warm-up, then a cosine decay to zero at `num_steps`.

    A training shorter than the warm-up still reaches the full rate.
    """
    warmup = min(config.warmup_steps, max(num_steps - 1, 1))
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, warmup, max(num_steps, warmup + 1))


def make_adversary(config: ml_collections.ConfigDict) -> Adversary | None:
    """The adversary of `config.adversary`, or None if the loss `adversarial` has no loss weight.

    Its learning rate schedule begins where the loss comes in.
    """
    if not config.losses.get("adversarial"):
        return None
    first, _ = ramp_steps(config.ramps, "adversarial", config.num_steps)
    optimizer = make_optimizer(config.adversary.optimizer, config.num_steps - first)
    return Adversary(Discriminator(config.adversary.channels), optimizer)


def init_state(
    model: HPOF,
    body: BodyModel,
    optimizer: optax.GradientTransformation,
    seed: int,
    adversary: Adversary | None = None,
) -> TrainState:
    """The state before the first step; with an adversary, its discriminator is initialised, too."""
    params, discriminator = init_params(model, body, seed), {}
    if adversary:
        clip = jnp.zeros((1, 2, len(SMPL_JOINTS), 3, 3)), jnp.zeros((1, 10)), jnp.ones((1, 2), bool)
        fresh = jax.jit(adversary.discriminator.init)(jax.random.key(seed), *clip)["params"]
        discriminator = {"params": fresh, "opt_state": adversary.optimizer.init(fresh)}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params),
        opt_state=optimizer.init(params),
        discriminator=discriminator,
    )
