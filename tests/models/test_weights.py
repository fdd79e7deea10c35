import numpy as np
import pytest
from ml_collections import ConfigDict

from hpof_jax.errors import UserError
from hpof_jax.models.weights import check_params, load_weights, save_weights

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


def test_the_shipped_weights_are_the_default():
    params, config = load_weights()
    assert config.name == "hpof"
    assert {"encoder", "shape_head", "kinematic_head", "camera_head"} == set(params)


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
    with pytest.raises(UserError, match="is not a weights file of this package: give"):
        load_weights(path)


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
    with pytest.raises(UserError, match="weights.npz is of another config .'layer/kernel' differs"):
        check_params(PARAMS, wider, "weights.npz")
