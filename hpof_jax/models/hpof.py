"""The model: encoder, then shape, then pose on the skeleton of that shape, and a camera for every frame."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel, rest_joints
from hpof_jax.models.inputs import NUM_FEATURES, PLACE, WITH_IMAGE, Inputs
from hpof_jax.models.pooling import masked_mean


class Prediction(NamedTuple):
    """The model's output for a batch of clips."""

    betas: jax.Array  # (B, S, 10); S is 1, or T from a model that predicts a shape for each frame
    rotations: jax.Array  # (B, T, 24, 3, 3) relative to the parents, the root's in the camera frame
    cam: jax.Array  # (B, T, 3) = [s, tx, ty], weak perspective in the box

    def clip_betas(self, mask: jax.Array) -> jax.Array:
        """The shape of each clip, (B, 10): the mean over `mask` (B, T) where each frame has its own."""
        return self.betas[:, 0] if self.betas.shape[1] == 1 else masked_mean(self.betas, mask)


class HPOF(nn.Module):
    """An encoder and heads; `build.make_model` puts them together.

    `__call__` predicts a batch of clips, `predict_long` videos of any length; training also looks at the first of the
    `answers`.
    """

    # (features, mask) -> (B, T, C). Its `border` is the frames of context on each side; None: the whole clip.
    encoder: nn.Module
    shape_head: nn.Module  # (encoded, seen) -> betas (B, S, 10)
    pose_head: nn.Module  # (encoded, rest joints (B, S, 24, 3)) -> rotations (B, T, 24, 3, 3)
    fitting_head: nn.Module | None = (
        None  # (encoded, features, betas, rotations, cam, body) -> rotations, cam
    )

    # (image features and their flag) -> (B, T, C); None: the model takes no image features.
    image_head: nn.Module | None = None
    takes_landmarks: bool = True  # False: of the landmarks only their box

    preserve_adopted_names = True  # parameters are stored under the names that the modules were given

    def setup(self):
        self.camera_head = nn.Dense(3, kernel_init=nn.initializers.normal(1e-3))

    def __call__(self, inputs: Inputs, body: BodyModel, *, deterministic: bool = True) -> Prediction:
        return self.answers(inputs, body, deterministic=deterministic)[-1]

    def answers(
        self, inputs: Inputs, body: BodyModel, *, deterministic: bool = True
    ) -> tuple[Prediction, ...]:
        """The first answer and, if there is a fitting head, the corrected one, for training."""
        encoded = self.encode(inputs.features, inputs.mask, deterministic=deterministic)
        betas = self.shape(encoded, inputs.seen)
        return tuple(Prediction(betas, *pose) for pose in self._poses(encoded, inputs.features, betas, body))

    def encode(self, features: jax.Array, mask: jax.Array, *, deterministic: bool = True) -> jax.Array:
        """(B, T, NUM_FEATURES or WITH_IMAGE), (B, T) -> (B, T, C). Image features that are not there are unknown."""
        return self.encoder(self._embed(features), mask, deterministic=deterministic)

    def _embed(self, features: jax.Array) -> jax.Array:
        if self.image_head is None:
            return features[..., :NUM_FEATURES]
        missing = WITH_IMAGE - features.shape[-1]
        features = jnp.pad(features, [*[(0, 0)] * (features.ndim - 1), (0, missing)])
        landmarks, image = jnp.split(features, [NUM_FEATURES], axis=-1)
        landmarks = landmarks if self.takes_landmarks else landmarks[..., PLACE]
        return jnp.concatenate([landmarks, self.image_head(image)], axis=-1)

    def shape(self, encoded: jax.Array, seen: jax.Array) -> jax.Array:
        """(B, T, C), (B, T) -> betas (B, S, 10)."""
        return self.shape_head(encoded, seen)

    def pose(self, encoded: jax.Array, betas: jax.Array, body: BodyModel) -> tuple[jax.Array, jax.Array]:
        """(B, T, C), betas (B, S, 10) -> rotations (B, T, 24, 3, 3) and cam (B, T, 3)."""
        rotations = self.pose_head(encoded, rest_joints(body, betas))
        raw = self.camera_head(encoded)
        # A standing adult fills the box: two half-boxes are about 2.1 m.
        scale = 0.95 * jnp.exp(jnp.clip(raw[..., :1], -3.0, 3.0))
        return rotations, jnp.concatenate([scale, raw[..., 1:]], axis=-1)

    def fitted_pose(
        self, encoded: jax.Array, features: jax.Array, betas: jax.Array, body: BodyModel
    ) -> tuple[jax.Array, jax.Array]:
        """`pose`, corrected by the fitting head if there is one: features of the inputs (B, T, ...)."""
        return self._poses(encoded, features, betas, body)[-1]

    def _poses(self, encoded, features, betas, body):
        poses = [self.pose(encoded, betas, body)]
        if self.fitting_head is not None:
            poses.append(self.fitting_head(encoded, features[..., :NUM_FEATURES], betas, *poses[0], body))
        return poses


def predict_long(
    model: HPOF,
    params: Any,
    inputs: Inputs,
    body: BodyModel,
    *,
    chunk: int = 512,
    shots: Sequence[slice] | None = None,
) -> Prediction:
    """Predicts clips of any length in chunks: the same result as one pass, in constant device memory.

    The encoder runs on windows that overlap by its `border`, or on whole shots if it has none. The shape is
    then pooled over all frames of the clip, and the pose is computed chunk by chunk.

    Args:
      inputs: (B, T, ...) as for the model.
      chunk: frames of a window, without its borders.
      shots: frames between scene cuts, in order and without gaps, the same for all clips of the batch. The
        encoder sees each shot by itself; the shape is pooled over all of them. By default one shot.

    Returns:
      The prediction, as NumPy arrays.

    Raises:
      ValueError: `shots` do not cover the clip.
    """
    frames = inputs.mask.shape[1]
    shots = [slice(0, frames)] if shots is None else list(shots)
    edges = [0, *(shot.stop for shot in shots)]
    if [shot.start for shot in shots] != edges[:-1] or edges[-1] != frames or np.any(np.diff(edges) < 1):
        raise ValueError(f"shots must cover the frames 0 to {frames} in order and without gaps, not {shots}")
    features, mask = np.asarray(inputs.features), np.asarray(inputs.mask)
    # All windows have the length that the longest shot needs: the encoder is compiled once.
    length = max(shot.stop - shot.start for shot in shots)
    border = model.encoder.border
    border, length = (0, length) if border is None else (border, min(chunk, length))
    encoded = []
    for shot in shots:
        for start in range(shot.start, shot.stop, length):
            window = slice(start - border, start + length + border)
            found = _encode(model, params, *(_cut(x, window, shot) for x in (features, mask)))
            encoded.append(np.asarray(found)[:, border : border + min(length, shot.stop - start)])
    encoded = np.concatenate(encoded, axis=1)
    betas = np.asarray(_shape(model, params, encoded, inputs.seen))

    whole, length, parts = slice(0, frames), min(chunk, frames), []
    for start in range(0, frames, length):
        window = slice(start, start + length)
        shapes = betas if betas.shape[1] == 1 else _cut(betas, window, whole)
        cut = (_cut(x, window, whole) for x in (encoded, features))
        pose = _pose(model, params, *cut, shapes, body)
        parts.append([np.asarray(x)[:, : frames - start] for x in pose])
    return Prediction(betas, *(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def _cut(values: np.ndarray, window: slice, shot: slice) -> np.ndarray:
    """The frames of `window` (axis 1); zeros where it reaches beyond `shot`."""
    start, stop = max(window.start, shot.start), min(window.stop, shot.stop)
    pad = [(0, 0)] * values.ndim
    pad[1] = start - window.start, window.stop - stop
    return np.pad(values[:, start:stop], pad)


@functools.partial(jax.jit, static_argnums=0)
def _encode(model, params, features, mask):
    return model.apply({"params": params}, features, mask, method=HPOF.encode)


@functools.partial(jax.jit, static_argnums=0)
def _shape(model, params, encoded, seen):
    return model.apply({"params": params}, encoded, seen, method=HPOF.shape)


@functools.partial(jax.jit, static_argnums=0)
def _pose(model, params, encoded, features, betas, body):
    return model.apply({"params": params}, encoded, features, betas, body, method=HPOF.fitted_pose)
