"""What is measured of a frame as a whole and predicted of the next one: a robot's joints, where things stand.

Every frame is imagined from the state of the frame before, as it is from the action between them. What a state becomes of
itself is learnt first, from numbers alone, which takes a minute; a head on the backbone, which has seen the pictures too, says
what is left to say. In a session the sum is what the next frame is told: the loop is closed.

Shape letters: S numbers of a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.action import ActionConfig

WIDTH = 256
"""Of the layers that foresee a state."""
LEAST_CHANGE = 1e-3
"""A number that typically changes by less than this share of its spread counts as one that never changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateConfig:
    """Some of the numbers of a state."""

    name: str
    """In `Episode.conditions`, float (T, size)."""
    size: int


def join_state(parts: tuple[StateConfig, ...], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The parts of states, each (..., size), as one: float32 (..., S)."""
    return np.concatenate([np.asarray(values[part.name], np.float32) for part in parts], -1)


class StateHead(nn.Module):
    """What a state and an action say of the next state, and the units in which states are read: measured on recordings."""

    mean: Tensor
    spread: Tensor
    change: Tensor
    """(S,) typical change from frame to frame; 0 for what never changes."""

    def __init__(self, size: int, action: ActionConfig):
        super().__init__()
        self.action = action
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.register_buffer("change", torch.ones(size))
        self.network = nn.Sequential(
            nn.Linear(size + action.size, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, size),
        )
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def measure(self, states: Tensor, changes: Tensor) -> None:
        """Take the units from states (N, S) and changes (M, S) between frames that follow each other."""
        deviation = states.std(0)
        self.mean.copy_(states.mean(0))
        self.spread.copy_(torch.where(deviation > 0, deviation, 1.0))
        typical = changes.square().mean(0).sqrt()
        self.change.copy_(torch.where(typical > LEAST_CHANGE * self.spread, typical, 0.0))

    def told(self, state: Tensor) -> Tensor:
        """States (..., S) as the backbone is told them."""
        return (state - self.mean) / self.spread

    def foreseen(self, state: Tensor, action: Tensor) -> Tensor:
        """By how much states (..., S) change of themselves when (..., A) or int (...) is done, in typical changes."""
        done = F.one_hot(action, self.action.size) if self.action.kind == "discrete" else action
        return self.network(torch.cat([self.told(state), done.to(state)], -1))

    def after(self, state: Tensor, action: Tensor, predicted: Tensor) -> Tensor:
        """States (..., S) after an action and what the backbone predicted beside what was foreseen."""
        return state + (self.foreseen(state, action) + predicted) * self.change

    def changed(self, before: Tensor, after: Tensor) -> Tensor:
        """By how much states changed, in typical changes; 0 for what never changes."""
        moves = self.change > 0
        return torch.where(moves, (after - before) / torch.where(moves, self.change, 1.0), 0.0)

    def wanted(self, before: Tensor, action: Tensor, after: Tensor) -> Tensor:
        """What the backbone should predict: the inverse of `after`; 0 for what never changes."""
        return torch.where(self.change > 0, self.changed(before, after) - self.foreseen(before, action), 0.0)
