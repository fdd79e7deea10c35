"""From a config to a model and its first parameters."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from hpof_jax.body.model import BodyModel
from hpof_jax.errors import UserError
from hpof_jax.models.baselines import MeanPose
from hpof_jax.models.hpof import CHOICES, HPOF
from hpof_jax.models.inputs import LANDMARKS, make_inputs

_MODELS = {"hpof": HPOF, "mean_pose": MeanPose}


def make_model(config: ml_collections.ConfigDict) -> HPOF | MeanPose:
    """The model of `config.model`: its `name`, and that class's own fields.

    Raises:
      UserError: a name, a field or a choice that does not exist.
    """
    fields = config.to_dict()
    name = fields.pop("name")
    if name not in _MODELS:
        raise UserError(f"There is no model '{name}': set --config.model.name to one of {sorted(_MODELS)}.")
    known = {field.name for field in dataclasses.fields(_MODELS[name])}
    if unknown := sorted(set(fields) - known):
        raise UserError(
            f"The model '{name}' has no field '{unknown[0]}': it takes {sorted(known - {'parent', 'name'})}."
        )
    for key, choices in CHOICES.items():
        if fields.get(key, choices[0]) not in choices:
            raise UserError(
                f"There is no '{fields[key]}' for --config.model.{key}: choose one of {', '.join(choices)}."
            )
    # A config that came from a file has lists; a module that is a static argument must be hashable.
    return _MODELS[name](**{key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()})


def init_params(model: HPOF | MeanPose, body: BodyModel, seed: int) -> Any:
    """Fresh parameters."""
    frames = (1, 2)
    inputs = make_inputs(
        jnp.zeros((*frames, LANDMARKS, 3)),
        jnp.zeros((*frames, LANDMARKS, 3)),
        jnp.ones(frames, bool),
        jnp.ones(frames, bool),
        jnp.full((1, 2), 512.0),
        jnp.full((1,), 512.0),
    )
    return jax.jit(lambda key: model.init(key, inputs, body)["params"])(jax.random.key(seed))
