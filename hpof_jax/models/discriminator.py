"""The discriminator: how much a motion and a body are like real ones."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hpof_jax.geometry.rotations import matrix_to_sixd
from hpof_jax.models.pooling import masked_mean
from hpof_jax.models.temporal_encoder import TemporalEncoder

EVERY = 4  # frames: neighbours look alike, and to judge all takes the discriminator 1.7 times as long


class Scores(NamedTuple):
    """What each head says: about 1 for what it takes for real, about 0 for what it does not."""

    motion: jax.Array  # (B,) the clip's motion as a whole
    joints: jax.Array  # (B, ceil(T / EVERY), 23) each joint's rotation alone, in every fourth frame
    body: jax.Array  # (B, ceil(T / EVERY)) all joints of a frame together
    shape: jax.Array  # (B,) the shape


class Discriminator(nn.Module):
    """Four heads: motion as in VIBE (Kocabas et al., CVPR 2020), joints, body and shape as in HMR (Kanazawa et al., CVPR 2018).

    It sees neither the root's rotation nor the place: where a body faces and stands says nothing about whether it is real.
    The motion is judged by dilated convolutions, whose features are averaged over the clip: coarsely, and at any length.
    """

    channels: int = 128
    dilations: Sequence[int] = (1, 3, 9)
    joint_features: int = 32

    @nn.compact
    def __call__(self, rotations: jax.Array, betas: jax.Array, mask: jax.Array) -> Scores:
        """Scores of a batch of clips.

        Args:
          rotations: (B, T, 24, 3, 3) relative to the parents; the root's is not looked at.
          betas: (B, 10). mask: (B, T), false on padding, which influences nothing.
        """
        sixd = matrix_to_sixd(rotations[..., 1:, :, :])  # (B, T, 23, 6)
        frames = sixd.shape[:2]
        encoder = TemporalEncoder(self.channels, 3, self.dilations, dropout=0.0, name="motion_encoder")
        encoded = masked_mean(encoder(sixd.reshape(*frames, -1), mask), mask)
        motion = nn.Dense(1, name="motion")(nn.gelu(nn.Dense(self.channels, name="motion_hidden")(encoded)))

        looked_at = sixd[:, ::EVERY]
        joint = nn.gelu(nn.Dense(self.joint_features, name="joint_1")(looked_at))
        joint = nn.gelu(nn.Dense(self.joint_features, name="joint_2")(joint))
        heads = self.param("joint", nn.initializers.lecun_normal(), (self.joint_features, sixd.shape[-2]))
        bias = self.param("joint_bias", nn.initializers.zeros, sixd.shape[-2:-1])
        joints = jnp.einsum("btjc,cj->btj", joint, heads) + bias

        body = nn.gelu(nn.Dense(2 * self.channels, name="body_1")(joint.reshape(*joint.shape[:2], -1)))
        body = nn.Dense(1, name="body_2")(nn.gelu(nn.Dense(2 * self.channels, name="body_hidden")(body)))

        shape = nn.gelu(nn.Dense(10, name="shape_1")(betas))
        shape = nn.Dense(1, name="shape_2")(nn.gelu(nn.Dense(5, name="shape_hidden")(shape)))
        return Scores(motion[..., 0], joints, body[..., 0], shape[..., 0])
