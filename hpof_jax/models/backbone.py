"""ResNet-50, which turns the picture of a person into 2048 features: the image encoder of HMR, SPIN and VIBE.

variables = backbone_weights.load_backbone("resnet50.pth")
features = ResNet50().apply(variables, crops)  # (N, 224, 224, 3) -> (N, 2048)
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

IMAGE_FEATURES = 2048
EPSILON = 1e-5  # of batch normalisation, as torch's


class ResNet50(nn.Module):
    """ResNet-50 (He et al., CVPR 2016) in torchvision's layout, without its classifier.

    It is version 1.5: a block of stride 2 has it in its 3 x 3 convolution. Batch normalisation uses the running
    statistics, so that each picture is computed by itself. Modules have torchvision's names, with `_` for `.`.
    """

    blocks: Sequence[int] = (3, 4, 6, 3)
    width: int = 64  # of the first block; the last one has 32 times as many channels

    @nn.compact
    def __call__(self, pictures: jax.Array) -> jax.Array:
        """The mean over the picture of the last block's channels.

        Args:
          pictures: (N, H, W, 3) RGB, normalised as `observe.crops.person_crops` does.

        Returns:
          (N, 32 * width), at least 0.
        """
        x = _convolution(self.width, 7, 2, "conv1")(pictures)
        x = nn.relu(_normalisation("bn1")(x))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=[(1, 1), (1, 1)])
        for layer, count in enumerate(self.blocks):
            for block in range(count):
                stride = 2 if layer and not block else 1
                x = Bottleneck(self.width * 2**layer, stride, name=f"layer{layer + 1}_{block}")(x)
        return jnp.mean(x, axis=(1, 2))


class Bottleneck(nn.Module):
    """A residual block of three convolutions: 1 x 1, 3 x 3 and 1 x 1 to four times the channels."""

    channels: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) -> (N, H / stride, W / stride, 4 * channels)."""
        wide = 4 * self.channels
        y = nn.relu(_normalisation("bn1")(_convolution(self.channels, 1, 1, "conv1")(x)))
        y = nn.relu(_normalisation("bn2")(_convolution(self.channels, 3, self.stride, "conv2")(y)))
        y = _normalisation("bn3")(_convolution(wide, 1, 1, "conv3")(y))
        if x.shape != y.shape:
            x = _convolution(wide, 1, self.stride, "downsample_0")(x)
            x = _normalisation("downsample_1")(x)
        return nn.relu(x + y)


def _convolution(channels: int, size: int, stride: int, name: str) -> nn.Conv:
    padding = [(size // 2, size // 2)] * 2  # torch's; "SAME" pads a stride of 2 on one side only
    return nn.Conv(channels, (size, size), (stride, stride), padding, use_bias=False, name=name)


def _normalisation(name: str) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=True, epsilon=EPSILON, name=name)
