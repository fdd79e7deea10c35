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
    assert motion.confidence[10:15].max() <= 0.5 < motion.confidence[:10].min(), "a filled gap is less sure"


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
    )
    at_60 = lift(doubled, weights, body)
    assert len(at_60) == 61 and at_60.mocap_framerate == 60
    np.testing.assert_allclose(at_60.poses[::2], at_30.poses, atol=1e-3)
    np.testing.assert_allclose(at_60.trans[::2], at_30.trans, rtol=0.03, atol=0.03)


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
