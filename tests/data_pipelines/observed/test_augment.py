import numpy as np
import pytest

from data_pipelines.observed import augment
from data_pipelines.observed.rendered import RenderedClips
from hpof_jax.body.files import load_body
from hpof_jax.body.model import rest_joints
from hpof_jax.geometry import flow
from tests.data_pipelines.conftest import BATCH, FLOW, FRAMES, LENGTH, pixels


@pytest.fixture(scope="module")
def clips(folder):
    return RenderedClips(folder, "all")


@pytest.fixture
def batch(clips):
    return clips.draw_batch(np.random.default_rng(0), BATCH, FRAMES, augment=False)[0]


def centred(points):
    return np.asarray(points) - np.asarray(points)[:, :, 23:25].mean(axis=2, keepdims=True)


def test_a_mirrored_clip_agrees_with_its_ground_truth(batch):
    chosen = np.arange(BATCH) % 2 == 0
    mirrored = augment.mirror_clips(batch, chosen)
    for key in ("landmarks_2d", "landmarks_3d", "pose", "transl"):
        np.testing.assert_array_equal(mirrored[key][~chosen], batch[key][~chosen])
        assert mirrored[key].dtype == np.float32
        assert np.abs(mirrored[key][chosen] - batch[key][chosen]).max() > 0.01
    points, expected = pixels(mirrored)
    width = batch["image_size"][:, 1, None, None]
    visible = mirrored["seen"]
    # The body is not exactly as wide to the left as to the right.
    np.testing.assert_allclose(
        (mirrored["landmarks_2d"][..., :2] / width[..., None])[visible],
        (expected / width[..., None])[visible],
        atol=0.005,
    )
    original, _ = pixels(batch)
    # The detector's 3D landmarks are mirrored like those of the ground truth.
    lengths = [np.linalg.norm(centred(p), axis=-1).sum(-1) for p in (points, original)]
    np.testing.assert_allclose(*lengths, rtol=0.01)
    twice = augment.mirror_clips(mirrored, chosen)
    np.testing.assert_allclose(twice["pose"], batch["pose"], atol=1e-6)
    np.testing.assert_allclose(twice["landmarks_2d"], batch["landmarks_2d"], atol=1e-3)


def test_a_turned_camera_agrees_with_its_ground_truth(batch):
    pelvis = np.asarray(rest_joints(load_body(), batch["betas"]))[:, 0]
    turn = augment.draw_turns(np.random.default_rng(3), batch)
    np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.tile(np.eye(3), (BATCH, 1, 1)), atol=1e-5)
    turned = augment.turn_camera(batch, turn, pelvis)
    (before, _), (points, places) = pixels(batch), pixels(turned)
    visible = batch["seen"]
    assert visible.any() and all(turned[key].dtype == batch[key].dtype for key in batch)
    np.testing.assert_allclose(turned["landmarks_2d"][..., :2][visible], places[visible], atol=0.1)
    np.testing.assert_array_equal(turned["landmarks_2d"][..., 2], batch["landmarks_2d"][..., 2])
    distances = [np.linalg.norm(p, axis=-1) for p in (points, before)]
    np.testing.assert_allclose(*distances, rtol=1e-4, err_msg="distance to the camera")
    expected = np.einsum("bij,btkj->btki", turn, centred(before))
    np.testing.assert_allclose(centred(points), expected, atol=1e-3)
    expected = np.einsum("bij,btkj->btki", turn, batch["landmarks_3d"])
    np.testing.assert_allclose(turned["landmarks_3d"], expected, atol=1e-4)
    moved = np.abs(turned["landmarks_2d"] - batch["landmarks_2d"])[..., :2].max(axis=(1, 2, 3))
    assert (moved > 5).sum() > 2 and (moved < 1e-2).sum() > 0, "most are turned, some are not"


def test_a_turn_moves_nobody_out_of_the_picture(clips, monkeypatch):
    monkeypatch.setattr(augment, "ROLL", (0.0, 0.0))
    batch, _ = clips.draw_batch(np.random.default_rng(0), 200, FRAMES, augment=False)
    pelvis = np.asarray(rest_joints(load_body(), batch["betas"]))[:, 0]
    turned = augment.turn_camera(batch, augment.draw_turns(np.random.default_rng(0), batch), pelvis)

    def outside(batch):
        points = batch["landmarks_2d"][..., :2][batch["seen"]]
        size = np.broadcast_to(batch["image_size"][:, None, ::-1], (*batch["seen"].shape, 2))[batch["seen"]]
        return np.maximum(np.maximum(-points, points - size[:, None]).max(axis=(1, 2)), 0)

    # A turn is not quite a shift: points far from the centre move a little farther.
    assert np.quantile(outside(turned) - outside(batch), 0.99) < 0.15 * batch["image_size"].min()


def test_a_replaced_body_keeps_the_residual_of_the_detector(clips, batch):
    batch["seen"][0, :3] = False
    batch["has_smpl"] = np.arange(BATCH) != 1
    errors = np.random.default_rng(1).normal(0, 5, batch["landmarks_2d"].shape) * [1, 1, 0]
    depths = np.random.default_rng(2).normal(0, 0.05, batch["landmarks_3d"].shape)
    seen = batch["seen"][..., None, None]
    batch["landmarks_2d"] = np.float32((batch["landmarks_2d"] + errors) * seen)
    batch["landmarks_3d"] = np.float32((batch["landmarks_3d"] + depths) * seen)
    pose, betas = augment.draw_bodies(np.random.default_rng(3), batch)
    changed = augment.replace_bodies(batch, pose, betas, clips._landmarks)
    points, places = pixels(changed)
    expected = {"landmarks_2d": places + errors[..., :2], "landmarks_3d": centred(points) + depths}
    for key, value in expected.items():
        found = changed[key][..., : value.shape[-1]]
        np.testing.assert_allclose(found[batch["seen"]], value[batch["seen"]], atol=2e-2)
        assert not changed[key][~batch["seen"]].any()
    moved = np.abs(changed["pose"] - batch["pose"]).max(axis=(1, 2, 3))
    assert (moved > 0.05).sum() > 3 and moved[1] == 0, "most bodies change, none without ground truth"
    assert all(changed[key].dtype == value.dtype for key, value in batch.items())
    np.testing.assert_array_equal(changed["betas"][1], batch["betas"][1])
    pelvis = [np.asarray(rest_joints(load_body(), b["betas"]))[:, None, 0] for b in (batch, changed)]
    np.testing.assert_allclose(changed["transl"] + pelvis[1], batch["transl"] + pelvis[0], atol=1e-5)


def test_new_betas_are_as_varied_as_the_old():
    batch = {
        "pose": np.zeros((4000, 1, 24, 3), np.float32),
        "betas": np.random.default_rng(0).normal(size=(4000, 10)).astype(np.float32),
        "has_smpl": np.ones(4000, bool),
    }
    pose, betas = augment.draw_bodies(np.random.default_rng(1), batch)
    same = (betas == batch["betas"]).all(axis=1)
    assert abs(same.mean() - (1 - augment.BODY_SHARE)) < 0.03 and not pose[same].any() and pose[~same].any()
    np.testing.assert_allclose(betas.std(axis=0), 1, atol=0.05)
    both = betas[~same].ravel(), batch["betas"][~same].ravel()
    np.testing.assert_allclose(np.corrcoef(*both)[0, 1], augment.BETAS_CORRELATION, atol=0.02)


def test_mirrored_flow_is_the_flow_of_the_mirrored_motion():
    """Exactly: for triangles that move, in boxes that move."""
    height, width, side = 120, 160, 64
    rng = np.random.default_rng(0)
    points = rng.uniform(5, 59, (1, 30, 2)) + np.cumsum(rng.normal(0, 2, (FLOW, 30, 2)), axis=0)
    depth, faces = rng.uniform(2, 4, (FLOW, 30)), np.arange(30).reshape(10, 3)
    box = np.float32([60, 50, 40]) + rng.uniform(-4, 4, (FLOW, 3)).astype(np.float32)

    def fields(points, faces, box):
        ends = np.stack([box[:-1], box[1:]], axis=1)
        still = np.asarray(
            flow.between_boxes(np.zeros((*ends.shape[:-1], side, side, 2), np.float32), ends, ends[:, ::-1])
        )
        moves, valid, masks = flow.rendered_flow(points, depth, faces, (side, side), still)
        return {
            "flow_box": box[None],
            "flow": moves[None].astype(np.float16),
            "flow_valid": valid[None],
            "masks": np.uint8(255) * masks[None],
            "image_size": np.float32([[height, width]]),
        }

    batch = fields(points, faces, box)
    assert 0.1 < (batch["masks"] > 0).mean() < 0.9 and batch["flow_valid"].mean() > 0.5
    mirror = fields(
        [side, 0] + points * [-1, 1], faces[:, ::-1], [width, 0, 0] + box * np.float32([-1, 1, 1])
    )
    found = augment.mirror_flow(batch, np.array([True]))
    for key, value in mirror.items():
        np.testing.assert_allclose(np.float32(found[key]), np.float32(value), atol=0.02, err_msg=key)
    for key, value in augment.mirror_flow(found, np.array([True])).items():
        np.testing.assert_allclose(np.float32(value), np.float32(batch[key]), atol=1e-4, err_msg=key)
    assert all(np.array_equal(v, batch[k]) for k, v in augment.mirror_flow(batch, np.array([False])).items())


def test_drops_and_swaps_leave_the_ground_truth_unchanged(clips, monkeypatch):
    monkeypatch.setattr(augment, "SWAP_RATE", 0.05)
    monkeypatch.setattr(augment, "DROP_RATE", 0.03)
    batch, _ = clips.draw_batch(np.random.default_rng(0), 64, LENGTH, augment=False)
    failed = augment.drop_and_swap(np.random.default_rng(1), batch)
    for key in ("pose", "transl", "betas", "mask", "true_focal_length"):
        np.testing.assert_array_equal(failed[key], batch[key])
    lost = batch["seen"] & ~failed["seen"]
    assert 0.01 < lost.mean() < 0.5 and not (failed["seen"] & ~batch["seen"]).any()
    assert not failed["landmarks_2d"][lost].any() and not failed["landmarks_3d"][lost].any()
    moved = (failed["landmarks_2d"] != batch["landmarks_2d"]).any(axis=-1) & failed["seen"][..., None]
    assert 0.05 < moved.any(axis=-1).mean() < 0.8
    assert not moved[..., :11].any(), "faces are not swapped"
    arms, legs = moved[..., 11:23].any(axis=-1), moved[..., 23:].any(axis=-1)
    assert (arms & legs).any() and (arms & ~legs).any() and (legs & ~arms).any()
    both = np.sort(failed["landmarks_2d"], axis=2), np.sort(batch["landmarks_2d"], axis=2)
    np.testing.assert_array_equal(both[0][failed["seen"]], both[1][failed["seen"]])
    unlabelled = batch | {"has_3d": np.zeros(64, bool)}
    kept = augment.drop_and_swap(np.random.default_rng(1), unlabelled)
    np.testing.assert_array_equal(kept["seen"], failed["seen"])
    np.testing.assert_array_equal(kept["landmarks_2d"][kept["seen"]], batch["landmarks_2d"][kept["seen"]])


def test_events_are_as_long_as_asked():
    state = augment.draw_events(np.random.default_rng(0), (400, 60), 0.004, (5, 9), kinds=3)
    assert set(np.unique(state)) == {-1, 0, 1, 2}
    single = [row for row in state if (row >= 0).sum() in range(1, 10)]
    runs = [np.diff(np.flatnonzero(np.diff(np.r_[-1, row, -1]) != 0)) for row in single]
    inner = [run[0] for row, run in zip(single, runs) if row[-1] < 0 and len(run) == 1]
    assert inner and min(inner) >= 5 and max(inner) <= 9
