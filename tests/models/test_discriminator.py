import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.discriminator import EVERY, Discriminator

CLIPS, FRAMES = 3, 13
JUDGED = 4  # frames 0, 4, 8 and 12


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    pose = np.float32(rng.normal(0, 0.4, (CLIPS, FRAMES, 24, 3)))
    betas = np.float32(rng.normal(size=(CLIPS, 10)))
    return axis_angle_to_matrix(pose), betas, np.ones((CLIPS, FRAMES), bool)


@pytest.fixture(scope="module")
def judge(clips):
    discriminator = Discriminator(channels=16)
    rng = np.random.default_rng(1)  # as if trained: a fresh encoder has no context
    params = jax.tree.map(
        lambda x: x + np.float32(rng.normal(0, 0.1, x.shape)),
        jax.jit(discriminator.init)(jax.random.key(0), *clips),
    )
    return jax.jit(lambda *clips: discriminator.apply(params, *clips))


def test_every_head_has_its_score(judge, clips):
    scores = judge(*clips)
    assert scores.motion.shape == scores.shape.shape == (CLIPS,)
    assert scores.joints.shape == (CLIPS, JUDGED, 23) and scores.body.shape == (CLIPS, JUDGED)
    for score in scores:
        assert np.isfinite(score).all() and np.std(score) > 0


def test_the_inputs_of_each_head(judge, clips):
    """A change of an input changes the scores of the heads that use it, and no others."""
    rotations, betas, mask = clips
    before = judge(*clips)
    turned = judge(rotations.at[:, :, 0].set(jnp.eye(3)), betas, mask)
    for a, b in zip(before, turned, strict=True):
        np.testing.assert_array_equal(a, b)  # the root is no input

    bent = judge(rotations.at[1, 4, 5].set(jnp.eye(3)), betas, mask)
    changed = np.argwhere(np.asarray(bent.joints != before.joints))
    assert changed.tolist() == [[1, 4 // EVERY, 4]], "joint 5 is the fifth but the root"
    assert np.argwhere(np.asarray(bent.body != before.body)).tolist() == [[1, 4 // EVERY]]
    between = judge(rotations.at[1, 5, 5].set(jnp.eye(3)), betas, mask)
    np.testing.assert_array_equal(between.body, before.body)
    assert np.flatnonzero(np.asarray(between.motion != before.motion)).tolist() == [1]
    assert np.flatnonzero(np.asarray(bent.motion != before.motion)).tolist() == [1]
    np.testing.assert_array_equal(bent.shape, before.shape)

    wide = judge(rotations, betas + 1, mask)
    assert np.all(wide.shape != before.shape)
    for head in ("motion", "joints", "body"):
        np.testing.assert_array_equal(getattr(wide, head), getattr(before, head))


def test_only_the_motion_head_depends_on_the_order_of_frames(judge, clips):
    rotations, betas, mask = clips
    before, after = judge(*clips), judge(rotations[:, ::-1], betas, mask)
    assert np.abs(before.motion - after.motion).min() > 1e-5
    np.testing.assert_allclose(after.body, before.body[:, ::-1], atol=1e-5)


def test_padding_influences_nothing(judge, clips):
    rotations, betas, mask = clips
    mask = mask & (np.arange(FRAMES) < 7)
    short = judge(rotations, betas, mask)
    garbage = judge(rotations.at[:, 7:].set(axis_angle_to_matrix(jnp.ones((24, 3)))), betas, mask)
    np.testing.assert_allclose(short.motion, garbage.motion, atol=1e-6)
    np.testing.assert_allclose(short.body[:, :2], garbage.body[:, :2], atol=1e-6)
    assert np.abs(short.motion - judge(*clips).motion).min() > 1e-5
