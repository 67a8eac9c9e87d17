"""Who acts in what is generated, and how it is perturbed: a policy made of the demonstrations, one of them, or any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.episodes.episode import Episode
from robotics import policies
from robotics.engine.neighbours import Neighbours
from robotics.loop import Recorded
from robotics.policies import Checked, Policy
from robotics.task import Observation, Task

NEIGHBOURS, REPLAY = "neighbours", "replay"
"""Names of the policies that the demonstrations themselves make; other names are those of `robotics.policies`."""


@dataclass(slots=True)
class Actor:
    """A policy with noise on what it does, which remembers what it did."""

    base: Policy
    noise: float
    """Standard deviation of the Gaussian noise on every component."""
    sent: list[np.ndarray] = field(default_factory=list)
    """float32 (A,) each, since the last reset."""
    _rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def reset(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.sent = []
        if hasattr(self.base, "reset"):
            self.base.reset(seed)  # type: ignore[attr-defined]

    def __call__(self, observation: Observation) -> np.ndarray:
        action = np.asarray(self.base(observation))
        noisy = np.clip(action + self.noise * self._rng.standard_normal(action.shape), -1, 1).astype(np.float32)
        self.sent.append(noisy)
        return noisy


Casting = Callable[[Episode | None], Actor]
"""Makes an actor for an episode that starts as a demonstration does, or for one (None) that starts elsewhere."""


def casting(name: str, noise: float, demonstrations: Sequence[Episode], task: Task) -> Casting:
    """How actors are made for the policy called `name`. Raises ZoetropeError when it cannot be had."""
    if name == REPLAY:

        def recorded(demonstration: Episode | None) -> Actor:
            assert demonstration is not None, "the plan allows a replay from a demonstration's own start alone"
            return Actor(Recorded(demonstration.action[:-1]), noise)

        return recorded
    if name == NEIGHBOURS:
        shared = Checked(Neighbours(demonstrations, task), name, task.action_size, privileged=True)
        return lambda demonstration: Actor(shared, noise)
    policies.make(name, task)  # an unknown name is said now
    return lambda demonstration: Actor(policies.make(name, task), noise)
