"""From a config to a model and its initial parameters.

The one place that reads a model's config. `CHOICES` are parts that can be exchanged; the first is HPOF's own,
the others are ablations.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from hpof_jax.body.model import BodyModel
from hpof_jax.errors import UserError
from hpof_jax.models.baselines import MeanPoseHead, MeanShapeHead
from hpof_jax.models.fitting_head import FittingHead
from hpof_jax.models.flat_head import FlatHead
from hpof_jax.models.hpof import HPOF
from hpof_jax.models.image_embedding import ImageEmbedding
from hpof_jax.models.inputs import LANDMARKS, make_inputs
from hpof_jax.models.kinematic_head import KinematicHead
from hpof_jax.models.recurrent_encoder import RecurrentEncoder
from hpof_jax.models.shape_head import ShapeHead
from hpof_jax.models.temporal_encoder import TemporalEncoder
from hpof_jax.models.weights import check_params

CHOICES = {
    "encoder_type": ("dilated", "gru"),
    "head_type": ("tree", "flat"),
    "shape_per": ("clip", "frame"),
}

INPUTS = ("landmarks", "features")
PRECISIONS = {"f32": None, "bf16": jnp.bfloat16}


def hpof(
    *,
    channels: int = 256,
    kernel_size: int = 3,
    dilations: Sequence[int] = (1, 3, 9, 27),
    dropout: float = 0.0,
    hidden: int = 64,
    encoder_type: str = "dilated",
    head_type: str = "tree",
    shape_per: str = "clip",
    fit_steps: int = 0,
    inputs: Sequence[str] = ("landmarks",),
    image_channels: int = 256,
    causal: bool = False,
    dtype: Any = None,
) -> HPOF:
    """The method's model, or an ablation of it.

    Args:
      channels: size of the encoder's features.
      kernel_size: frames of a convolution; 1 gives a per-frame MLP. dilations: one for each convolution. The
        encoder "gru" has neither.
      dropout: share of features dropped in training.
      hidden: size of each joint's features in the pose head.
      encoder_type: "dilated" convolutions or "gru".
      head_type: "tree", joints along the kinematic tree, or "flat", all joints at once.
      shape_per: one shape for the "clip", or one for each "frame". The flat head then does not see the shape,
        so that pose and shape are predicted independently.
      fit_steps: Gauss-Newton steps of the fitting head towards the observed landmarks; 0: no fitting head.
      inputs: "landmarks", image "features" of a ResNet-50, or both. With both, one of them may be missing in a frame.
        The place of the person's box is always an input.
      image_channels: size of the image features' embedding.
      causal: the dilated encoder sees no frame after the one that it encodes, for `hpof_jax.live`. The GRU reads both
        ways and has no such variant.
      dtype: of the dilated encoder's matrix products; None: float32.
    """
    if encoder_type == "gru":
        encoder = RecurrentEncoder(channels, dropout)
    else:
        encoder = TemporalEncoder(channels, kernel_size, tuple(dilations), dropout, causal, dtype)
    # The names are those of the parameters in weights files.
    if head_type == "flat":
        pose_head = FlatHead(hidden, use_shape=shape_per == "clip", name="flat_head")
    else:
        pose_head = KinematicHead(hidden, name="kinematic_head")
    fitting_head = FittingHead(fit_steps, name="fitting_head") if fit_steps else None
    shape_head = ShapeHead(per_frame=shape_per == "frame")
    if "features" not in inputs:
        return HPOF(encoder, shape_head, pose_head, fitting_head)
    image_head = ImageEmbedding(image_channels, name="image_head")
    return HPOF(encoder, shape_head, pose_head, fitting_head, image_head, "landmarks" in inputs)


def mean_pose(*, channels: int = 256, dtype: Any = None) -> HPOF:
    """The baseline: one learned shape and body pose for all, oriented and placed by a per-frame MLP."""
    return HPOF(TemporalEncoder(channels, 1, (1, 1), dtype=dtype), MeanShapeHead(), MeanPoseHead())


_MODELS = {"hpof": hpof, "mean_pose": mean_pose}


def make_model(config: ml_collections.ConfigDict, precision: str = "f32") -> HPOF:
    """The model of `config.model`: its `name`, and the arguments of the function above with that name.

    Args:
      precision: "f32", or "bf16" for the encoder's matrix products in bfloat16. Parameters, heads and body are
        float32 in both.

    Raises:
      UserError: the name, a field, a choice or the precision does not exist.
    """
    if precision not in PRECISIONS:
        raise UserError(
            f"There is no precision '{precision}': set --config.precision to one of {', '.join(PRECISIONS)}."
        )
    fields = config.to_dict()
    name = fields.pop("name")
    fields.pop("backbone", None)  # tells only whose image features the model was trained on
    if name not in _MODELS:
        raise UserError(f"There is no model '{name}': set --config.model.name to one of {sorted(_MODELS)}.")
    known = inspect.signature(_MODELS[name]).parameters.keys() - {"dtype"}
    if unknown := sorted(set(fields) - set(known)):
        raise UserError(f"The model '{name}' has no field '{unknown[0]}': it takes {sorted(known)}.")
    for key, choices in CHOICES.items():
        if fields.get(key, choices[0]) not in choices:
            raise UserError(
                f"There is no '{fields[key]}' for --config.model.{key}: choose one of {', '.join(choices)}."
            )
    inputs = fields.get("inputs", INPUTS[:1])
    if not inputs or isinstance(inputs, str) or not set(inputs) <= set(INPUTS):
        raise UserError(
            f"config.model.inputs is {inputs}: give ('landmarks',), ('features',) or ('landmarks', 'features')."
        )
    if fields.get("fit_steps", 0) and "landmarks" not in inputs:
        raise UserError(
            "The fitting head needs landmarks: set --config.model.fit_steps=0, or add them to inputs."
        )
    if fields.get("fit_steps", 0) < 0:
        raise UserError(f"config.model.fit_steps is {fields['fit_steps']}: it must be at least 0.")
    return _MODELS[name](**fields, dtype=PRECISIONS[precision])


def init_params(model: HPOF, body: BodyModel, seed: int) -> Any:
    """The initial parameters."""
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


def model_for(
    params: Any, config: ml_collections.ConfigDict, body: BodyModel, where: str = "the weights"
) -> HPOF:
    """The model of `config`, after a check that `params` are its parameters.

    Args:
      params, config: as `weights.load_weights` returns them.
      where: the file that they are from, for the message.

    Raises:
      UserError: `params` do not fit the model, or there is no such model.
    """
    model = make_model(config)
    check_params(params, jax.eval_shape(lambda: init_params(model, body, 0)), where)
    return model
