import jax
import numpy as np
import pytest

from hpof_jax.models.backbone import Bottleneck, ResNet50

PICTURES = np.random.default_rng(0).normal(size=(2, 40, 40, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def small(disturb):
    """A small network of the same structure: its application and its variables."""
    model = ResNet50(blocks=(1, 2), width=4)
    return model, disturb(jax.jit(model.init)(jax.random.key(0), PICTURES))


def test_a_picture_becomes_one_vector(small):
    model, variables = small
    features = jax.jit(model.apply)(variables, PICTURES)
    assert features.shape == (2, 32) and (np.asarray(features) >= 0).all()
    alone = jax.jit(model.apply)(variables, PICTURES[1:])
    np.testing.assert_allclose(alone[0], features[1], rtol=1e-4)  # the batch has no influence


def test_the_full_network_has_torchvisions_size():
    shapes = jax.eval_shape(ResNet50().init, jax.random.key(0), np.zeros((1, 224, 224, 3), np.float32))
    count = {name: sum(x.size for x in jax.tree.leaves(part)) for name, part in shapes.items()}
    # 25,557,032 parameters, less the classifier's; and a mean and a variance of each normalised channel.
    assert count == {"params": 25_557_032 - 2048 * 1000 - 1000, "batch_stats": 2 * 26_560}
    features = jax.eval_shape(ResNet50().apply, shapes, np.zeros((3, 224, 224, 3), np.float32))
    assert features.shape == (3, 2048)


def test_the_stride_is_in_the_3x3_convolution():
    """Version 1.5: the first convolution of a block sees every pixel."""
    block = Bottleneck(2, stride=2)
    shapes = jax.eval_shape(
        lambda: block.init_with_output(
            jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32), capture_intermediates=True, mutable=True
        )
    )[1]
    sides = {
        name: shapes["intermediates"][name]["__call__"][0].shape[1] for name in ("conv1", "conv2", "conv3")
    }
    assert sides == {"conv1": 8, "conv2": 4, "conv3": 4}
