"""Behaviours over an expert: worse than it by a known amount, and repeatable from a seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from robotics.task import Observation

BURST = 5
"""Frames for which a random action is held."""
Act = Callable[[Observation], np.ndarray]


@dataclass(slots=True)
class Noisy:
    """Gaussian noise of standard deviation `amount` on every action."""

    base: Act
    amount: float
    _rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def reset(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, observation: Observation) -> np.ndarray:
        action = self.base(observation)
        return np.clip(action + self.amount * self._rng.standard_normal(action.shape), -1, 1)


@dataclass(slots=True)
class Burst:
    """For BURST frames at a time, a random action with probability `amount`; 1 never asks the expert."""

    base: Act
    amount: float
    size: int
    _rng: np.random.Generator = field(default_factory=np.random.default_rng)
    _left: int = 0
    _held: np.ndarray | None = None

    def reset(self, seed: int) -> None:
        self._rng, self._left = np.random.default_rng(seed), 0

    def __call__(self, observation: Observation) -> np.ndarray:
        if self._left == 0:
            drawn = self._rng.uniform(-1, 1, self.size)  # drawn either way: the stream does not depend on `amount`
            self._held = drawn if self._rng.random() < self.amount else None
            self._left = BURST
        self._left -= 1
        return self.base(observation) if self._held is None else self._held


@dataclass(slots=True)
class Delayed:
    """What the expert would have done `frames` ago; nothing until then."""

    base: Act
    frames: int
    _waiting: deque[np.ndarray] = field(default_factory=deque)

    def reset(self, seed: int) -> None:
        self._waiting.clear()

    def __call__(self, observation: Observation) -> np.ndarray:
        self._waiting.append(self.base(observation))
        return self._waiting.popleft() if len(self._waiting) > self.frames else np.zeros_like(self._waiting[0])


@dataclass(slots=True)
class Biased:
    """A constant of length `amount`, in a direction of the seed's, on every action."""

    base: Act
    amount: float
    size: int
    _bias: np.ndarray | float = 0.0

    def reset(self, seed: int) -> None:
        drawn = np.random.default_rng(seed).standard_normal(self.size)
        self._bias = self.amount * drawn / np.linalg.norm(drawn)

    def __call__(self, observation: Observation) -> np.ndarray:
        return np.clip(self.base(observation) + self._bias, -1, 1)
