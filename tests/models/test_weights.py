import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from hpof_jax.errors import UserError
from hpof_jax.models.build import make_model
from hpof_jax.models.hpof import predict_long
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.weights import check_params, differing, load_weights, save_weights, weights_file

CONFIG = ConfigDict({"model": {"name": "hpof", "channels": 8, "dilations": (1, 3)}, "seed": 0})
PARAMS = {"layer": {"kernel": np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)}}


def test_weights_come_back_bit_for_bit(tmp_path):
    save_weights(tmp_path / "weights.npz", PARAMS, CONFIG)
    for source in (tmp_path / "weights.npz", tmp_path):  # a training run's folder has one under this name
        params, config = load_weights(source)
        kernel = params["layer"]["kernel"]
        np.testing.assert_array_equal(kernel, PARAMS["layer"]["kernel"])
        assert kernel.dtype == np.float32
        assert config.name == "hpof" and list(config.dilations) == [1, 3]
    assert [file.name for file in tmp_path.iterdir()] == ["weights.npz"]


def test_the_shipped_weights_give_the_same_numbers_as_ever(body):
    rng = np.random.default_rng(0)
    points = rng.normal([640, 360], [60, 150], (1, 24, 33, 2)), rng.uniform(size=(1, 24, 33, 1))
    landmarks_3d = rng.normal(0, 0.3, (1, 24, 33, 3)).astype(np.float32)
    seen, image_size, focal_length = np.ones((1, 24), bool), np.float32([[720, 1280]]), np.float32([1100])
    points = np.concatenate(points, axis=-1, dtype=np.float32)
    inputs = jax.jit(make_inputs)(points, landmarks_3d, seen, seen, image_size, focal_length)
    params, config = load_weights()
    betas, rotations, cam = predict_long(make_model(config), params, inputs, body)
    for found, expected in (
        (betas[0, 0, :4], [-1.3212072, -0.1131946, -0.0567156, -0.0313650]),
        (cam[0, 5], [1.4087071, 0.0518765, 0.1002905]),
        (rotations[0, 20, 0, 0], [-0.8676318, 0.1769663, 0.4646482]),
        (rotations[0, 10, 16, 0], [0.2198708, 0.9025601, -0.3701921]),
        (rotations[0, 20, 21, 0], [0.9600160, -0.2754701, 0.0498562]),
    ):
        np.testing.assert_allclose(found, expected, atol=2e-6)


def text(path):
    path.write_text("these are not weights")


def truncated(path):
    save_weights(path, PARAMS, CONFIG)
    path.write_bytes(path.read_bytes()[:-300])


def damaged(path):
    save_weights(path, PARAMS, CONFIG)
    content = bytearray(path.read_bytes())
    content[60:120] = bytes(60)
    path.write_bytes(content)


def foreign(path):
    np.savez(path, poses=np.zeros(3))


def pickled(path):
    np.savez(path, config=np.array([{"name": "hpof"}], object))


def array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "spoil", [text, truncated, damaged, foreign, pickled, array], ids=lambda f: f.__name__
)
def test_a_file_that_is_no_weights_file(tmp_path, spoil):
    path = tmp_path / "weights.npz"
    spoil(path)
    with pytest.raises(UserError, match=r"is not a weights file of this package \(.+\): give"):
        load_weights(path)


def test_the_weights_of_the_package_have_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert weights_file("nc") == weights_file(None) == weights_file()
    assert weights_file("free") != weights_file()
    assert load_weights("nc")[1] == load_weights("free")[1] == load_weights()[1]


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no weights at .*absent: give"):
        load_weights(tmp_path / "absent")
    with pytest.raises(UserError, match=r"no weights\.npz in .*: give"):
        load_weights(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="The weights cannot be written to"):
        save_weights(tmp_path / "absent" / "weights.npz", PARAMS, CONFIG)


def test_parameters_of_another_model():
    check_params(PARAMS, PARAMS, "weights.npz")
    wider = {"layer": {"kernel": np.zeros((2, 4))}}
    with pytest.raises(UserError, match=r"\(the shape of 'layer/kernel' is \(2, 3\) instead of \(2, 4\)\)"):
        check_params(PARAMS, wider, "weights.npz")
    with pytest.raises(UserError, match=r"'layer/bias' is missing instead of \(4,\)"):
        check_params(PARAMS, {"layer": {"kernel": np.zeros((2, 3)), "bias": np.zeros(4)}}, "weights.npz")


def test_the_fields_of_another_models_config_are_named():
    other = ConfigDict({"name": "hpof", "channels": 9, "dilations": [1, 3], "hidden": 64})
    assert differing(CONFIG.model, other) == {"channels": (8, 9)}
    other.dilations = [1]
    with pytest.raises(UserError) as error:
        check_params(PARAMS, {}, "weights.npz", CONFIG.model, other)
    assert str(error.value) == (
        "The model in weights.npz has channels = 8, dilations = [1, 3], and that of the config 9, [1]: set "
        "--config.model.channels=8 '--config.model.dilations=[1, 3]'."
    )
