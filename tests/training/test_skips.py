import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hpof_jax.errors import UserError
from hpof_jax.training import parallel, skips, state

ORIGINS = ["a.bvh", "b.bvh", "c.bvh", "d.bvh"]


def step(train_state, batch):
    """A stand-in for a training step: it is skipped if the mean of 1 / x is not finite."""
    mean = jax.lax.pmean(jnp.mean(1.0 / batch["x"]), parallel.AXIS)
    skipped = 1.0 - jnp.isfinite(mean)
    return train_state.replace(step=train_state.step + 1), {"skipped": skipped}


def follow(values):
    """The skips after one step for each row of `values`, (steps, clips)."""
    found = skips.SkippedSteps()
    found.begin(step, lambda number: ORIGINS)
    train_state = state.TrainState(jnp.int32(0), {}, {}, optax.sgd(1.0).init({}), {})
    alone = skips.for_one_clip(step)
    for number, x in enumerate(np.float32(values), start=1):
        batch = {"x": x, "mask": np.ones((len(x), 2), bool)}
        train_state, logs = alone(train_state, {key: array[None] for key, array in batch.items()})
        found.note(number, logs["skipped"], batch, train_state)
    found.settle(train_state)
    return found


def test_skipped_steps_are_counted_and_their_clips_named(caplog):
    found = follow([[1, 2, 3, 4], [1, 0, 3, 4], [1, 2, np.nan, 4], [1, 2, 3, 4]])
    assert (found.total, found.in_a_row) == (2, 0)
    assert [r.getMessage() for r in caplog.records] == [
        "Step 2 was skipped: its numbers are not finite (b.bvh).",
        "Step 3 was skipped: its numbers are not finite (c.bvh).",
    ]


def test_ten_in_a_row_stop_the_training(caplog):
    nine = [[0, 0, 3, 4]] * 9
    assert follow([*nine, [1, 2, 3, 4], *nine]).total == 18
    with pytest.raises(UserError, match=r"10 steps in a row, 2 to 11: lower .* \(a.bvh; b.bvh\)") as error:
        follow([[1, 2, 3, 4], *nine, *nine])
    assert str(error.value).count(". ") == 0


def test_many_clips_are_not_all_named(caplog):
    follow([[0, 0, 0, 0], [1e-30, 1e-30, 1e-30, 1e-30]])
    assert "(all 4 clips of this process)" in caplog.records[0].getMessage()
    names = skips._describe([0, 1, 2, 3], 8, lambda: ORIGINS)
    assert names == "a.bvh; b.bvh; c.bvh; and 1 more"
    assert skips._describe([], 8, lambda: ORIGINS) == "no clip of this process alone is the cause"
