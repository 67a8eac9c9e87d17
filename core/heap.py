"""Keep freed memory instead of returning it to the system after every step.

A step of training or play frees and takes the same memory again; with glibc's defaults each round trip maps and clears the
pages anew, which costs a third of a training step's time on a CPU.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Parameters of glibc's mallopt (malloc.h)."""


def keep_freed_memory(shared: bool = False) -> bool:
    """Ask glibc to keep freed memory for this process. Returns whether it could; other C libraries need no such care.

    With `shared` all threads take from one heap: less is held, but threads that allocate at once wait for each other.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = [(_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), *([(_ARENA_MAX, 1)] if shared else [])]
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
