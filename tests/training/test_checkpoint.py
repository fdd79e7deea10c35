import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from hpof_jax.errors import UserError
from hpof_jax.models.weights import load_weights
from hpof_jax.training import checkpoint, state

CONFIG = ConfigDict({"model": {"name": "hpof", "channels": 8, "dilations": (1, 3)}, "seed": 0})


def make_state(step=0, width=3):
    rng = np.random.default_rng(step)
    params = {"layer": {"kernel": jnp.asarray(rng.normal(size=(2, width)), jnp.float32)}}
    ema = jax.tree.map(lambda x: x * 0.5, params)
    return state.TrainState(jnp.int32(step), params, ema, optax.adam(1e-3).init(params), {})


def fill(workdir, errors, keep=3):
    """Saves one state a step, with the validation errors {step: pa_mpjpe or None}."""
    checkpointer = checkpoint.Checkpointer(workdir, keep)
    for step, error in errors.items():
        checkpointer.save(make_state(step), CONFIG, {} if error is None else {"pa_mpjpe": error})
    checkpointer.wait()
    checkpointer.close()


def kept(workdir):
    return {int(path.name) for path in (workdir / "checkpoints").iterdir()}


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def test_the_newest_state_comes_back_bit_for_bit(tmp_path):
    fill(tmp_path, {1: 50.0, 2: 60.0})
    checkpointer = checkpoint.Checkpointer(tmp_path)
    assert checkpointer.latest_step() == 2
    assert_equal(checkpointer.restore(make_state(0)), make_state(2))


def test_a_new_folder_has_no_checkpoint(tmp_path):
    assert checkpoint.Checkpointer(tmp_path / "new").latest_step() is None


def test_a_workdir_that_is_a_file(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match=r"run cannot be made \(File exists\): give another --workdir"):
        checkpoint.Checkpointer(tmp_path / "run")


def test_the_newest_few_and_the_best_are_kept(tmp_path):
    fill(tmp_path, {1: 90.0, 2: 40.0, 3: None, 4: 60.0, 5: None, 6: 50.0}, keep=2)
    assert kept(tmp_path) == {2, 5, 6}
    fill(tmp_path, {7: 70.0, 8: 45.0}, keep=2)  # a resumed run still knows its best
    assert kept(tmp_path) == {2, 7, 8}
    params, config = load_weights(tmp_path)
    assert_equal(params, jax.device_get(make_state(2).ema))
    assert config.channels == 8 and list(config.dilations) == [1, 3]


def test_without_a_metric_the_weights_are_the_newest_ones(tmp_path):
    fill(tmp_path, {1: None, 2: None})
    assert_equal(load_weights(tmp_path)[0], jax.device_get(make_state(2).ema))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "weights.npz"]


def test_saving_a_step_again_changes_nothing(tmp_path):
    fill(tmp_path, {1: 50.0})
    fill(tmp_path, {1: 10.0})
    assert kept(tmp_path) == {1}


@pytest.mark.parametrize("other", ["shape", "name"])
def test_a_checkpoint_of_another_config(tmp_path, other):
    fill(tmp_path, {1: 50.0})
    template = make_state(0, width=4)
    if other == "name":
        template = jax.tree.map(lambda x: x, template.replace(params={"block": template.params["layer"]}))
    with pytest.raises(UserError, match="is of another config") as error:
        checkpoint.Checkpointer(tmp_path).restore(template)
    assert str(tmp_path) in str(error.value) and str(error.value).count(". ") == 0


def test_a_bucket_gets_the_weights_as_one_file(tmp_path):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    checkpointer._remote = True  # the folder stands for `gs://...`
    checkpointer.save(make_state(1), CONFIG, {})
    checkpointer.close()
    assert_equal(load_weights(tmp_path)[0], jax.device_get(make_state(1).ema))
