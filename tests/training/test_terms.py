"""The losses on silhouettes and flow in the training step; `test_steps.py` tests the others."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data_pipelines import stream
from hpof_jax.body import keypoint_basis
from hpof_jax.body.coarse import decimate
from hpof_jax.body.model import keypoints
from hpof_jax.geometry import camera
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.hpof import Prediction
from hpof_jax.training import parallel, state, steps, terms

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

WEIGHTS = dict.fromkeys(sorted(terms.OUTLINE_LOSSES), 1.0)
ALL = dict.fromkeys(sorted(terms.LOSSES - {"adversarial"}), 1.0)
UNLABELLED = np.arange(8) % 2 == 1


@pytest.fixture(scope="module")
def outline(body):
    return decimate(body)


@pytest.fixture(scope="module")
def clips():
    """A batch of the stream, with the true focal length as the assumed one."""
    options = stream.StreamOptions(8, 6, seed=1, flow="exact", flow_frames=4)
    batch = stream.batch_maker({"synthetic": 1.0}, options)(0)
    return batch | {"focal_length": batch["true_focal_length"]}


@pytest.fixture(scope="module")
def truth(body, clips):
    inputs = steps.batch_inputs(clips)
    rotations = axis_angle_to_matrix(jnp.asarray(clips["pose"]))
    pelvis = clips["transl"] + (body.J_template[0] + clips["betas"] @ body.J_shapedirs[:, 0])[:, None]
    cam = camera.translation_to_cam(
        pelvis, inputs.box, clips["focal_length"][:, None], clips["image_size"][:, None]
    )
    return Prediction(jnp.asarray(clips["betas"])[:, None], rotations, cam)


@pytest.fixture(scope="module")
def found(outline):
    """`(prediction, batch) -> ({term: mean}, {term: count})`."""

    @jax.jit
    def found(prediction, batch):
        sums = terms.loss_terms(outline, steps.batch_inputs(batch), prediction, batch, WEIGHTS, outline)
        means = {name: value / jnp.maximum(count, 1) for name, (value, count) in sums.items()}
        return means, {name: count for name, (_, count) in sums.items()}

    return found


def test_losses_are_small_for_the_true_motion_and_rise_with_the_error(found, truth, clips):
    floor, counts = found(truth, clips)
    assert set(floor) == set(WEIGHTS) and all(count > 0 for count in counts.values())
    assert floor["flow_silhouette"] < 0.03 and floor["silhouette"] < 0.2 and floor["vertex_flow"] < 0.3
    last = floor
    for degrees in (10, 30):
        turn = np.deg2rad(degrees) * np.arange(6)[:, None] / 6 * [0, 0, 1]
        turn = axis_angle_to_matrix(turn.astype(np.float32))
        rotations = truth.rotations.at[:, :, 0].set(turn @ truth.rotations[:, :, 0])
        now, _ = found(truth._replace(rotations=rotations), clips)
        assert all(now[name] > last[name] for name in WEIGHTS)
        last = now


def test_clips_without_flow_or_mask_do_not_count(found, truth, clips):
    _, counts = found(truth, clips)
    hidden = {key: value.copy() for key, value in clips.items()}
    hidden["has_flow"][:4] = False
    hidden["has_mask"][:4] = False
    hidden["flow"][:4] = np.nan
    means, fewer = found(truth, hidden)
    half = {key: np.concatenate([value[4:], value[4:]]) for key, value in clips.items()}
    of_half, twice = found(jax.tree.map(lambda x: jnp.concatenate([x[4:], x[4:]]), truth), half)
    for name in WEIGHTS:
        assert 0 < fewer[name] == twice[name] / 2 < counts[name]
        np.testing.assert_allclose(means[name], of_half[name], rtol=1e-4)


def test_gradients_are_finite_whatever_is_predicted(outline, truth, clips):
    def total(prediction):
        inputs = steps.batch_inputs(clips)
        sums = terms.loss_terms(outline, inputs, prediction, clips, WEIGHTS, outline)
        return sum(value for value, _ in sums.values())

    gradient = jax.jit(jax.grad(total))
    wild = truth._replace(
        cam=truth.cam * jnp.array([30.0, 1.0, 1.0])
    )  # so near that parts are behind the camera
    for prediction in (truth, wild, jax.tree.map(jnp.zeros_like, truth)):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(prediction)))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient(truth)))


def test_eight_devices_train_like_one(model, body, outline, clips):
    if jax.local_device_count() != 8:
        pytest.skip("JAX_NUM_CPU_DEVICES was set to another number")
    uneven = clips | {"has_flow": np.arange(8) % 3 > 0, "has_mask": np.arange(8) % 2 > 0}
    step = steps.make_train_step(
        model, body, optax.sgd(0.05), WEIGHTS, seed=0, ema_decay=0.9, hide_3d=0.0, axis_name=parallel.AXIS,
        outline=outline,
    )  # fmt: skip
    start = state.init_state(model, body, optax.sgd(0.05), 0)
    one = jax.jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name=parallel.AXIS))
    expected, logs = one(start, {key: value[None] for key, value in uneven.items()})
    shared, shared_logs = parallel.pmap_step(step)(parallel.replicate(start), parallel.cut(uneven))
    for name in WEIGHTS:
        np.testing.assert_allclose(shared_logs[name], logs[name], rtol=1e-4)
    for want, have in zip(*map(jax.tree.leaves, (expected.params, shared.params))):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6)


@pytest.fixture
def mixed(clips):
    batch = {key: value.copy() for key, value in clips.items()}
    batch["has_3d"], batch["has_smpl"] = ~UNLABELLED, ~UNLABELLED
    batch["seen"][:, 2] = False
    batch["landmarks_2d"][:, 2] = 0
    return batch


@pytest.fixture(scope="module")
def cost(body, outline):
    """`(prediction, batch) -> ({term: (sum, count)}, gradient of the sums' total)`."""

    def total(prediction, batch):
        found = terms.loss_terms(body, steps.batch_inputs(batch), prediction, batch, ALL, outline)
        return sum(value for value, _ in found.values()), found

    @jax.jit
    def cost(prediction, batch):
        gradient, found = jax.grad(total, has_aux=True)(prediction, batch)
        return found, gradient

    return cost


def test_withheld_ground_truth_reaches_no_loss(cost, truth, mixed):
    expected = cost(truth, mixed)
    assert set(expected[0]) == set(ALL)
    for nothing in (np.nan, 1e6, -0.3):
        batch = {key: value.copy() for key, value in mixed.items()}
        for key in ("pose", "betas", "transl", "true_focal_length"):
            batch[key][UNLABELLED] = nothing
        found = cost(truth, batch)
        for want, have in zip(*map(jax.tree.leaves, (expected, found))):
            assert np.isfinite(have).all()
            np.testing.assert_array_equal(have, want)


def test_the_target_of_unlabelled_clips_is_the_detectors_landmarks_weighted_by_visibility(body, truth, mixed):
    """Against NumPy, one clip at a time."""

    @jax.jit
    def term(prediction, batch):
        inputs = steps.batch_inputs(batch)
        return terms.loss_terms(body, inputs, prediction, batch, {"keypoints_2d": 1})["keypoints_2d"]

    points, joints = keypoints(body, body.landmarks, truth.betas, truth.rotations)
    for clip in np.flatnonzero(UNLABELLED)[:2]:
        hidden = mixed | {"mask": mixed["mask"] & (np.arange(8) == clip)[:, None]}
        value, count = term(truth, hidden)
        assert count == (hidden["mask"] & mixed["seen"]).sum() < hidden["mask"].sum()
        size, focal_length = mixed["image_size"][clip], mixed["focal_length"][clip]
        box = np.asarray(steps.batch_inputs(mixed).box)[clip]
        pelvis = camera.cam_to_translation(truth.cam[clip], box, focal_length, size)
        placed = points[clip] - joints[clip, :, :1] + pelvis[:, None]
        landmarks = mixed["landmarks_2d"][clip]
        pixels = np.asarray(camera.project(placed, focal_length, size))
        target = np.asarray(camera.to_box(landmarks[..., :2], box))
        error = np.clip(camera.to_box(pixels, box), -6, 6) - target
        robust = np.sqrt((error**2).sum(-1) + 1e-4) - 0.01
        weight = landmarks[..., 2] * (np.abs(target).max(-1) < 3)
        expected = (weight * robust).mean(-1)[mixed["seen"][clip]].sum()
        np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_the_detectors_landmarks_are_no_target_of_labelled_clips(body, truth, clips):
    inputs = steps.batch_inputs(clips)
    found = [
        terms.loss_terms(body, inputs, truth, clips | {"landmarks_2d": points}, {"keypoints_2d": 1})
        for points in (clips["landmarks_2d"], np.zeros_like(clips["landmarks_2d"]))
    ]
    np.testing.assert_array_equal(*(f["keypoints_2d"] for f in found))


def test_the_same_shape_in_every_frame_equals_one_for_the_clip(outline, truth, clips):
    weights = {"betas": 1.0, "vertex_flow": 1.0}
    batch = clips | {"mask": np.arange(6) < np.arange(8)[:, None], "has_smpl": ~UNLABELLED}

    @jax.jit
    def found(prediction, batch):
        return terms.loss_terms(outline, steps.batch_inputs(batch), prediction, batch, weights, outline)

    one = truth._replace(betas=truth.betas + 1.0)
    every = one._replace(betas=jnp.broadcast_to(one.betas, (8, 6, 10)))
    of_clips, of_frames = found(one, batch), found(every, batch)
    np.testing.assert_allclose(of_frames["vertex_flow"], of_clips["vertex_flow"], rtol=1e-5)
    np.testing.assert_allclose(of_clips["betas"], [3.0, 3.0], rtol=1e-6)  # clips 2, 4 and 6; 0 has no frame
    np.testing.assert_allclose(of_frames["betas"], [12.0, 12.0], rtol=1e-6)  # of 2, 4 and 6 frames


def test_annotated_points_replace_what_is_unknown(body, truth, clips):
    basis = keypoint_basis(body, "spin49")
    points, joints = keypoints(body, basis, truth.betas, truth.rotations)
    place = points[..., -24:, :] + (clips["transl"] + 0.0)[..., None, :]
    pixels = camera.project(
        place, clips["true_focal_length"][:, None, None], clips["image_size"][:, None, None]
    )
    there = np.ones((*pixels.shape[:-1], 1), np.float32)
    there[:, :, :5] = 0  # points that are not annotated
    right = {
        "keypoints_2d": np.concatenate([pixels, there], axis=-1),
        "keypoints_3d": np.concatenate([place, there], axis=-1),
        "has_smpl": np.arange(8) < 2,
        "has_3d": np.arange(8) < 4,
        "pose": np.where((np.arange(8) < 2)[:, None, None, None], clips["pose"], 0),
    }
    wrong = {key: value.copy() for key, value in right.items()}
    wrong["keypoints_2d"][4:, :, 10, 0] += 50  # where 2D is all that is known
    wrong["keypoints_3d"][2:4, :, 10, 0] += 0.1
    wrong["keypoints_2d"][..., :5, :2] = wrong["keypoints_3d"][..., :5, :3] = 1e3
    wrong["keypoints_2d"][:2] = wrong["keypoints_3d"][:2] = 7  # where the body is known
    weights = {"keypoints_2d": 1, "keypoints_3d": 1}

    @jax.jit
    def found(batch):
        sums = terms.loss_terms(body, steps.batch_inputs(batch), truth, batch, weights, annotated=basis)
        return {name: value / count for name, (value, count) in sums.items()}, {
            n: c for n, (_, c) in sums.items()
        }

    exact, counts = found(clips | right)
    assert exact["keypoints_3d"] < 1e-4 and exact["keypoints_2d"] < 1e-3
    assert counts["keypoints_3d"] == 4 * 6 and counts["keypoints_2d"] == 8 * 6
    off, _ = found(clips | wrong)
    np.testing.assert_allclose(off["keypoints_3d"], 2 / 4 * (0.1 - 0.005) / 24, rtol=0.05)
    assert off["keypoints_2d"] > 10 * exact["keypoints_2d"]
