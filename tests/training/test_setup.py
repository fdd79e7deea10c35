import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import tiny
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.weights import save_weights
from hpof_jax.training import setup, state


def test_what_makes_no_sense_in_a_config_is_told_before_anything_is_built():
    assert [phase.first for phase in setup.check_config(tiny.get_config())][0] == 1
    for changes, words in (
        ({"batch_size": 0}, "config.batch_size is 0: it must be at least 1"),
        ({"data.flow": "none"}, "needs optical flow: set --config.data.flow=noisy"),
    ):
        config = tiny.get_config()
        config.update_from_flattened_dict(changes)
        with pytest.raises(UserError, match=words):
            setup.check_config(config)
    config = tiny.get_config()
    config.losses = {"nonsense": 1.0}
    with pytest.raises(UserError, match=r"There is no loss 'nonsense': config\.losses takes"):
        setup.check_config(config)


def test_data_with_features_of_several_resnet50s():
    some = ConfigDict({"model": {"inputs": ("features",)}})
    with pytest.raises(UserError, match="of several ResNet-50s, with the fingerprints ab, cd: prepare all"):
        setup.with_backbone(some, {"cd", "ab"})
    assert setup.with_backbone(some, set()) == some


@pytest.mark.slow
def test_a_fitting_head_starts_fresh_on_weights_without_one(tmp_path, body):
    plain = tiny.get_config("no_flow")
    plain.update_from_flattened_dict({"model.channels": 8, "model.dilations": (1,), "model.hidden": 4})
    fitted = ConfigDict(plain.to_dict()).model
    fitted.fit_steps = 1
    params = init_params(make_model(plain.model), body, 1)
    save_weights(tmp_path / "weights.npz", params, plain)
    optimizer = state.make_optimizer(plain.optimizer, 1)
    fresh = state.init_state(make_model(fitted), body, optimizer, 0)
    started = setup.with_weights(str(tmp_path), fresh, fitted)
    assert jax.tree.structure(started.params) == jax.tree.structure(fresh.params)
    head = started.params.pop("fitting_head")
    for tree, expected in ((started.params, params), (head, fresh.params["fitting_head"])):
        for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(a, b)
    del params["camera_head"]
    save_weights(tmp_path / "weights.npz", params, plain)
    with pytest.raises(UserError, match="another config"):
        setup.with_weights(str(tmp_path), fresh, fitted)
