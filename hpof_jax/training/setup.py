"""What a training starts with: a checked config, the model and its optimizers, the first state, the step."""

import dataclasses
import os
from collections.abc import Callable, Set
from typing import NamedTuple

import jax
import numpy as np
import optax
from absl import logging
from ml_collections import ConfigDict

from hpof_jax.body import BodyModel, keypoint_basis, load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.errors import UserError
from hpof_jax.models import weights
from hpof_jax.models.build import make_model
from hpof_jax.models.hpof import HPOF
from hpof_jax.training import parallel, processes, state, steps
from hpof_jax.training.adversary import Adversary
from hpof_jax.training.checkpoint import Checkpointer
from hpof_jax.training.schedule import LossWeights, Phase, make_phases
from hpof_jax.training.state import TrainState
from hpof_jax.training.terms import LOSSES, OUTLINE_LOSSES


def check_config(config: ConfigDict) -> list[Phase]:
    """The phases of the training that a config describes.

    Raises:
      UserError: a number or a loss in the config makes no sense.
    """
    for key in ("losses", "ramps"):
        if unknown := set(config[key]) - LOSSES:
            raise UserError(f"There is no loss '{min(unknown)}': config.{key} takes {sorted(LOSSES)}.")
    seen = OUTLINE_LOSSES & {name for name, weight in config.losses.items() if weight}
    if seen and config.data.flow == "none":
        raise UserError(f"The loss '{min(seen)}' needs optical flow: set --config.data.flow=noisy.")
    for key in ("batch_size", "clip_length", "num_steps", "accumulate"):
        if config[key] < 1:
            raise UserError(f"config.{key} is {config[key]}: it must be at least 1.")
    if config.data.processes < 0:
        raise UserError(f"config.data.processes is {config.data.processes}: it must be at least 0.")
    return make_phases(config.losses.to_dict(), config.ramps.to_dict(), config.num_steps)


def with_backbone(config: ConfigDict, backbones: Set[str]) -> ConfigDict:
    """The config with the fingerprint of the ResNet-50 whose image features the data have, as `model.backbone`.

    Raises:
      UserError: the features are of several.
    """
    if "features" not in config.model.get("inputs", ()) or not backbones:
        return config
    if len(backbones) > 1:
        raise UserError(
            f"The image features of the data are of several ResNet-50s, with the fingerprints "
            f"{', '.join(sorted(backbones))}: prepare all data sets with the same --features."
        )
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.model.backbone = next(iter(backbones))
    return config


class Parts(NamedTuple):
    """What is trained, and by what."""

    model: HPOF
    body: BodyModel
    optimizer: optax.GradientTransformation
    adversary: Adversary | None


def make_parts(config: ConfigDict) -> Parts:
    """The free body, and the model, optimizer and adversary of a config.

    Raises:
      UserError: there are none for this config.
    """
    return Parts(
        model=make_model(config.model, config.precision),
        body=load_body(),
        optimizer=state.make_optimizer(config.optimizer, config.num_steps),
        adversary=state.make_adversary(config),
    )


def first_state(parts: Parts, config: ConfigDict) -> TrainState:
    """The state before the first step: random, or with the parameters of `config.initial_weights`.

    Raises:
      UserError: the parts do not fit together, or the weights are of another model.
    """

    def fresh() -> TrainState:
        return state.init_state(parts.model, parts.body, parts.optimizer, config.seed, parts.adversary)

    # Shapes alone: a config that does not fit together ends here, before memory is taken.
    try:
        shapes = jax.eval_shape(fresh)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"No model can be built from config.model ({error}): compare it with configs/hpof.py."
        ) from error
    bytes_ = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))
    logging.info("the parameters, their mean and the optimizer take %.0f MB on each device", bytes_ / 1e6)
    if not config.initial_weights:
        return fresh()
    return with_weights(config.initial_weights, fresh(), config.model)


def with_weights(path: str, fresh: TrainState, model: ConfigDict) -> TrainState:
    """The fresh state with the parameters of a weights file or a training run; a fitting head may be new."""
    params, trained = weights.load_weights(path)
    if "fitting_head" in fresh.params and "fitting_head" not in params:
        logging.info("%s has no fitting head: its parameters fitting_head/... start fresh", path)
        params = params | {"fitting_head": fresh.params["fitting_head"]}
        trained = trained.copy_and_resolve_references()
        trained.fit_steps = model.fit_steps
    weights.check_params(params, fresh.params, path, trained, model)
    weights.check_backbone(trained, model.get("backbone", ""), "those of the data")
    return dataclasses.replace(fresh, params=params, ema=jax.tree.map(np.copy, params))


def resumed(
    first: TrainState, checkpointer: Checkpointer, config: ConfigDict, workdir: str | os.PathLike
) -> TrainState:
    """The state of the newest checkpoint in `workdir`, or `first` if there is none.

    Raises:
      UserError: the checkpoint is of another config, or of the image features of another ResNet-50.
    """
    processes.check_equal({"the newest checkpoint at step": checkpointer.latest_step()})
    if checkpointer.latest_step() is None:
        return first
    newest = checkpointer.restore(first)
    changed = checkpointer.changes(config)
    before = ConfigDict({"backbone": changed.get("model.backbone", ("",))[0] or ""})
    weights.check_backbone(before, config.model.get("backbone", ""), "those of the data")
    changes = [f"{key} {old} -> {new}" for key, (old, new) in changed.items()]
    and_so = f" with another config: {', '.join(changes)}" if changes else ""
    logging.info("resumed %s at step %d%s", workdir, int(newest.step), and_so)
    return newest


def make_step(parts: Parts, config: ConfigDict, loss_weights: LossWeights) -> Callable:
    """The training step of a phase with these losses, as `steps.make_train_step` returns it."""
    model, body = parts.model, parts.body
    takes_both = model.image_head is not None and model.takes_landmarks
    return steps.make_train_step(
        model,
        body,
        parts.optimizer,
        loss_weights,
        seed=config.seed,
        ema_decay=config.optimizer.ema_decay,
        hide_3d=config.data.hide_3d,
        axis_name=parallel.AXIS,
        outline=decimate(body) if OUTLINE_LOSSES & loss_weights.keys() else None,
        annotated=keypoint_basis(body, "spin49") if config.data.prepared else None,
        adversary=parts.adversary if "adversarial" in loss_weights else None,
        accumulate=config.accumulate,
        remat=config.remat,
        hide_input=config.data.hide_input if takes_both else 0.0,
    )
