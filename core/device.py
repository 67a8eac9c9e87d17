"""Where networks run."""

from __future__ import annotations

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
    except (RuntimeError, AssertionError) as error:
        raise ZoetropeError(f"--device {name}: not on this machine ({str(error).splitlines()[0]}); use auto or cpu") from None
    return found
