import jax
import numpy as np
import pytest

from data_pipelines import stream
from data_pipelines.simulate.flow import SIDE, SimulatedFlow, like_dis
from hpof_jax.errors import UserError
from hpof_jax.geometry.flow import warp
from hpof_jax.training import losses

SOURCES = {"synthetic": 1.0}
OPTIONS = stream.StreamOptions(2, 12, seed=3, flow="exact", flow_frames=4)


@pytest.fixture(scope="module")
def batch():
    return stream.batch_maker(SOURCES, OPTIONS)(0)


def test_flow_and_masks_of_a_few_frames_of_each_clip(batch):
    assert batch["flow"].shape == (2, 3, 2, SIDE, SIDE, 2) and batch["flow"].dtype == np.float16
    assert batch["flow_valid"].shape == (2, 3, 2, SIDE, SIDE) and batch["masks"].shape == (2, 4, SIDE, SIDE)
    assert set(np.unique(batch["masks"])) == {0, 255} and batch["has_flow"].all() and batch["has_mask"].all()
    assert ((0 <= batch["flow_first"]) & (batch["flow_first"] <= 8)).all()
    np.testing.assert_array_equal(stream.batch_maker(SOURCES, OPTIONS)(0)["flow"], batch["flow"])


def test_the_flow_warps_the_next_mask_to_this_one(batch):
    masks, valid = batch["masks"] / np.float32(255), batch["flow_valid"][:, :, 0]
    moved = np.asarray(warp(masks[:, 1:], np.float32(batch["flow"][:, :, 0])))
    wrong = np.abs(moved - masks[:, :-1])[valid].mean()
    assert wrong < 0.5 * np.abs(masks[:, 1:] - masks[:, :-1])[valid].mean() + 0.01


def test_unseen_frames_have_no_flow(batch):
    blind = {key: value.copy() for key, value in batch.items()}
    blind["seen"][0] = False
    again = SimulatedFlow("exact", 4)(np.random.default_rng(0), blind)
    assert not again["flow_valid"][0].any() and not again["flow_box"][0].any() and not again["flow"][0].any()
    assert again["flow_valid"][1].any() and again["flow_box"][1].all()


def test_noisy_flow_is_close_where_it_is_valid():
    rng = np.random.default_rng(0)
    moves = np.zeros((2, SIDE, SIDE, 2), np.float32)
    moves[:, 20:40, 20:40] = [5, -3]
    found, valid = like_dis(rng, moves, np.ones((2, SIDE, SIDE), bool))
    wrong = np.linalg.norm(found - moves, axis=-1)
    assert 0.02 < np.median(wrong) < 0.15 and wrong[valid].max() < 0.71
    assert not valid[:, 20, 25].any() and valid[:, 30, 30].all() and 0.9 < valid.mean() < 1


def test_an_unknown_kind_of_flow_is_a_user_error():
    with pytest.raises(UserError, match="'perfect'.*none, exact, noisy"):
        stream.batch_maker(SOURCES, stream.StreamOptions(2, 12, flow="perfect"))


def test_the_true_motion_has_the_least_loss(batch):
    """The silhouettes are the masks; then the second one is shifted."""
    masks = batch["masks"] / np.float32(255)
    cost = jax.jit(
        lambda s: losses.masked_sum(*losses.flow_silhouette(s, batch["flow"], batch["flow_valid"]))
    )
    floor = cost(masks)
    shifted = masks.copy()
    for shift in (1, 2, 4):
        shifted[:, 1] = np.roll(masks[:, 1], shift, axis=-1)
        above = cost(shifted)
        assert above[0] > floor[0] and above[1] == floor[1]
        floor = above
