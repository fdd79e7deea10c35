"""Freed memory goes back to the system.

The C library keeps freed memory for later. The stages of a reconstruction need different sizes, so what one stage has
freed would be of little use to the next one.
"""

import ctypes
import gc


def give_back() -> None:
    """Returns freed memory to the system, with glibc; does nothing elsewhere. It takes some milliseconds."""
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return
    trim(0)
