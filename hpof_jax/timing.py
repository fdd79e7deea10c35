"""Times functions against each other in one process, on a machine that other programs may use too."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax


def interleaved(
    ways: Mapping[Any, Callable[[], object]], rounds: int, seconds: float = 0.0
) -> dict[Any, dict[str, list[float]]]:
    """Seconds of one call of each function in each round, {name: {"wall": [...], "cpu": [...]}}.

    The functions take turns, so that a change of the machine's load meets all of them. The CPU clock counts
    all threads of this process and no other program. Each function is called twice before the first round,
    to compile it.

    Args:
      ways: name -> function. What it returns is waited for if it is made of JAX arrays.
      rounds: turns of each function.
      seconds: the least length of a turn; a fast function is called several times in it.
    """
    spent = {name: {"wall": [], "cpu": []} for name in ways}
    calls = {}
    for name, way in ways.items():
        jax.block_until_ready(way())
        start = time.perf_counter()
        jax.block_until_ready(way())
        calls[name] = max(1, int(seconds / (time.perf_counter() - start)))
    for number in range(rounds):
        # The order changes, because each function finds in the caches what the last one left.
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(calls[name]):
                jax.block_until_ready(ways[name]())
            spent[name]["wall"].append((time.perf_counter() - wall) / calls[name])
            spent[name]["cpu"].append((time.process_time() - cpu) / calls[name])
    return spent
