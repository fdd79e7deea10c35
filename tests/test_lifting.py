import dataclasses
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import tiny
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR, SMPL_MIRROR
from hpof_jax.errors import UserError
from hpof_jax.lifting import lift
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.weights import save_weights
from hpof_jax.observe.clip import Observations

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def weights(body):
    config = tiny.get_config().model
    params = init_params(make_model(config), body, 0)
    rng = np.random.default_rng(0)
    noisy = jax.tree.map(lambda x: np.asarray(x) + 0.05 * rng.normal(size=x.shape).astype(np.float32), params)
    return noisy, config


@pytest.fixture(scope="module")
def observations():
    """A standing person who sways, as landmarks; frames 10 to 14 were not seen."""
    frames, rng = 31, np.random.default_rng(1)
    middle = np.array([640, 360]) + np.stack([30 * np.sin(np.arange(frames) / 9), np.zeros(frames)], axis=-1)
    around = rng.normal(0, [60, 150], (33, 2))
    seen = np.ones(frames, bool)
    seen[10:15] = False
    landmarks = np.concatenate([middle[:, None] + around, np.full((frames, 33, 1), 0.9)], axis=-1)
    return Observations(
        landmarks_2d=(landmarks * seen[:, None, None]).astype(np.float32),
        landmarks_3d=(np.tile(rng.normal(0, 0.3, (33, 3)), (frames, 1, 1)) * seen[:, None, None]).astype(
            np.float32
        ),
        seen=seen,
        image_size=np.array([720, 1280], np.float32),
        focal_length=np.float32(1469.0),
        fps=np.float32(30.0),
    )


def test_a_clip_becomes_a_motion(observations, weights, body):
    motion = lift(observations, weights, body)
    assert len(motion) == len(observations)
    assert motion.betas.shape == (10,), "one shape a clip"
    np.testing.assert_array_equal(motion.frame_index, np.arange(31))
    np.testing.assert_allclose(motion.joints[:, 0], motion.trans + np.asarray(body.J_template[0]), atol=5e-3)
    assert motion.trans[:, 2].min() > 0.5, "in front of the camera"
    assert motion.confidence[12] < min(0.5, motion.confidence[[9, 15]].max()), "a filled gap is less sure"


def test_the_mirrored_video_gives_the_mirrored_motion(observations, weights, body):
    mirrored = observations.landmarks_2d[:, BLAZEPOSE_MIRROR].copy()
    mirrored[observations.seen, :, 0] = 1280 - mirrored[observations.seen, :, 0]
    other = dataclasses.replace(
        observations,
        landmarks_2d=mirrored,
        landmarks_3d=observations.landmarks_3d[:, BLAZEPOSE_MIRROR] * np.array([-1, 1, 1], np.float32),
    )
    a, b = lift(observations, weights, body), lift(other, weights, body)
    flip = np.array([-1, 1, 1])
    np.testing.assert_allclose(b.pose, a.pose[:, SMPL_MIRROR] * np.array([1, -1, -1]), atol=1e-4)
    np.testing.assert_allclose(
        b.joints, a.joints[:, SMPL_MIRROR] * flip, atol=0.02
    )  # the body is not quite even


def test_swaps_of_left_and_right_are_undone_first(observations, weights, body):
    confused = {}
    for name in ("landmarks_2d", "landmarks_3d"):
        confused[name] = getattr(observations, name).copy()
        confused[name][18:25] = confused[name][18:25, BLAZEPOSE_MIRROR]
    confused = dataclasses.replace(observations, **confused)
    truth, undone = lift(observations, weights, body), lift(confused, weights, body)
    np.testing.assert_array_equal(undone.poses, truth.poses)
    np.testing.assert_array_equal(undone.keypoints_2d, truth.keypoints_2d)
    kept = lift(confused, weights, body, undo_swaps=False)
    np.testing.assert_array_equal(kept.keypoints_2d, confused.landmarks_2d)
    assert np.abs(kept.poses - truth.poses).max() > 0.01


def test_the_videos_frame_rate_is_respected(observations, weights, body):
    """Every frame shown twice at 60 fps is the same motion, at 60 fps."""
    at_30 = lift(observations, weights, body)
    frames = np.arange(61) / 2
    lower, upper = np.floor(frames).astype(int), np.ceil(frames).astype(int)

    def between(values):
        return ((values[lower] + values[upper]) / 2).astype(np.float32)

    seen = observations.seen[lower] & observations.seen[upper]
    doubled = dataclasses.replace(
        observations,
        landmarks_2d=between(observations.landmarks_2d) * seen[:, None, None],
        landmarks_3d=between(observations.landmarks_3d) * seen[:, None, None],
        seen=seen,
        fps=np.float32(60.0),
        times=None,
    )
    at_60 = lift(doubled, weights, body)
    assert len(at_60) == 61 and at_60.mocap_framerate == 60
    np.testing.assert_allclose(at_60.poses[::2], at_30.poses, atol=1e-3)
    np.testing.assert_allclose(at_60.trans[::2], at_30.trans, rtol=0.03, atol=0.03)


def test_the_mean_pose_baseline_lifts_too(observations, body):
    config = ConfigDict({"name": "mean_pose", "channels": 16})
    motion = lift(observations, (init_params(make_model(config), body, 0), config), body, flip=False)
    assert len(motion) == len(observations)
    assert np.ptp(motion.pose[:, 1:], axis=0).max() < 1e-5, "one body pose"


def test_weights_of_another_model_are_refused(observations, weights, body):
    params, config = weights
    other = ConfigDict({**config.to_dict(), "hidden": 24})
    with pytest.raises(UserError, match="another config"):
        lift(observations, (params, other), body)


WITHOUT_TRAINING = """
import sys
import numpy as np
import hpof_jax.reconstruct
from hpof_jax.lifting import lift
from hpof_jax.observe.clip import Observations

observations, weights = Observations.load(sys.argv[1]), sys.argv[2]
assert len(lift(observations, weights)) == len(observations)
rooms = {".".join(name.split(".")[:2]) for name in sys.modules} | {name.split(".")[0] for name in sys.modules}
found = rooms & {"orbax", "optax", "tensorflow", "data_pipelines", "configs", "hpof_jax.training"}
assert not found, found
"""


def test_a_reconstruction_loads_nothing_of_training(observations, weights, tmp_path):
    """Checked in a fresh interpreter, where no other test has imported anything."""
    observations.save(tmp_path / "observations.npz")
    save_weights(tmp_path / "weights.npz", weights[0], ConfigDict({"model": weights[1]}))
    command = [
        sys.executable,
        "-c",
        WITHOUT_TRAINING,
        tmp_path / "observations.npz",
        tmp_path / "weights.npz",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def take(observations, rows, **changes):
    """The same observations at other frames, at 30 frames/s if nothing else is said."""
    arrays = {name: getattr(observations, name)[rows] for name in ("landmarks_2d", "landmarks_3d", "seen")}
    return dataclasses.replace(observations, **{**arrays, "times": None, "shots": None, **changes})


def test_one_picture_is_placed_like_the_same_picture_twice(observations, body):
    """With the weights of the package, which are trained on longer clips."""
    one, two = (lift(take(observations, [5] * count), None, body) for count in (1, 2))
    assert len(one) == 1 and len(two) == 2
    np.testing.assert_allclose(one.trans, two.trans[:1], atol=0.01)
    np.testing.assert_allclose(one.betas, two.betas, atol=1e-4)


@pytest.fixture(scope="module")
def weights_of_one_shape(weights):
    """Weights that find the same shape in every clip."""
    params, config = weights
    return {**params, "shape_head": jax.tree.map(np.zeros_like, params["shape_head"])}, config


def test_nothing_crosses_a_cut(observations, weights_of_one_shape, body):
    first, second = take(observations, np.arange(25)), take(observations, np.arange(29, 4, -1))
    second.landmarks_2d[second.seen, :, 0] += 500
    first.seen[-2:], second.seen[:2] = False, False  # what fills these gaps comes from the same shot
    joined = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("landmarks_2d", "landmarks_3d", "seen")
    }
    joined = dataclasses.replace(first, **joined, times=None, shots=np.array([0, 25]))
    alone = [lift(part, weights_of_one_shape, body) for part in (first, second)]
    together = lift(joined, weights_of_one_shape, body)
    for name in ("poses", "trans", "box"):
        expected = np.concatenate([getattr(motion, name) for motion in alone])
        np.testing.assert_allclose(getattr(together, name), expected, atol=1e-3, rtol=1e-4, err_msg=name)
    across = lift(dataclasses.replace(joined, shots=None), weights_of_one_shape, body)
    assert np.abs(across.trans - together.trans).max() > 0.1


def test_in_a_shot_without_the_person_the_pose_is_held(observations, weights_of_one_shape, body):
    joined = take(observations, np.append(np.arange(10), [12] * 15), shots=np.array([0, 10]))
    motion = lift(joined, weights_of_one_shape, body)
    np.testing.assert_allclose(motion.box[10:], np.tile(motion.box[9], (15, 1)), atol=0.5)
    assert motion.confidence[10:].max() < 0.5


def test_at_a_varying_frame_rate_the_true_times_count(observations, weights_of_one_shape, body):
    """A person who walks at a steady pace, filmed at 30 frames/s and with uneven gaps between the frames."""

    def walk(times):
        moved = np.tile(observations.landmarks_2d[:1], (len(times), 1, 1))
        moved[..., 0] += 150 * times[:, None]
        frames = take(observations, [0] * len(times), times=times)
        return dataclasses.replace(frames, landmarks_2d=moved)

    even = np.arange(31) / 30
    uneven = np.delete(even, [5, 6, 7, 15, 20, 21])
    steady, varying = (lift(walk(times), weights_of_one_shape, body) for times in (even, uneven))
    np.testing.assert_array_equal(varying.times, uneven)
    rows = np.searchsorted(even, uneven)
    np.testing.assert_allclose(varying.trans, steady.trans[rows], atol=0.03)


@pytest.fixture(scope="module")
def with_features(observations):
    features = np.random.default_rng(4).uniform(0, 2, (len(observations), 2048)).astype(np.float32)
    return dataclasses.replace(observations, features=features * observations.seen[:, None])


@pytest.mark.parametrize("inputs", [("landmarks", "features"), ("features",)])
def test_image_features_are_used_by_a_model_that_takes_them(observations, with_features, body, inputs):
    config = ConfigDict(tiny.get_config().model.to_dict() | {"inputs": inputs, "image_channels": 8})
    params = init_params(make_model(config), body, 0)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: np.float32(x + 0.05 * rng.normal(size=x.shape)), params)
    motion = lift(with_features, (params, config), body)
    other = dataclasses.replace(with_features, features=with_features.features[:, ::-1].copy())
    assert np.abs(motion.poses - lift(other, (params, config), body).poses).max() > 1e-3
    config.backbone = "ab"
    with pytest.raises(UserError, match="fingerprint ab, and those of the observations are of cd"):
        lift(dataclasses.replace(with_features, backbone="cd"), (params, config), body)
    if inputs == ("features",):
        with pytest.raises(UserError, match="take image features, which the observations do not have"):
            lift(observations, (params, config), body)
    else:
        assert len(lift(observations, (params, config), body)) == len(observations)


def test_image_features_are_left_out_by_a_model_of_landmarks(observations, with_features, weights, body):
    np.testing.assert_array_equal(
        lift(with_features, weights, body).poses, lift(observations, weights, body).poses
    )
