"""What the benchmarks share: contestants that take turns in one process, and the memory a program needs."""

import statistics
import time
from collections.abc import Callable, Mapping

import jax


def interleaved(
    ways: Mapping[str, Callable[[], object]], rounds: int, seconds: float = 0.0
) -> dict[str, dict[str, list[float]]]:
    """Seconds of one call of each way in each round, {way: {"wall": [...], "cpu": [...]}}.

    The CPU clock counts all threads of this process and nothing of other programs on the machine. A first, uncounted
    round compiles.

    Args:
      seconds: a turn takes at least as long: fast ways are called several times in it.
    """
    spent = {way: {"wall": [], "cpu": []} for way in ways}
    calls = {}
    for way, act in ways.items():
        jax.block_until_ready(act())
        start = time.perf_counter()
        jax.block_until_ready(act())
        calls[way] = max(1, int(seconds / (time.perf_counter() - start)))
    for number in range(rounds):
        # Who runs after whom changes: the one before leaves its data in the caches.
        names = list(ways)
        for way in names[number % len(names) :] + names[: number % len(names)]:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(calls[way]):
                jax.block_until_ready(ways[way]())
            spent[way]["wall"].append((time.perf_counter() - wall) / calls[way])
            spent[way]["cpu"].append((time.process_time() - cpu) / calls[way])
    return spent


def ratio(times: Mapping[str, Mapping[str, list[float]]], way: str, to: str, clock: str = "wall") -> float:
    """How many times as long as `to` a `way` takes: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(times[way][clock], times[to][clock], strict=True))


def temporary_mib(function: Callable, *arguments) -> float:
    """MiB that the compiled function needs beyond its arguments and results."""
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 2**20
