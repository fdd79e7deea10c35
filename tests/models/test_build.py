import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import hpof as config_file
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model, model_for
from hpof_jax.models.hpof import predict_long

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

SMALL = {"name": "hpof", "channels": 32, "dilations": (1, 3), "hidden": 8}
MODELS = {
    "hpof": SMALL,
    "gru": {**SMALL, "encoder_type": "gru"},
    "flat": {**SMALL, "head_type": "flat"},
    "per frame": {**SMALL, "shape_per": "frame"},
    "flat, per frame": {**SMALL, "head_type": "flat", "shape_per": "frame"},
    "mean pose": {"name": "mean_pose", "channels": 32},
}


@pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS)
def test_every_model_predicts_clips_and_long_videos_alike(fields, body, observe, disturb):
    model = make_model(ConfigDict(fields))
    params, inputs = disturb(init_params(model, body, 0)), observe(11)
    whole = jax.jit(lambda *args: model.apply({"params": params}, *args))(inputs, body)
    assert whole.betas.shape == (2, 11 if fields.get("shape_per") == "frame" else 1, 10)
    assert whole.clip_betas(inputs.mask).shape == (2, 10) and whole.cam.shape == (2, 11, 3)
    rotations = np.asarray(whole.rotations)
    assert rotations.shape == (2, 11, 24, 3, 3)
    identity = np.broadcast_to(np.eye(3), rotations.shape)
    np.testing.assert_allclose(rotations @ rotations.swapaxes(-1, -2), identity, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-5)
    chunked = predict_long(model, params, inputs, body, chunk=4)
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_a_config_from_a_file_has_lists():
    fields = {**SMALL, "dilations": [1, 3]}
    assert make_model(ConfigDict(fields)) == make_model(ConfigDict(SMALL))
    assert hash(make_model(ConfigDict(fields))) == hash(make_model(ConfigDict(SMALL)))


def test_the_mlp_has_no_context():
    assert make_model(config_file.get_config("mlp").model).encoder.border == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "resnet"}, "no model 'resnet'"),
        ({"depth": 3}, "no field 'depth'.*channels"),
        ({"fit_steps": -1}, r"config\.model\.fit_steps is -1: it must be at least 0"),
        (
            {"encoder_type": "lstm"},
            r"no 'lstm' for --config\.model\.encoder_type: choose one of dilated, gru",
        ),
    ],
)
def test_a_model_that_there_is_not(fields, words):
    with pytest.raises(UserError, match=words):
        make_model(ConfigDict({**SMALL, **fields}))


def test_parameters_are_checked_against_the_config(initial, body, model):
    assert model_for(initial, ConfigDict(SMALL), body) == model
    with pytest.raises(UserError, match="The model in run.npz is of another config"):
        model_for(initial, ConfigDict({**SMALL, "hidden": 4}), body, "run.npz")
