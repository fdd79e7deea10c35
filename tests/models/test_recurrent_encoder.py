import jax
import numpy as np
import pytest

from hpof_jax.models.recurrent_encoder import RecurrentEncoder
from hpof_jax.models.temporal_encoder import TemporalEncoder

CLIPS, FRAMES, SIZE = 2, 7, 12


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).normal(size=(CLIPS, FRAMES, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def encode(features):
    """`(features, mask) -> (B, T, 8)`."""
    encoder = RecurrentEncoder(channels=8)
    params = jax.jit(encoder.init)(jax.random.key(0), features, np.ones((CLIPS, FRAMES), bool))
    return jax.jit(lambda features, mask: encoder.apply(params, features, mask))


def test_every_frame_depends_on_every_other(encode, features):
    assert RecurrentEncoder().border is None
    mask = np.ones((CLIPS, FRAMES), bool)
    before = np.asarray(encode(features, mask))
    assert before.shape == (CLIPS, FRAMES, 8)
    for changed in (0, FRAMES - 1):
        other = features.copy()
        other[0, changed] += 1.0
        after = np.asarray(encode(other, mask))
        assert (np.abs(after - before)[0].max(axis=-1) > 1e-7).all()
        np.testing.assert_array_equal(after[1], before[1])


@pytest.mark.parametrize("there", [range(4), range(3, 7), (0, 1, 4, 6)], ids=["after", "before", "between"])
def test_padding_influences_nothing(encode, features, there):
    mask = np.zeros((CLIPS, FRAMES), bool)
    mask[:, list(there)] = True
    garbage = np.where(mask[..., None], features, 99.0).astype(np.float32)
    padded = np.asarray(encode(garbage, mask))
    assert not padded[~mask].any()
    frames = features[:, list(there)]
    alone = np.asarray(encode(frames, np.ones(frames.shape[:2], bool)))
    np.testing.assert_allclose(padded[:, list(there)], alone, atol=1e-6)


def test_it_has_as_many_parameters_as_the_dilated_encoder():
    inputs = np.zeros((1, 2, 203), np.float32), np.ones((1, 2), bool)

    def size(encoder):
        return sum(x.size for x in jax.tree.leaves(jax.eval_shape(encoder.init, jax.random.key(0), *inputs)))

    for channels in (64, 256, 1024):
        assert abs(size(RecurrentEncoder(channels)) / size(TemporalEncoder(channels)) - 1) < 0.03
