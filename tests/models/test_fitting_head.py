import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from hpof_jax.body.model import keypoints, rest_joints
from hpof_jax.body.skeletons import BLAZEPOSE_CARRIERS, SMPL_JOINTS
from hpof_jax.geometry import camera
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.fitting_head import FittingHead
from hpof_jax.models.hpof import predict_long
from hpof_jax.models.inputs import Inputs, make_inputs, read_features
from hpof_jax.training import metrics

pytestmark = pytest.mark.slow

FRAMES, CHANNELS = 6, 4
HEAD = FittingHead(steps=3)
SMALL = {"name": "hpof", "channels": 32, "dilations": (1, 3), "hidden": 8, "fit_steps": 2}

prepare = jax.jit(make_inputs)
fit = jax.jit(lambda params, *args: HEAD.apply({"params": params}, *args))
init = jax.jit(lambda *args: HEAD.init(jax.random.key(0), *args)["params"])


def stature(rest):
    """Trunk, thigh and shank."""
    parts = [rest[..., np.array(pair), :].mean(axis=-2) for pair in ([16, 17], [1, 2], [4, 5], [7, 8])]
    return sum(np.linalg.norm(a - b, axis=-1) for a, b in zip(parts, parts[1:], strict=False))


class Scene:
    """Two clips with perfect landmarks, and a first answer that is wrong by about 9 degrees a joint."""

    def __init__(self, body):
        rng = np.random.default_rng(0)
        frames = (2, FRAMES)
        pose = 0.2 * rng.normal(size=(*frames, 24, 3))
        pose[..., 0, :] = [np.pi, 0, 0]  # upright in the camera frame, facing the camera
        self.betas = 0.5 * rng.normal(size=(2, 1, 10)).astype(np.float32)
        self.rotations = axis_angle_to_matrix(pose.astype(np.float32))
        points, joints = keypoints(body, body.landmarks, self.betas, self.rotations)
        points = np.asarray(points - joints[..., :1, :])
        self.joints = np.asarray(joints - joints[..., :1, :])
        self.pelvis = np.array([0.3, 0.1, 3.5]) + 0.1 * rng.normal(size=(*frames, 3))
        self.size, self.focal = np.full((2, 2), 720.0, np.float32), np.full(2, 800.0, np.float32)
        pixels = camera.project(
            points + self.pelvis[..., None, :], self.focal[:, None, None], self.size[:, None, None]
        )
        self.landmarks_2d = np.concatenate([pixels, np.ones((*frames, 33, 1))], axis=-1).astype(np.float32)
        rest, mean = rest_joints(body, self.betas), body.J_template
        # The detector shows everybody in the size of the mean body.
        shown = (stature(mean) / stature(rest))[..., None, None]
        self.landmarks_3d = np.array(metrics.centre(points, [23, 24]) * shown, np.float32)
        self.seen = np.ones(frames, bool)
        self.wrong = 0.15 * rng.normal(size=(*frames, 24, 3)).astype(np.float32)
        self.first = np.asarray(self.rotations @ axis_angle_to_matrix(self.wrong), np.float32)
        box = self.inputs().box
        cam = camera.translation_to_cam(self.pelvis, box, self.focal[:, None], self.size[:, None])
        self.right_cam = np.asarray(cam, np.float32)
        self.cam = np.asarray(cam * np.array([1.05, 1, 1]) + np.array([0, 0.05, -0.05]), np.float32)
        self.encoded = rng.normal(size=(*frames, CHANNELS)).astype(np.float32)
        self.body = body

    def inputs(self, hide_3d=False, **changes) -> Inputs:
        given = {
            "landmarks_2d": self.landmarks_2d,
            "landmarks_3d": self.landmarks_3d,
            "seen": self.seen,
        } | changes
        mask, hidden = np.ones_like(self.seen), np.full(2, hide_3d)
        return prepare(*given.values(), mask, self.size, self.focal, hidden)

    def arguments(self, inputs, frames=slice(None)):
        per_frame = (inputs.features, self.first, self.cam)
        features, first, cam = (x[:, frames] for x in per_frame)
        return self.encoded[:, frames], features, self.betas, first, cam, self.body

    def fit(self, inputs, params=None):
        arguments = self.arguments(inputs)
        return fit(self.params if params is None else params, *arguments)

    @property
    def params(self):
        """Those of a head that trusts the landmarks: its own pose has a standard deviation of 30 degrees."""
        params = init(*self.arguments(self.inputs()))
        bias = np.zeros(126, np.float32)
        bias[:33], bias[99:123] = 1.0, -1.0
        return params | {"log_weights": params["log_weights"] | {"bias": bias}}


@pytest.fixture(scope="module")
def scene(body):
    return Scene(body)


@jax.jit
def landmarks_in_box(body, betas, rotations, cam, box, focal, size):
    points, joints = keypoints(body, body.landmarks, betas, rotations)
    pelvis = camera.cam_to_translation(cam, box, focal[:, None], size[:, None])
    points = points - joints[..., :1, :] + pelvis[..., None, :]
    return camera.to_box(camera.project(points, focal[:, None, None], size[:, None, None]), box)


def residual(scene, inputs, rotations, cam):
    """Mean distance of the landmarks from the observed ones, half-boxes."""
    found = landmarks_in_box(scene.body, scene.betas, rotations, cam, inputs.box, scene.focal, scene.size)
    return np.linalg.norm(found - camera.to_box(scene.landmarks_2d[..., :2], inputs.box), axis=-1).mean()


@pytest.mark.parametrize("hide_3d", [False, True], ids=["2D and 3D", "2D alone"])
def test_it_brings_the_body_to_the_observed_landmarks(scene, hide_3d):
    inputs = scene.inputs(hide_3d)
    rotations, cam = scene.fit(inputs)
    assert residual(scene, inputs, rotations, cam) < 0.25 * residual(scene, inputs, scene.first, scene.cam)
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, -1, -2), np.tile(np.eye(3), (2, FRAMES, 24, 1, 1)), atol=1e-5
    )
    if not hide_3d:
        joints = keypoints(scene.body, scene.body.landmarks, scene.betas, rotations)[1]
        before = keypoints(scene.body, scene.body.landmarks, scene.betas, scene.first)[1]
        after, before = (
            np.linalg.norm(metrics.centre(x, [0]) - scene.joints, axis=-1).mean() for x in (joints, before)
        )
        assert after < 0.6 * before


def test_an_unseen_frame_stays_as_it_is(scene):
    seen = scene.seen.copy()
    seen[:, 2:4] = False
    inputs = scene.inputs(seen=seen)
    rotations, cam = scene.fit(inputs)
    np.testing.assert_allclose(rotations[:, 2:4], scene.first[:, 2:4], atol=1e-6)
    np.testing.assert_allclose(cam[:, 2:4], scene.cam[:, 2:4], atol=1e-6)
    assert np.abs(rotations[:, :2] - scene.first[:, :2]).max() > 0.1


def test_blocks_give_what_all_frames_at_once_give(scene):
    inputs, params = scene.inputs(), scene.params
    arguments = scene.arguments(inputs)
    blocks = jax.jit(lambda p, *args: HEAD.clone(block=5).apply({"params": p}, *args))(params, *arguments)
    for a, b in zip(blocks, fit(params, *arguments), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # solves in float32


def test_an_invisible_landmark_does_not_count(scene):
    changed = scene.landmarks_2d.copy()
    changed[..., 15, 2] = 0.0
    changed[..., 16, 2] = 0.0
    moved = changed.copy()
    moved[..., 15, 0] += 40.0
    # A zero confidence leaves the landmark out of the box as well.
    a, b = (scene.fit(scene.inputs(landmarks_2d=x)) for x in (changed, moved))
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)


def test_right_offsets_explain_a_biased_detector(scene):
    """The detector's hips are 3 cm from the body's: with the offset the right pose fits, without it does not."""
    offset = np.zeros((33, 3), np.float32)
    offset[23], offset[24] = [0.03, 0.02, 0.0], [-0.03, 0.02, 0.0]
    world, _ = hip_frames(scene.rotations)
    shift = np.einsum("btkij,kj->btki", world, offset[23:25])
    landmarks_3d = scene.landmarks_3d.copy()
    shown = stature(scene.body.J_template) / stature(rest_joints(scene.body, scene.betas))
    landmarks_3d[..., 23:25, :] += shift * shown[..., None, None]
    inputs = scene.inputs(landmarks_3d=landmarks_3d)
    features = inputs.features.at[..., :66].set(3.0)  # outside the box: 2D landmarks do not count
    right = (scene.encoded, features, scene.betas, np.float32(scene.rotations), scene.cam, scene.body)
    params = scene.params
    legs = [SMPL_JOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("hip", "knee")]
    moved = [
        np.abs(fit(params | {"offsets": x}, *right)[0] - scene.rotations)[..., legs, :, :].max()
        for x in (offset, 0 * offset)
    ]
    assert moved[0] < 0.3 * moved[1]


def hip_frames(rotations):
    root = np.asarray(rotations[..., 0, :, :])
    hips = [root @ np.asarray(rotations[..., joint, :, :]) for joint in (1, 2)]
    return np.stack(hips, axis=2), root


@pytest.mark.slow
def test_the_gradient_is_that_of_the_converged_fit(scene):
    """By finite differences, after so many steps and from so near that the linearisation no longer matters."""
    head = FittingHead(steps=6)
    encoded, features, betas, _, cam, _ = scene.arguments(scene.inputs(), slice(0, 1))
    cam = scene.right_cam[:, :1] + 0.1 * (cam - scene.right_cam[:, :1])
    near = np.asarray(scene.rotations[:, :1] @ axis_angle_to_matrix(0.1 * scene.wrong[:, :1]))
    arguments = encoded, features, betas, near, cam, scene.body
    rng = np.random.default_rng(3)
    bar = rng.normal(size=(2, 1, 24, 3, 3)), rng.normal(size=(2, 1, 3))

    @jax.jit
    def loss(params, *args):
        return sum((a * b).sum() for a, b in zip(head.apply({"params": params}, *args), bar, strict=True))

    params = scene.params
    weights = params["log_weights"]
    found = jax.jit(jax.grad(loss))(params, *arguments)
    for path, size in (
        (("log_weights", "bias"), 1e-2),
        (("log_weights", "kernel"), 1e-3),
        (("offsets",), 1e-4),
    ):
        leaf, slope = params, found
        for key in path:
            leaf, slope = leaf[key], slope[key]
        direction = size * rng.normal(size=leaf.shape).astype(np.float32)
        ends = []
        for sign in (1.0, -1.0):
            changed = leaf + sign * direction
            changed = (
                {"offsets": changed}
                if path == ("offsets",)
                else {"log_weights": weights | {path[1]: changed}}
            )
            ends.append(float(loss(params | changed, *arguments)))
        # It leaves out the curvature of the landmarks' paths and the change of the robust factor.
        np.testing.assert_allclose(np.sum(slope * direction), (ends[0] - ends[1]) / 2.0, rtol=0.3)


@pytest.mark.slow
def test_gradients_are_finite_and_reach_the_first_answer(scene):
    encoded, *rest = scene.arguments(scene.inputs())
    rng = np.random.default_rng(2)
    bar = rng.normal(size=(2, FRAMES, 24, 3, 3)).astype(np.float32)

    @jax.jit
    @jax.grad
    def gradient(given, rest):
        params, encoded, first, cam = given
        features, betas, _, _, body = rest
        rotations, cam = HEAD.apply({"params": params}, encoded, features, betas, first, cam, body)
        return (rotations * bar).sum() + cam.sum()

    params = scene.params
    params["log_weights"]["kernel"] = 0.01 * rng.normal(size=params["log_weights"]["kernel"].shape)
    for path, leaf in jax.tree.leaves_with_path(gradient((params, encoded, scene.first, scene.cam), rest)):
        assert np.isfinite(leaf).all() and np.any(leaf), jax.tree_util.keystr(path)


def test_each_landmark_is_carried_by_the_joint_that_moves_most_of_it(body):
    basis = body.landmarks
    shares = np.zeros((33, 24))
    np.add.at(shares, (np.argmax(basis.collect, axis=0), np.array(basis.joints)), np.asarray(basis.mass))
    assert [SMPL_JOINTS[joint] for joint in shares.argmax(axis=1)] == list(BLAZEPOSE_CARRIERS)


def test_features_are_read_as_they_were_made(scene):
    seen = scene.seen.copy()
    seen[0, 1] = False
    inputs = scene.inputs(seen=seen)
    observed = read_features(inputs.features)
    np.testing.assert_array_equal(observed.there, seen)
    np.testing.assert_allclose(observed.landmarks_3d, scene.landmarks_3d * seen[..., None, None], atol=1e-6)
    np.testing.assert_allclose(observed.confidence, 1.0 * seen[..., None].repeat(33, axis=-1), atol=1e-6)
    points = camera.to_box(scene.landmarks_2d[..., :2], inputs.box)
    np.testing.assert_allclose(observed.points, points * seen[..., None, None], atol=1e-5)


@pytest.fixture(scope="module")
def fitted(body, disturb):
    model = make_model(ConfigDict(SMALL))
    return model, disturb(init_params(model, body, 0))


def test_chunks_and_shots_give_what_one_pass_gives(fitted, observe, body):
    model, params = fitted
    inputs = observe(11)
    whole = jax.jit(lambda *args: model.apply({"params": params}, *args))(inputs, body)
    assert whole.betas.shape == (2, 1, 10)
    chunked = predict_long(model, params, inputs, body, chunk=4)
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-5)  # solves in float32
    shots = predict_long(model, params, inputs, body, chunk=4, shots=[slice(0, 7), slice(7, 11)])
    assert shots.rotations.shape == whole.rotations.shape and np.isfinite(shots.rotations).all()


def test_it_only_adds_parameters_to_the_model_without_it(fitted, body):
    _, params = fitted
    plain = make_model(ConfigDict(SMALL | {"fit_steps": 0}))
    rest = {key: value for key, value in params.items() if key != "fitting_head"}
    assert jax.tree.structure(rest) == jax.tree.structure(jax.eval_shape(lambda: init_params(plain, body, 0)))
