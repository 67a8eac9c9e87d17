"""What an action is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionConfig:
    kind: Literal["continuous", "discrete"]
    size: int
    """Components of a continuous action, or the number of discrete ones."""
