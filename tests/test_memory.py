import ctypes
import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpof_jax.memory import LONG, give_back


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="others give memory back by themselves or never"
)
def test_freed_memory_goes_back():
    blocks = [np.ones(2**13) for _ in range(2000)]  # of 64 kB, which come from the heap
    last = np.ones(2**13)  # keeps the heap's end where it is
    full = resident()
    blocks.clear()
    give_back()
    assert resident() < full - 100e6 and last.all()


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    give_back()


@pytest.mark.parametrize("frames, traced", [(LONG, 1), (LONG + 1, 2)])
def test_programs_are_dropped_for_a_long_video(frames, traced):
    calls = []
    function = jax.jit(lambda x: calls.append(x) or x + 1)
    function(jnp.zeros(3))
    give_back(frames)
    function(jnp.zeros(3))
    assert len(calls) == traced
