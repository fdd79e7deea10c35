"""The discriminator: judges whether a motion and a shape are real."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hpof_jax.geometry.rotations import matrix_to_sixd
from hpof_jax.models.pooling import masked_mean
from hpof_jax.models.temporal_encoder import TemporalEncoder

# Single frames are judged at this interval: neighbours are alike, and all would take 1.7 times as long.
EVERY = 4


class Scores(NamedTuple):
    """The output of each head: trained towards 1 for real clips and 0 for predictions."""

    motion: jax.Array  # (B,) the motion of the whole clip
    joints: jax.Array  # (B, ceil(T / EVERY), 23) each joint's rotation on its own, in every fourth frame
    body: jax.Array  # (B, ceil(T / EVERY)) all joints of a frame together
    shape: jax.Array  # (B,) the betas


class Discriminator(nn.Module):
    """Four heads, for the motion, the joints, the body and the shape.

    The motion head follows VIBE (Kocabas et al., CVPR 2020), the others HMR (Kanazawa et al., CVPR 2018).
    The root's rotation and the position are no inputs: the direction a body faces does not tell whether it is
    real. The motion head averages features of dilated convolutions over the clip, which may have any length.
    """

    channels: int = 128
    dilations: Sequence[int] = (1, 3, 9)
    joint_features: int = 32

    @nn.compact
    def __call__(self, rotations: jax.Array, betas: jax.Array, mask: jax.Array) -> Scores:
        """Scores of a batch of clips.

        Args:
          rotations: (B, T, 24, 3, 3) relative to the parents; the root's is not used.
          betas: (B, 10).
          mask: (B, T) bool, false on padding. The motion head ignores padded frames; `joints` and `body` have
            scores for them, too.
        """
        sixd = matrix_to_sixd(rotations[..., 1:, :, :])  # (B, T, 23, 6)
        frames = sixd.shape[:2]
        encoder = TemporalEncoder(self.channels, 3, self.dilations, dropout=0.0, name="motion_encoder")
        encoded = masked_mean(encoder(sixd.reshape(*frames, -1), mask), mask)
        motion = nn.Dense(1, name="motion")(nn.gelu(nn.Dense(self.channels, name="motion_hidden")(encoded)))

        judged = sixd[:, ::EVERY]
        joint = nn.gelu(nn.Dense(self.joint_features, name="joint_1")(judged))
        joint = nn.gelu(nn.Dense(self.joint_features, name="joint_2")(joint))
        heads = self.param("joint", nn.initializers.lecun_normal(), (self.joint_features, sixd.shape[-2]))
        bias = self.param("joint_bias", nn.initializers.zeros, sixd.shape[-2:-1])
        joints = jnp.einsum("btjc,cj->btj", joint, heads) + bias

        body = nn.gelu(nn.Dense(2 * self.channels, name="body_1")(joint.reshape(*joint.shape[:2], -1)))
        body = nn.Dense(1, name="body_2")(nn.gelu(nn.Dense(2 * self.channels, name="body_hidden")(body)))

        shape = nn.gelu(nn.Dense(10, name="shape_1")(betas))
        shape = nn.Dense(1, name="shape_2")(nn.gelu(nn.Dense(5, name="shape_hidden")(shape)))
        return Scores(motion[..., 0], joints, body[..., 0], shape[..., 0])
