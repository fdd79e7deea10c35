"""AMASS files, read by the reader of the training data and put through the body."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.motion.amass import read_amass
from hpof_jax.body import load_body
from hpof_jax.export import amass
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.world import to_world


@pytest.mark.parametrize(("model", "joints", "num_betas"), [("smpl", 24, 10), ("smplh", 52, 16)])
def test_the_file_has_amass_keys_in_amass_world(small_motion, tmp_path, model, joints, num_betas):
    body = load_body()
    world = to_world(small_motion, body)
    even = at_constant_rate(world, body)
    amass.write(tmp_path / "a.npz", world, body, model)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert arrays["poses"].shape == (5, 3 * joints) and arrays["betas"].shape == (num_betas,)
    assert str(arrays["gender"]) == "neutral" and abs(arrays["mocap_framerate"] - 25) < 1e-6
    np.testing.assert_allclose(arrays["poses"][:, :66], even.pose[:, :22].reshape(5, 66), atol=1e-6)
    if model == "smplh":
        assert not arrays["poses"][:, 66:].any()  # straight fingers
    # The free body's shape means nothing on SMPL; the pelvis of SMPL's mean body is where the person's is.
    assert not arrays["betas"].any()
    np.testing.assert_allclose(arrays["trans"] + amass.SMPL_PELVIS, even.joints[:, 0], atol=1e-6)
    clip = read_amass(tmp_path / "a.npz")
    np.testing.assert_allclose(clip.pose[0, 1:22], world.pose[0, 1:22], atol=1e-5)


def test_a_motion_of_smpl_keeps_its_shape(small_motion, tmp_path):
    body = dataclasses.replace(load_body(), name="SMPL_NEUTRAL")
    motion = dataclasses.replace(small_motion, body="SMPL_NEUTRAL", times=np.arange(5) / 25)
    world = to_world(motion, body)
    amass.write(tmp_path / "a.npz", world, body)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        np.testing.assert_allclose(file["betas"], motion.betas, atol=1e-6)
        again = dataclasses.replace(motion, poses=file["poses"], trans=file["trans"])
    to_world_ = np.linalg.inv(world.world_to_camera)
    want = motion.vertices(body) @ to_world_[:3, :3].T + to_world_[:3, 3]
    np.testing.assert_allclose(again.vertices(body), want, atol=1e-5)
