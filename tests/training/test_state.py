import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import hpof, tiny
from hpof_jax.errors import UserError
from hpof_jax.models.build import make_model
from hpof_jax.train_data import data_sources
from hpof_jax.training import state


@pytest.mark.parametrize("file", [hpof, tiny], ids=["hpof", "tiny"])
@pytest.mark.parametrize("variant", hpof.VARIANTS)
def test_every_config_builds_a_model_optimizers_and_a_stream(file, variant, body):
    config = file.get_config(variant)
    model, adversary = make_model(config.model), state.make_adversary(config)
    optimizer = state.make_optimizer(config.optimizer, config.num_steps)
    shapes = jax.eval_shape(lambda: state.init_state(model, body, optimizer, config.seed, adversary))
    assert 1e4 < sum(x.size for x in jax.tree.leaves(shapes.params)) < 5e7
    assert bool(shapes.discriminator) == bool(config.losses.get("adversarial"))
    assert jax.tree.structure(shapes.ema) == jax.tree.structure(shapes.params)
    hidden = {"unlabelled:synthetic": 1.0} if variant == "ablation" else {}
    if not config.data.bvh + config.data.get("prepared", ""):  # see test_train.py for those that need data
        assert data_sources(config.data) == {"synthetic": 1.0, **hidden}


def test_the_learning_rate_rises_then_falls_to_zero():
    config = hpof.get_config().optimizer
    numbers = jnp.array([0, 250, 500, 10_000, 20_000])
    rates = np.asarray(jax.jit(jax.vmap(state.make_schedule(config, 20_000)))(numbers))
    np.testing.assert_allclose(rates[[0, 1, 2, 4]], [0.0, 5e-4, 1e-3, 0.0], atol=1e-9)
    assert 4e-4 < rates[3] < 6e-4
    for steps in (1, 2, 100):  # shorter than the warm-up
        rates = jax.vmap(state.make_schedule(config, steps))(jnp.arange(steps + 1))
        assert np.isfinite(rates).all() and rates.max() > 0


def test_a_state_starts_at_step_zero_with_its_average_at_the_parameters(model, body):
    optimizer = state.make_optimizer(tiny.get_config().optimizer, 10)
    made = [state.init_state(model, body, optimizer, seed) for seed in (0, 0, 1)]
    assert int(made[0].step) == 0
    flat = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(s.params)]) for s in made]
    np.testing.assert_array_equal(flat[0], flat[1])
    assert not np.array_equal(flat[0], flat[2])
    for average, param in zip(jax.tree.leaves(made[0].ema), jax.tree.leaves(made[0].params), strict=True):
        np.testing.assert_array_equal(average, param)
        assert average is not param, "a donated buffer may stand in the state only once"


def test_one_part_of_the_model_can_be_trained_alone():
    config = hpof.get_config("shipped_fit").optimizer
    params = {name: {"kernel": jnp.ones(3)} for name in ("encoder", "fitting_head")}
    optimizer = state.make_optimizer(config, 300)
    opt_state = optimizer.init(params)
    for _ in range(2):  # the warm-up starts from a learning rate of 0
        updates, opt_state = optimizer.update(params, opt_state, params)
    assert not updates["encoder"]["kernel"].any() and (updates["fitting_head"]["kernel"] < 0).all()
    config.train_only = "decoder"
    with pytest.raises(UserError, match="no part 'decoder'"):
        state.make_optimizer(config, 300).init(params)
