import numpy as np
import pytest
from ml_collections import ConfigDict

from hpof_jax.average import average
from hpof_jax.errors import UserError
from hpof_jax.models.weights import load_weights, save_weights

CONFIG = ConfigDict({"model": {"name": "hpof", "channels": 8}})


def save(path, kernel, config=CONFIG):
    save_weights(path, {"layer": {"kernel": np.asarray(kernel, np.float32)}}, config)
    return path


def test_the_mean_of_two_models(tmp_path):
    first, second = save(tmp_path / "a.npz", [1.0, 2.0]), save(tmp_path / "b.npz", [3.0, 2.0])
    average(first, second, tmp_path / "mean.npz")
    params, config = load_weights(tmp_path / "mean.npz")
    np.testing.assert_array_equal(params["layer"]["kernel"], np.float32([2.0, 2.0]))
    assert params["layer"]["kernel"].dtype == np.float32 and config == CONFIG.model
    newer = ConfigDict({"model": {**CONFIG.model, "inputs": ("landmarks",)}})
    average(first, save(tmp_path / "newer.npz", [3.0, 2.0], newer), tmp_path / "mean.npz")
    assert "inputs" in load_weights(tmp_path / "mean.npz")[1]


def test_models_of_different_configs_have_no_mean(tmp_path):
    first, longer = save(tmp_path / "a.npz", [1.0, 2.0]), save(tmp_path / "b.npz", [3.0, 2.0, 1.0])
    with pytest.raises(
        UserError, match="'layer/kernel' is .2,. instead of .3,.|'layer/kernel' is .3,. instead of .2,."
    ):
        average(first, longer, tmp_path / "mean.npz")
    other = save(tmp_path / "c.npz", [3.0, 2.0], ConfigDict({"model": {"name": "hpof", "channels": 9}}))
    with pytest.raises(UserError, match=r"different configs \(channels\)"):
        average(first, other, tmp_path / "mean.npz")
    assert not (tmp_path / "mean.npz").exists()
