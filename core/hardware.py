"""The machine at hand."""

from __future__ import annotations

import os
import sys

import torch

from core.errors import ZoetropeError

AUTO = "auto"
"""A GPU where there is one."""


def device(name: str = AUTO) -> torch.device:
    """The device of that name: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`. Raises ZoetropeError where there is none such."""
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ZoetropeError(f"--device {name}: not on this machine ({str(error).splitlines()[0]}); use auto or cpu") from None
    return found


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
