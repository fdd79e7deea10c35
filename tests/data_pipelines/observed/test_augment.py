import numpy as np

from data_pipelines.observed import augment as watched
from data_pipelines.observed.augment import events, fail, mirrored
from data_pipelines.observed.rendered import RenderedClips
from hpof_jax.body.files import load_body
from hpof_jax.body.model import rest_joints
from tests.data_pipelines.conftest import FRAMES, LENGTH, pixels


def test_a_turned_camera_sees_truth_and_observations_alike(folder):
    batch, _ = RenderedClips(folder, "all").draw(np.random.default_rng(0), 16, FRAMES, augment=False)
    pelvis = np.asarray(rest_joints(load_body(), batch["betas"]))[:, 0]
    turn = watched.draw_turns(np.random.default_rng(3), batch)
    np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.tile(np.eye(3), (16, 1, 1)), atol=1e-5)
    seen = watched.turned(batch, turn, pelvis)
    (before, _), (points, places) = pixels(batch), pixels(seen)
    visible = batch["seen"]
    assert visible.any() and all(seen[key].dtype == batch[key].dtype for key in batch)
    np.testing.assert_allclose(seen["landmarks_2d"][..., :2][visible], places[visible], atol=0.1)
    np.testing.assert_array_equal(seen["landmarks_2d"][..., 2], batch["landmarks_2d"][..., 2])
    np.testing.assert_allclose(
        np.linalg.norm(points, axis=-1),
        np.linalg.norm(before, axis=-1),
        rtol=1e-4,
        err_msg="distance to the camera",
    )
    about = [np.asarray(p) - np.asarray(p)[:, :, 23:25].mean(2, keepdims=True) for p in (before, points)]
    expected = np.einsum("bij,btkj->btki", turn, about[0])
    np.testing.assert_allclose(about[1], expected, atol=1e-3)
    np.testing.assert_allclose(
        seen["landmarks_3d"], np.einsum("bij,btkj->btki", turn, batch["landmarks_3d"]), atol=1e-4
    )
    moved = np.abs(seen["landmarks_2d"] - batch["landmarks_2d"])[..., :2].max(axis=(1, 2, 3))
    assert (moved > 5).sum() > 4 and (moved < 1e-2).sum() > 0, "most are turned, some are not"


def test_a_turn_does_not_drive_people_out_of_the_picture(folder, monkeypatch):
    monkeypatch.setattr(watched, "ROLL", (0.0, 0.0))
    batch, _ = RenderedClips(folder, "all").draw(np.random.default_rng(0), 200, FRAMES, augment=False)
    pelvis = np.asarray(rest_joints(load_body(), batch["betas"]))[:, 0]
    seen = watched.turned(batch, watched.draw_turns(np.random.default_rng(0), batch), pelvis)

    def outside(batch):
        points = batch["landmarks_2d"][..., :2][batch["seen"]]
        size = np.broadcast_to(batch["image_size"][:, None, ::-1], (*batch["seen"].shape, 2))[batch["seen"]]
        return np.maximum(np.maximum(-points, points - size[:, None]).max(axis=(1, 2)), 0)

    # A turn is not quite a shift: what is far from the middle goes a little further.
    assert np.quantile(outside(seen) - outside(batch), 0.99) < 0.15 * batch["image_size"].min()


def test_another_pose_takes_the_errors_of_the_detector_along(folder):
    clips = RenderedClips(folder, "all")
    batch, _ = clips.draw(np.random.default_rng(0), 11, FRAMES, augment=False)
    batch["seen"][0, :3] = False
    batch["has_smpl"][1] = False
    errors = np.random.default_rng(1).normal(0, 5, batch["landmarks_2d"].shape) * [1, 1, 0]
    depths = np.random.default_rng(2).normal(0, 0.05, batch["landmarks_3d"].shape)
    seen = batch["seen"][..., None, None]
    batch["landmarks_2d"] = np.float32((batch["landmarks_2d"] + errors) * seen)
    batch["landmarks_3d"] = np.float32((batch["landmarks_3d"] + depths) * seen)
    pose, betas = watched.draw_bodies(np.random.default_rng(3), batch)
    changed = watched.reposed(batch, pose, betas, clips._landmarks)
    points, places = map(np.asarray, pixels(changed))
    expected = {
        "landmarks_2d": places + errors[..., :2],
        "landmarks_3d": points - points[:, :, 23:25].mean(axis=2, keepdims=True) + depths,
    }
    for key, value in expected.items():
        found = changed[key][..., : value.shape[-1]]
        np.testing.assert_allclose(found[batch["seen"]], value[batch["seen"]], atol=2e-2)
        assert not changed[key][~batch["seen"]].any()
    moved = np.abs(changed["pose"] - batch["pose"]).max(axis=(1, 2, 3))
    assert (
        (moved > 0.05).sum() > 5
        and moved[1] == 0
        and all(changed[k].dtype == v.dtype for k, v in batch.items())
    )
    np.testing.assert_array_equal(changed["betas"][1], batch["betas"][1])
    body, before, after = load_body(), batch["betas"], changed["betas"]
    pelvis = [np.asarray(rest_joints(body, b))[:, None, 0] for b in (before, after)]
    np.testing.assert_allclose(changed["transl"] + pelvis[1], batch["transl"] + pelvis[0], atol=1e-5)


def test_other_bodies_are_as_varied_as_those_they_stand_for():
    batch = {
        "pose": np.zeros((4000, 1, 24, 3), np.float32),
        "betas": np.random.default_rng(0).normal(size=(4000, 10)).astype(np.float32),
        "has_smpl": np.ones(4000, bool),
    }
    pose, betas = watched.draw_bodies(np.random.default_rng(1), batch)
    same = (betas == batch["betas"]).all(axis=1)
    assert abs(same.mean() - (1 - watched.REPOSED)) < 0.03 and not pose[same].any() and pose[~same].any()
    np.testing.assert_allclose(betas.std(axis=0), 1, atol=0.05)
    both = betas[~same].ravel(), batch["betas"][~same].ravel()
    np.testing.assert_allclose(np.corrcoef(*both)[0, 1], watched.SHAPE_KEPT, atol=0.02)


def test_a_mirror_shows_truth_and_observations_alike(folder):
    batch, _ = RenderedClips(folder, "all").draw(np.random.default_rng(0), 2, FRAMES, augment=False)
    chosen = np.array([True, False])
    seen = mirrored(batch, chosen)
    for key in ("landmarks_2d", "landmarks_3d", "pose", "transl"):
        np.testing.assert_array_equal(seen[key][~chosen], batch[key][~chosen])
        assert seen[key].dtype == np.float32 and np.abs(seen[key][chosen] - batch[key][chosen]).max() > 0.01
    points, expected = pixels(seen)
    width = batch["image_size"][:, 1, None, None]
    visible = seen["seen"]
    # The body is not exactly as wide to the left as to the right.
    np.testing.assert_allclose(
        (seen["landmarks_2d"][..., :2] / width[..., None])[visible],
        (expected / width[..., None])[visible],
        atol=0.005,
    )
    about_hips = np.asarray(points) - np.asarray(points)[:, :, 23:25].mean(2, keepdims=True)
    original, _ = pixels(batch)
    original = np.asarray(original) - np.asarray(original)[:, :, 23:25].mean(2, keepdims=True)
    # The detector's own 3D is mirrored as the truth's is.
    np.testing.assert_allclose(
        np.linalg.norm(about_hips, axis=-1).sum(-1), np.linalg.norm(original, axis=-1).sum(-1), rtol=0.01
    )
    twice = mirrored(seen, chosen)
    np.testing.assert_allclose(twice["pose"], batch["pose"], atol=1e-6)
    np.testing.assert_allclose(twice["landmarks_2d"], batch["landmarks_2d"], atol=1e-3)


def test_swaps_and_gaps_leave_the_truth_alone(folder, monkeypatch):
    monkeypatch.setattr(watched, "SWAP_RATE", 0.05)
    monkeypatch.setattr(watched, "DROP_RATE", 0.03)
    batch, _ = RenderedClips(folder, "all").draw(np.random.default_rng(0), 64, LENGTH, augment=False)
    failed = fail(np.random.default_rng(1), batch)
    for key in ("pose", "transl", "betas", "mask", "true_focal_length"):
        np.testing.assert_array_equal(failed[key], batch[key])
    lost = batch["seen"] & ~failed["seen"]
    assert 0.01 < lost.mean() < 0.5 and not (failed["seen"] & ~batch["seen"]).any()
    assert not failed["landmarks_2d"][lost].any() and not failed["landmarks_3d"][lost].any()
    moved = (failed["landmarks_2d"] != batch["landmarks_2d"]).any(axis=-1) & failed["seen"][..., None]
    assert 0.05 < moved.any(axis=-1).mean() < 0.8
    assert not moved[..., :11].any()  # faces are not swapped
    arms, legs = moved[..., 11:23].any(axis=-1), moved[..., 23:].any(axis=-1)
    assert (arms & legs).any() and (arms & ~legs).any() and (legs & ~arms).any()
    hidden = batch | {
        "has_3d": np.zeros(64, bool)
    }  # where the landmarks are what is learned, nothing is exchanged
    kept = fail(np.random.default_rng(1), hidden)
    np.testing.assert_array_equal(kept["seen"], failed["seen"])
    np.testing.assert_array_equal(kept["landmarks_2d"][kept["seen"]], batch["landmarks_2d"][kept["seen"]])
    both = np.sort(failed["landmarks_2d"], axis=2), np.sort(batch["landmarks_2d"], axis=2)
    np.testing.assert_array_equal(both[0][failed["seen"]], both[1][failed["seen"]])


def test_events_last_as_long_as_asked():
    state = events(np.random.default_rng(0), (400, 60), 0.004, (5, 9), kinds=3)
    assert set(np.unique(state)) == {-1, 0, 1, 2}
    runs = [
        np.diff(np.flatnonzero(np.diff(np.r_[-1, row, -1]) != 0))
        for row in state
        if (row >= 0).sum() in range(1, 10)
    ]
    inner = [
        run[0]
        for row, run in zip([r for r in state if (r >= 0).sum() in range(1, 10)], runs)
        if row[-1] < 0 and len(run) == 1
    ]
    assert inner and min(inner) >= 5 and max(inner) <= 9
