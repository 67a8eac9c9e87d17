"""The machine at hand."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def halves() -> int:
    """Threads for each half of a session's step, when both run at once."""
    return max(1, cores() // 2)
