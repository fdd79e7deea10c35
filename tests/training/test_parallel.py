"""Data parallelism on the eight fake devices of `tests/conftest.py`."""

import functools

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, PartitionSpec

from configs import hpof
from hpof_jax.errors import UserError
from hpof_jax.models.discriminator import Discriminator
from hpof_jax.training import parallel, state, steps
from hpof_jax.training.adversary import Adversary

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

DEVICES, STEPS = 8, 3
ADVERSARY = Adversary(Discriminator(channels=8), optax.sgd(0.05))


@pytest.fixture(autouse=True)
def eight_devices():
    if jax.local_device_count() != DEVICES:
        pytest.skip("JAX_NUM_CPU_DEVICES was set to another number")


@pytest.fixture
def uneven(batch):
    """One device has one valid frame, others six; some clips have no ground truth."""
    frames = batch["mask"].shape[1]
    batch["mask"] = np.arange(frames) < np.array([1, 6, 2, 6, 6, 3, 6, 5])[:, None]
    batch["has_smpl"][[1, 4]] = False
    batch["has_3d"][[3]] = False
    return batch | {"real_pose": batch["pose"][::-1] * 0.5, "real_betas": batch["betas"][::-1]}


@pytest.fixture(scope="module")
def fresh(model, body):
    """A new state with plain SGD: small differences of gradients stay small, unlike with Adam."""
    return functools.partial(state.init_state, model, body, optax.sgd(0.05), 0, ADVERSARY)


@pytest.fixture(scope="module")
def step(model, body):
    return steps.make_train_step(
        model,
        body,
        optax.sgd(0.05),
        hpof.BASE_LOSSES | {"adversarial": 0.1},
        seed=0,
        ema_decay=0.9,
        hide_3d=0.5,
        axis_name=parallel.AXIS,
        adversary=ADVERSARY,
    )


@pytest.fixture(scope="module")
def on_one(step):
    """The step for the whole batch on one device."""
    one = jax.jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name=parallel.AXIS))
    return lambda train_state, batch: one(train_state, {key: value[None] for key, value in batch.items()})


def run(step, train_state, batch):
    for _ in range(STEPS):
        train_state, logs = step(train_state, batch)
    return jax.device_get((train_state, logs))


@pytest.fixture
def on_eight(step, fresh, uneven):
    return run(parallel.pmap_step(step), parallel.replicate(fresh()), parallel.cut(uneven))


def test_eight_devices_train_like_one(on_eight, on_one, fresh, uneven):
    expected = run(on_one, fresh(), uneven)
    moved = 0.0
    for start, want, have in zip(
        *map(jax.tree.leaves, ((s.params, s.discriminator) for s in (fresh(), expected[0], on_eight[0])))
    ):
        moved = max(moved, np.abs(want - start).max())
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)
    assert moved > 1e-3
    for name, value in expected[1].items():
        np.testing.assert_allclose(on_eight[1][name], value, rtol=1e-5, err_msg=name)

    # For this batch, the mean of the devices' means is another number.
    own = []
    for clip in range(DEVICES):
        alone = uneven["mask"] & (np.arange(DEVICES) == clip)[:, None]
        own.append(on_one(fresh(), uneven | {"mask": alone})[1])
    first = on_one(fresh(), uneven)[1]
    for name in ("keypoints_2d", "keypoints_3d", "body_pose", "betas"):
        wrong = np.mean([logs[name] for logs in own])
        assert abs(wrong / first[name] - 1) > 0.01, name


def test_shard_map_gives_the_same_bits(on_eight, step, fresh, uneven):
    mesh = Mesh(np.array(jax.local_devices()), (parallel.AXIS,))
    cut = PartitionSpec(parallel.AXIS)
    sharded = jax.shard_map(
        step, mesh=mesh, in_specs=(PartitionSpec(), cut), out_specs=PartitionSpec(), check_vma=False
    )
    found = run(jax.jit(sharded), parallel.replicate(fresh()), uneven)
    for a, b in zip(jax.tree.leaves(on_eight), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(a, b)


def test_parts_of_a_batch_train_like_the_whole(on_one, model, body, fresh, uneven):
    """Parts have other numbers of valid frames than the batch, and activations are computed twice."""
    in_parts = steps.make_train_step(
        model,
        body,
        optax.sgd(0.05),
        hpof.BASE_LOSSES | {"adversarial": 0.1},
        seed=0,
        ema_decay=0.9,
        hide_3d=0.5,
        axis_name=parallel.AXIS,
        adversary=ADVERSARY,
        accumulate=4,
        remat=True,
    )
    one = jax.jit(jax.vmap(in_parts, in_axes=(None, 0), out_axes=None, axis_name=parallel.AXIS))
    stacked = {key: value[None] for key, value in uneven.items()}
    expected, found = run(on_one, fresh(), uneven), run(one, fresh(), stacked)
    for (path, want), have in zip(
        jax.tree_util.tree_flatten_with_path(expected)[0], jax.tree.leaves(found), strict=True
    ):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("where", ["first device", "last device"])
def test_all_devices_skip_a_step_that_one_of_them_spoils(step, fresh, uneven, where):
    spoilt = {key: value.copy() for key, value in uneven.items()}
    spoilt["landmarks_2d"][0 if where == "first device" else -1] = np.nan
    pmapped, before = parallel.pmap_step(step), jax.device_get(fresh())
    after, logs = pmapped(parallel.replicate(fresh()), parallel.place(parallel.cut(spoilt)))
    assert logs["skipped"] == 1 and after.step == 1
    for a, b in zip(
        jax.tree.leaves(jax.device_get(after).replace(step=0)), jax.tree.leaves(before.replace(step=0))
    ):
        np.testing.assert_array_equal(a, b)
    after, logs = pmapped(after, parallel.place(parallel.cut(uneven)))
    assert logs["skipped"] == 0 and after.step == 2


def test_a_batch_is_cut_in_order(uneven):
    for key, value in parallel.cut(uneven).items():
        assert value.shape == (DEVICES, 1, *uneven[key].shape[1:])
        np.testing.assert_array_equal(value[:, 0], uneven[key])


def test_a_batch_that_the_devices_cannot_share():
    assert parallel.local_batch_size(16) == 16
    with pytest.raises(
        UserError, match="batch of 12 clips cannot be shared evenly by 8 devices: set --config"
    ):
        parallel.local_batch_size(12)


def test_processes_get_even_shards(monkeypatch):
    assert parallel.local_shards(12, 0) == 1
    assert parallel.local_shards(12, 4) == 4
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert (parallel.local_shards(12, 0), parallel.local_shards(12, 4)) == (1, 2)
    for batch_size, shards in ((12, 3), (12, 8), (13, 0), (12, -2)):
        with pytest.raises(
            UserError, match="cannot be shared evenly by 2 processes: set --config.data.shards"
        ):
            parallel.local_shards(batch_size, shards)
