"""HPOF: encoder, then shape, then pose on that shape's skeleton, and a camera for every frame."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel, rest_joints
from hpof_jax.models.flat_head import FlatHead
from hpof_jax.models.inputs import Inputs
from hpof_jax.models.kinematic_head import KinematicHead
from hpof_jax.models.recurrent_encoder import RecurrentEncoder
from hpof_jax.models.shape_head import ShapeHead
from hpof_jax.models.temporal_encoder import TemporalEncoder, masked_mean, receptive_field


class Prediction(NamedTuple):
    """The model's answer for a batch of clips."""

    betas: jax.Array  # (B, 10) one shape a clip; (B, T, 10) from a model that finds one in every frame
    rotations: jax.Array  # (B, T, 24, 3, 3) relative to the parents, the root's in the camera frame
    cam: jax.Array  # (B, T, 3) = [s, tx, ty], weak perspective in the box

    @property
    def frame_betas(self) -> jax.Array:
        """(B, 1, 10), or (B, T, 10): the shapes beside what every frame has."""
        return self.betas if self.betas.ndim == self.cam.ndim else self.betas[:, None]

    def clip_betas(self, mask: jax.Array) -> jax.Array:
        """(B, 10): the clip's shape, or the mean of those of the frames in `mask` (B, T)."""
        return masked_mean(self.betas, mask) if self.betas.ndim == self.cam.ndim else self.betas


# What a part of the model may be; the first is the method's own, the others are there to compare with.
CHOICES = {
    "encoder_type": ("dilated", "gru"),
    "head_type": ("tree", "flat"),
    "shape_per": ("clip", "frame"),
}


class HPOF(nn.Module):
    """The whole model; `__call__` for a batch of clips, `predict_long` for a video of any length.

    `encoder_type="gru"`: `RecurrentEncoder`, which has no kernel and no dilations. `head_type="flat"`: all joints at once.
    `shape_per="frame"`: a shape from each frame's own feature instead of one for the clip; the flat head is then not told
    the shape, so that pose and shape are found beside each other.
    """

    channels: int = 256
    kernel_size: int = 3
    dilations: Sequence[int] = (1, 3, 9, 27)
    dropout: float = 0.0
    hidden: int = 64
    encoder_type: str = "dilated"
    head_type: str = "tree"
    shape_per: str = "clip"

    def setup(self):
        if self.encoder_type == "gru":
            self.encoder = RecurrentEncoder(self.channels, self.dropout)
        else:
            self.encoder = TemporalEncoder(self.channels, self.kernel_size, self.dilations, self.dropout)
        self.shape_head = ShapeHead()
        if self.head_type == "flat":
            self.flat_head = FlatHead(self.hidden)
        else:
            self.kinematic_head = KinematicHead(self.hidden)
        self.camera_head = nn.Dense(3, kernel_init=nn.initializers.normal(1e-3))

    def __call__(self, inputs: Inputs, body: BodyModel, *, deterministic: bool = True) -> Prediction:
        features = self.encode(inputs.features, inputs.mask, deterministic=deterministic)
        betas = self.shape(features, inputs.seen)
        return Prediction(betas, *self.pose(features, betas, body))

    def encode(self, features: jax.Array, mask: jax.Array, *, deterministic: bool = True) -> jax.Array:
        """(B, T, NUM_FEATURES), (B, T) -> (B, T, channels)."""
        return self.encoder(features, mask, deterministic=deterministic)

    def shape(self, features: jax.Array, seen: jax.Array) -> jax.Array:
        """(B, T, channels), (B, T) -> betas (B, 10), or (B, T, 10) with `shape_per="frame"`."""
        return self.shape_head(features if self.shape_per == "frame" else masked_mean(features, seen))

    def pose(self, features: jax.Array, betas: jax.Array, body: BodyModel) -> tuple[jax.Array, jax.Array]:
        """(B, T, channels), betas as from `shape` -> rotations (B, T, 24, 3, 3) and cam (B, T, 3)."""
        rest = rest_joints(body, betas)
        if self.shape_per == "clip":
            rest = rest[:, None]
        if self.head_type == "tree":
            rotations = self.kinematic_head(features, rest)
        elif self.shape_per == "clip":
            skeleton = rest.reshape(*rest.shape[:2], -1)
            skeleton = jnp.broadcast_to(skeleton, (*features.shape[:2], skeleton.shape[-1]))
            rotations = self.flat_head(jnp.concatenate([features, skeleton], axis=-1))
        else:
            rotations = self.flat_head(features)
        raw = self.camera_head(features)
        # A standing adult fills the box: two half-boxes are about 2.1 m.
        scale = 0.95 * jnp.exp(jnp.clip(raw[..., :1], -3.0, 3.0))
        return rotations, jnp.concatenate([scale, raw[..., 1:]], axis=-1)


def predict_long(model: HPOF, params: dict, inputs: Inputs, body: BodyModel, chunk: int = 512) -> Prediction:
    """The prediction for clips of any length, in chunks of constant shape and memory; the same as in one pass.

    The encoder runs on overlapping windows whose borders are thrown away, the shape is pooled over the whole clip,
    and the pose is then found frame by frame. A recurrent encoder, which remembers everything, runs once over the whole.

    Args:
      inputs: (B, T, ...) as for the model.
      chunk: frames whose result is kept from each window.
    """
    frames = inputs.mask.shape[1]
    recurrent = model.encoder_type == "gru"
    border = 0 if recurrent else receptive_field(model.kernel_size, model.dilations) // 2
    chunk = frames if recurrent else min(chunk, frames)
    count = -(-frames // chunk)
    pad = ((0, 0), (border, count * chunk - frames + border))
    features, mask = np.pad(inputs.features, (*pad, (0, 0))), np.pad(inputs.mask, pad)
    windows = [slice(start, start + chunk + 2 * border) for start in range(0, count * chunk, chunk)]
    encoded = [
        _encode(model, params, features[:, window], mask[:, window])[:, border : border + chunk]
        for window in windows
    ]
    whole = jnp.concatenate(encoded, axis=1)[:, :frames]
    betas = _shape(model, params, whole, inputs.seen)
    if model.shape_per == "frame":
        padded = np.pad(betas, ((0, 0), (0, count * chunk - frames), (0, 0)))
        shapes = np.split(padded, count, axis=1)
    else:
        shapes = [betas] * count
    parts = [_pose(model, params, *part, body) for part in zip(encoded, shapes, strict=True)]
    rotations, cam = (jnp.concatenate(part, axis=1)[:, :frames] for part in zip(*parts, strict=True))
    return Prediction(betas, rotations, cam)


@functools.partial(jax.jit, static_argnums=0)
def _encode(model, params, features, mask):
    return model.apply({"params": params}, features, mask, method=HPOF.encode)


@functools.partial(jax.jit, static_argnums=0)
def _shape(model, params, features, seen):
    return model.apply({"params": params}, features, seen, method=HPOF.shape)


@functools.partial(jax.jit, static_argnums=0)
def _pose(model, params, features, betas, body):
    return model.apply({"params": params}, features, betas, body, method=HPOF.pose)
