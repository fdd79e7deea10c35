import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from hpof_jax.errors import UserError
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


def test_the_newest_few_and_the_best_are_kept(tmp_path):
    fill(tmp_path, {1: 90.0, 2: 40.0, 3: None, 4: 60.0, 5: None, 6: 50.0}, keep=2)
    assert kept(tmp_path) == {2, 5, 6}
    fill(tmp_path, {7: 70.0, 8: 45.0}, keep=2)  # a resumed run still knows its best
    assert kept(tmp_path) == {2, 7, 8}
    params, config = checkpoint.load_weights(tmp_path)
    assert_equal(params, make_state(2).ema)
    assert config.channels == 8 and list(config.dilations) == [1, 3]


def test_saving_a_step_again_changes_nothing(tmp_path):
    fill(tmp_path, {1: 50.0})
    fill(tmp_path, {1: 10.0})
    assert kept(tmp_path) == {1}


def test_weights_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "weights.npz"
    checkpoint.save_weights(path, make_state(3).params, CONFIG)
    params, config = checkpoint.load_weights(path)
    assert_equal(params, jax.device_get(make_state(3).params))
    assert config.name == "hpof" and list(config.dilations) == [1, 3]
    assert [file.name for file in tmp_path.iterdir()] == ["weights.npz"]


def test_the_mean_of_several_weights(tmp_path):
    for step in range(3):
        checkpoint.save_weights(tmp_path / f"{step}.npz", make_state(step).params, CONFIG)
    checkpoint.average_weights([tmp_path / f"{step}.npz" for step in range(3)], tmp_path / "mean.npz")
    params, config = checkpoint.load_weights(tmp_path / "mean.npz")
    expected = sum(np.float64(make_state(step).params["layer"]["kernel"]) for step in range(3)) / 3
    np.testing.assert_allclose(params["layer"]["kernel"], expected, rtol=1e-6)
    assert params["layer"]["kernel"].dtype == np.float32 and config.name == "hpof"
    checkpoint.save_weights(tmp_path / "wide.npz", make_state(0, width=4).params, CONFIG)
    with pytest.raises(UserError, match=r"wide\.npz is of another config"):
        checkpoint.average_weights([tmp_path / "0.npz", tmp_path / "wide.npz"], tmp_path / "none.npz")
    wide = ConfigDict({"model": {**CONFIG.model, "dilations": (1, 1)}})
    checkpoint.save_weights(tmp_path / "other.npz", make_state(0).params, wide)
    with pytest.raises(UserError, match=r"other\.npz are of another model"):
        checkpoint.average_weights([tmp_path / "0.npz", tmp_path / "other.npz"], tmp_path / "none.npz")
    with pytest.raises(UserError, match="no weights"):
        checkpoint.average_weights([], tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()


@pytest.mark.parametrize("other", ["shape", "name"])
def test_a_checkpoint_of_another_config(tmp_path, other):
    fill(tmp_path, {1: 50.0})
    template = make_state(0, width=4)
    if other == "name":
        template = jax.tree.map(lambda x: x, template.replace(params={"block": template.params["layer"]}))
    with pytest.raises(UserError, match="is of another config") as error:
        checkpoint.Checkpointer(tmp_path).restore(template)
    assert str(tmp_path) in str(error.value) and str(error.value).count(". ") == 0


def text(path):
    path.write_text("these are not weights")


def truncated(path):
    checkpoint.save_weights(path, make_state(0).params, CONFIG)
    path.write_bytes(path.read_bytes()[:-300])


def damaged(path):
    checkpoint.save_weights(path, make_state(0).params, CONFIG)
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
        checkpoint.load_weights(path)


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no checkpoint at .*absent: give"):
        checkpoint.load_weights(tmp_path / "absent")
    with pytest.raises(UserError, match="no checkpoint in .*: give"):
        checkpoint.load_weights(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="no finished checkpoint in .*: train longer"):
        checkpoint.load_weights(tmp_path)


def test_parameters_of_another_model():
    with pytest.raises(UserError, match="'layer/kernel' differs"):
        checkpoint.check_params(make_state(0).params, make_state(0, width=4).params, "weights.npz")
