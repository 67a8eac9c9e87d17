"""The machine at hand."""

from __future__ import annotations

import os
import sys


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def halves() -> int:
    """Threads for each half of a session's step, when both run at once."""
    return max(1, cores() // 2)


HANDOVER_SECONDS = 5e-4
"""After which a thread that waits for Python's lock is given it."""


def share_interpreter() -> None:
    """Let both halves of a step have Python's lock soon: with the interpreter's default they wait 6 % of a frame for it."""
    sys.setswitchinterval(HANDOVER_SECONDS)
