"""Ratios of the times of `hpof_jax.timing.interleaved`, and the memory that a compiled function needs."""

import statistics
from collections.abc import Callable, Mapping

import jax


def ratio(times: Mapping[str, Mapping[str, list[float]]], way: str, to: str, clock: str = "wall") -> float:
    """The time of `way` over that of `to`: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(times[way][clock], times[to][clock], strict=True))


def temporary_mib(function: Callable, *arguments) -> float:
    """MiB that the compiled function needs beyond its arguments and results."""
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 2**20
