"""Who succeeded when, in both worlds. Shape letters: P policies, E paired episodes, N further episodes of the world alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import ZoetropeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """Success tables. Episode e starts from the same reset state for every policy, in MuJoCo and in the generated world."""

    policies: tuple[str, ...]
    true: np.ndarray
    """bool (P, E): success in MuJoCo."""
    world: np.ndarray
    """bool (P, E): success in the generated world, as its judge says."""
    predicted: np.ndarray | None = None
    """float (P, E) in [0, 1]: how probable the judge holds the success that `world` tells."""
    extra: np.ndarray | None = None
    """bool (P, N): success in the generated world from resets that MuJoCo never ran."""
    training_runs: tuple[str | None, ...] = ()
    """Per policy the training run it comes from (checkpoints of one run share its name); None for a policy never trained."""
    random: str | None = None
    """Which policy acts at random."""

    def __post_init__(self) -> None:
        shape = (len(self.policies), self.true.shape[-1])
        if 0 in shape:
            raise ZoetropeError(f"outcomes: expected one policy and one episode or more, found {shape[0]} and {shape[1]}")
        if len(set(self.policies)) < shape[0]:
            raise ZoetropeError(f"outcomes policies: a name stands twice in {', '.join(self.policies)}")
        for name in ("true", "world", "predicted"):
            table = getattr(self, name)
            if table is not None and table.shape != shape:
                raise ZoetropeError(f"outcomes {name}: expected shape {shape} (policies, episodes), found {table.shape}")
        for name in ("true", "world", "extra"):
            table = getattr(self, name)
            if table is not None and table.dtype != bool:
                raise ZoetropeError(f"outcomes {name}: expected bool, found {table.dtype}")
        if self.extra is not None and (self.extra.ndim != 2 or len(self.extra) != shape[0]):
            raise ZoetropeError(f"outcomes extra: expected {shape[0]} rows, one a policy, found shape {self.extra.shape}")
        if self.predicted is not None and not ((self.predicted >= 0) & (self.predicted <= 1)).all():
            raise ZoetropeError("outcomes predicted: expected probabilities between 0 and 1")
        if self.training_runs and len(self.training_runs) != shape[0]:
            raise ZoetropeError(f"outcomes training_runs: expected {shape[0]}, one a policy, found {len(self.training_runs)}")
        if self.random is not None and self.random not in self.policies:
            raise ZoetropeError(f"outcomes random: no policy is named '{self.random}'; there are {', '.join(self.policies)}")

    @property
    def episodes(self) -> int:
        return self.true.shape[1]

    @property
    def independent_training_runs(self) -> int:
        """How many trainings the policies come from: what a correlation over policies really rests on."""
        return len({run for run in self.training_runs if run is not None})
