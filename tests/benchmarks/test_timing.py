import jax.numpy as jnp

from benchmarks import timing


def test_a_ratio_is_the_median_over_the_rounds():
    times = {"slow": {"wall": [2.0, 9.0, 4.0]}, "fast": {"wall": [1.0, 1.0, 2.0]}}
    assert timing.ratio(times, "slow", to="fast") == 2.0


def test_temporary_memory_is_what_lies_between_arguments_and_results():
    vector = jnp.ones(512)
    assert 0.9 < timing.temporary_mib(lambda x: jnp.sort(jnp.outer(x, x), axis=0)[0], vector) < 4
