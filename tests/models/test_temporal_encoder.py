import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpof_jax.models.temporal_encoder import TemporalEncoder

FRAMES, SIZE = 31, 12


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).normal(size=(1, FRAMES, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def encode(features, disturb):
    """`(features, mask) -> (B, T, 8)` by an encoder with a border of 4 frames."""
    encoder = TemporalEncoder(8, 3, (1, 3))
    assert encoder.border == 4
    params = disturb(jax.jit(encoder.init)(jax.random.key(0), features, np.ones((1, FRAMES), bool)))
    return jax.jit(lambda features, mask: encoder.apply(params, features, mask))


def test_a_window_with_borders_gives_what_the_whole_clip_gives(encode, features):
    mask = np.ones((1, FRAMES), bool)
    whole, window = encode(features, mask), encode(features[:, 6:25], mask[:, 6:25])
    np.testing.assert_allclose(window[:, 4:-4], whole[:, 10:21], atol=1e-6)
    assert np.abs(window[:, :4] - whole[:, 6:10]).max() > 1e-3, "the borders differ"


@pytest.mark.parametrize(
    ("kernel_size", "dilations"), [(3, (1, 3)), (5, (1, 2)), (2, (1, 4)), (1, (1, 1))], ids=str
)
def test_the_border_is_the_context_that_is_used(features, disturb, kernel_size, dilations):
    encoder = TemporalEncoder(8, kernel_size, dilations)
    mask, middle = np.ones((1, FRAMES), bool), FRAMES // 2
    params = disturb(encoder.init(jax.random.key(0), features, mask))
    one = jax.jit(jax.grad(lambda x: encoder.apply(params, x, mask)[0, middle, 0]))
    used = np.flatnonzero(np.abs(np.asarray(one(features)))[0].sum(axis=-1))
    assert max(middle - used.min(), used.max() - middle) == encoder.border


def test_frames_outside_the_mask_influence_nothing(encode, features):
    mask = np.arange(FRAMES)[None] < 20
    garbage = np.where(mask[..., None], features, 99.0).astype(np.float32)
    padded = np.asarray(encode(garbage, mask))
    assert not padded[~mask].any()
    np.testing.assert_allclose(padded[:, :20], encode(features[:, :20], mask[:, :20]), atol=1e-6)


def test_at_initialisation_a_frame_has_no_context(features):
    encoder, mask = TemporalEncoder(8), np.ones((1, FRAMES), bool)
    params = encoder.init(jax.random.key(0), features, mask)
    order = np.random.default_rng(1).permutation(FRAMES)
    encode = jax.jit(lambda features: encoder.apply(params, features, mask))
    np.testing.assert_allclose(encode(features[:, order]), encode(features)[:, order], atol=1e-6)


def test_in_bfloat16_only_the_products_are_rounded(features, disturb):
    plain, rounded = TemporalEncoder(8, 3, (1, 3)), TemporalEncoder(8, 3, (1, 3), dtype=jnp.bfloat16)
    mask = np.ones((1, FRAMES), bool)
    params = disturb(jax.jit(rounded.init)(jax.random.key(0), features, mask))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    expected, found = plain.apply(params, features, mask), rounded.apply(params, features, mask)
    assert found.dtype == jnp.float32
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_a_causal_encoder_streams_frame_by_frame_what_it_gives_for_the_whole_clip(features, disturb):
    encoder, mask = TemporalEncoder(8, 3, (1, 3), causal=True), np.ones((1, FRAMES), bool)
    assert encoder.border == 8
    params = disturb(jax.jit(encoder.init)(jax.random.key(0), features, mask))
    encode = jax.jit(lambda features, mask: encoder.apply(params, features, mask))
    whole, padding = np.asarray(encode(features, mask)), encoder.border
    padded = np.pad(features, [(0, 0), (padding, 0), (0, 0)])
    for frame in range(FRAMES):
        inside = np.arange(frame - padding, frame + 1)[None] >= 0
        streamed = encode(padded[:, frame : frame + padding + 1], inside)[:, -1]
        np.testing.assert_allclose(streamed, whole[:, frame], atol=1e-5)
    later = np.where(np.arange(FRAMES)[:, None] < 15, features, features + 1)
    np.testing.assert_array_equal(np.asarray(encode(later, mask))[:, :15], whole[:, :15])
