import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath
from ml_collections import ConfigDict

from hpof_jax.errors import UserError
from hpof_jax.models.weights import load_weights
from hpof_jax.training import checkpoint, checksums, state

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


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ("shape", r"params/layer/kernel: \(2, 3\) there, \(2, 4\) here"),
        ("name", r"params/block/kernel: absent there, \(2, 3\) here"),
        ("optimizer", r"opt_state/0/count: \(\) there, absent here"),
    ],
)
def test_a_checkpoint_of_another_config(tmp_path, other, field):
    fill(tmp_path, {1: 50.0})
    template = make_state(0, width=4 if other == "shape" else 3)
    if other == "name":
        template = jax.tree.map(lambda x: x, template.replace(params={"block": template.params["layer"]}))
    if other == "optimizer":
        template = template.replace(opt_state=optax.sgd(0.1).init(template.params))
    with pytest.raises(UserError, match=f"is of another config or version .{field}") as error:
        checkpoint.Checkpointer(tmp_path).restore(template)
    assert str(tmp_path) in str(error.value) and str(error.value).count(". ") == 0


def damage(path, how):
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :])
    else:
        parts = {"cut": content[: len(content) // 2], "emptied": b"", "zeroed": bytes(len(content))}
        path.write_bytes(parts[how])


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    fill(folder, {1: 50.0, 2: 60.0, 3: 70.0})
    return folder


@pytest.mark.parametrize("how", ["deleted", "cut", "emptied", "zeroed", "flipped"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, three, how, caplog):
    """Whichever of its files is damaged; but for Orbax's markers, which hold nothing."""
    names = [path.relative_to(three) for path in (three / "checkpoints" / "3").rglob("*") if path.is_file()]
    names = [name for name in names if name.name not in ("commit_success.txt", "checksums.json")]
    assert len(names) > 8
    # One after another, so that Orbax runs twice and not twenty times.
    for number, name in enumerate(sorted(names)):
        copy = shutil.copytree(three, tmp_path / str(number))
        if name.name == "_CHECKPOINT_METADATA" and how == "flipped":
            continue  # a flipped bit of its times or comments changes nothing
        damage(copy / name, how)
        assert checksums.find_damage(epath.Path(copy / "checkpoints" / "3")) is not None, name
    caplog.clear()
    checkpointer = checkpoint.Checkpointer(copy)
    assert_equal(checkpointer.restore(make_state(0)), make_state(2))
    checkpointer.save(make_state(3), CONFIG, {})  # the step is trained again and takes its place
    checkpointer.close()
    assert kept(copy) == {1, 2, 3} and (copy / "damaged" / "3").is_dir()
    # Paths in Orbax's messages have "damaged" in them, too.
    warnings = [r.getMessage() for r in caplog.records if "is damaged" in r.getMessage()]
    assert len(warnings) == 1 and "checkpoint at step 3 is damaged" in warnings[0]


def test_when_all_checkpoints_are_damaged(tmp_path):
    fill(tmp_path, {1: 50.0})
    damage(tmp_path / "checkpoints" / "1" / "checksums.json", "emptied")
    with pytest.raises(UserError, match="All checkpoints in .* are damaged and were moved to"):
        checkpoint.Checkpointer(tmp_path)
    assert checkpoint.Checkpointer(tmp_path).latest_step() is None


def test_a_checkpoint_without_checksums_is_used(tmp_path, caplog):
    fill(tmp_path, {1: 50.0})
    (tmp_path / "checkpoints" / "1" / "checksums.json").unlink()
    assert_equal(checkpoint.Checkpointer(tmp_path).restore(make_state(0)), make_state(1))
    assert "has no checksums" in caplog.text


@pytest.mark.parametrize("how", ["deleted", "cut", "emptied", "zeroed", "flipped"])
def test_damaged_weights_of_a_run_are_taken_from_its_best_checkpoint(tmp_path, three, how, caplog):
    copy = shutil.copytree(three, tmp_path / "run")
    damage(copy / "weights.npz", how)
    assert_equal(load_weights(copy)[0], jax.device_get(make_state(1).ema))
    assert f"{copy / 'weights.npz'} is damaged or missing" in caplog.text
    damage(copy / "checkpoints" / "1" / "weights.npz", "zeroed")
    assert_equal(load_weights(copy)[0], jax.device_get(make_state(2).ema))


def test_a_resumed_run_writes_damaged_weights_again(tmp_path, three):
    copy = shutil.copytree(three, tmp_path / "run")
    damage(copy / "weights.npz", "flipped")
    checkpoint.Checkpointer(copy).close()
    assert (copy / "weights.npz").read_bytes() == (three / "weights.npz").read_bytes()


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    fill(tmp_path, {1: 50.0})
    checkpointer = checkpoint.Checkpointer(tmp_path)
    for field in ("params", "ema", "opt_state"):
        wrong = jax.tree.map(lambda x: x * np.nan if x.ndim else x, getattr(make_state(2), field))
        with pytest.raises(UserError, match="at step 2 is not finite and is not saved"):
            checkpointer.save(make_state(2).replace(**{field: wrong}), CONFIG, {})
    checkpointer.close()
    assert kept(tmp_path) == {1}


def test_what_changed_in_the_config(tmp_path):
    fill(tmp_path, {1: 50.0})
    other = CONFIG.copy_and_resolve_references()
    other.model.channels, other.new = 16, 1
    checkpointer = checkpoint.Checkpointer(tmp_path)
    assert checkpointer.changes(CONFIG) == {}
    assert checkpointer.changes(other) == {"model.channels": (8, 16), "new": (None, 1)}


def test_a_full_disk_is_said_in_one_sentence_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    fill(tmp_path, {1: 50.0})
    checkpointer = checkpoint.Checkpointer(tmp_path)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(
        UserError, match=r"step 2 cannot be written to .*0.0 MB are free.*: make room"
    ) as error:
        checkpointer.save(make_state(2), CONFIG, {})
    assert str(error.value).count(". ") == 0
    checkpointer.close()
    assert_equal(checkpoint.Checkpointer(tmp_path).restore(make_state(0)), make_state(1))


def test_a_folder_that_cannot_be_written_any_more_is_said_before_orbax_finds_out(tmp_path, caplog):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="checkpoint at step 2 cannot be written to .*No such file"):
        checkpointer.save(make_state(2), CONFIG, {})
    checkpointer.close()
    assert "Traceback" not in caplog.text and not (tmp_path / "weights.npz").exists()


@pytest.mark.parametrize("place", ["run", "checkpoints"])
def test_a_file_in_the_place_of_a_folder(tmp_path, place):
    run = tmp_path / "run"
    if place == "checkpoints":
        run.mkdir()
    (run if place == "run" else run / "checkpoints").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*run \(.*\): give --workdir"):
        checkpoint.Checkpointer(run)


def test_a_bucket_gets_the_weights_as_one_file(tmp_path):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    checkpointer._remote = True  # the folder stands for `gs://...`
    checkpointer.save(make_state(1), CONFIG, {})
    checkpointer.close()
    assert_equal(load_weights(tmp_path)[0], jax.device_get(make_state(1).ema))
