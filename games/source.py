"""A source: the real engine behind a world, stepped one action at a time and recorded into episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

SPLITS = ("train", "validation", "test")
LEVELS_PER_SPLIT = 1_000_000
PROTOCOLS = ("rollout", "tour", "return", "stability")
"""What `zoetrope evaluate` asks of a world beside its source."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source shows after a step. One camera; None where the source does not know."""

    frame: np.ndarray
    """uint8 (H, W, 3) RGB."""
    pose: np.ndarray | None = None
    """float32 (4, 4) camera to world."""
    depth: np.ndarray | None = None
    """float16 (H, W)."""
    reward: float = 0.0
    terminated: bool = False


class Source(Protocol):
    """A real engine. Everything is decided by the seeds it is given."""

    intrinsics: np.ndarray | None
    """float32 (3, 3), or None."""

    def reset(self, level: int) -> Observation:
        """Start afresh on the level numbered `level`; the same number gives the same start."""
        ...

    def step(self, action: np.ndarray) -> Observation:
        """Apply one action, float32 (A,) or a 0-d int64 array, and show what follows."""
        ...

    def close(self) -> None: ...


class Policy(Protocol):
    """Chooses actions for recording; may look at the source it was made for."""

    def act(self) -> np.ndarray: ...


def level_number(split: str, index: int) -> int:
    """The level of episode group `index` of a split. Splits never share a level: each owns a range of numbers."""
    if not 0 <= index < LEVELS_PER_SPLIT:
        raise ValueError(f"level index {index} is outside a split's {LEVELS_PER_SPLIT} levels")
    return SPLITS.index(split) * LEVELS_PER_SPLIT + index
