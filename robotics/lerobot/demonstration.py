"""What one episode of a LeRobot dataset is to us."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.episodes.episode import Episode
from core.errors import ZoetropeError

SIMULATED, GENERATED = "simulated", "generated"
"""Sources: a simulator's frames, or a world model's. Others may have names of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """An episode with what a policy is told besides frames, and its provenance."""

    episode: Episode
    """`text` is the task; its poses, intrinsics, depth and conditions have no place in a LeRobot dataset."""
    state: np.ndarray
    """float32 (T, S): proprioception."""
    source: str
    """Where the frames come from: SIMULATED, GENERATED or another name."""
    action_is_pseudo: np.ndarray
    """bool (T,): the action was inferred from frames, not sent to a robot."""
    confidence: np.ndarray
    """float32 (T,) in [0, 1]: how far the action is to be believed; 1 where it is no pseudo-action."""
    environment_state: np.ndarray | None = None
    """float32 (T, O): where things are, as a policy with privileged knowledge is told."""

    def __post_init__(self) -> None:
        steps = len(self.episode)
        wanted = {"state": (steps, None), "action_is_pseudo": (steps,), "confidence": (steps,)}
        if self.environment_state is not None:
            wanted["environment_state"] = (steps, None)
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if len(found) != len(shape) or found[0] != steps:
                expected = f"({steps}, any)" if len(shape) == 2 else f"({steps},)"
                raise ZoetropeError(f"demonstration {name}: expected shape {expected}, found {found}")
        if self.action_is_pseudo.dtype != bool:
            raise ZoetropeError(f"demonstration action_is_pseudo: expected bool, found {self.action_is_pseudo.dtype}")
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise ZoetropeError("demonstration confidence: expected numbers between 0 and 1")
