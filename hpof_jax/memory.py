"""Freed memory goes back to the system.

The C library keeps freed memory for later. The stages of a reconstruction need different sizes, so what one stage has
freed would be of little use to the next one.
"""

import ctypes
import gc

import jax

LONG = 5_000  # frames of a video that is worth more time for less memory


def give_back(frames: int = 0) -> None:
    """Returns freed memory to the system, with glibc; does nothing elsewhere. It takes 0.1 to 0.3 s.

    Args:
      frames: of the video. Of more than `LONG`, all of JAX's compiled programs are dropped, too: they take 100 to 300
        MB. Compiling again takes seconds.
    """
    if frames > LONG:
        jax.clear_caches()
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return
    trim(0)
