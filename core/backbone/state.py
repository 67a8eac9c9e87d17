"""What is measured of a frame as a whole and predicted of the next one: a robot's joints, where things stand.

Every frame is imagined from the state of the frame before, as it is from the action between them; a head on the backbone says
by how much the state has changed. In a session that prediction is what the next frame is told: the loop is closed.

Shape letters: S numbers of a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

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


class StateUnits(nn.Module):
    """The units in which the backbone reads and predicts states: measured on recordings, kept with the weights."""

    mean: Tensor
    spread: Tensor
    change: Tensor
    """(S,) typical change from frame to frame; 0 for what never changes."""

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.register_buffer("change", torch.ones(size))

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

    def after(self, state: Tensor, predicted: Tensor) -> Tensor:
        """States (..., S) after what the backbone predicted of them."""
        return state + predicted * self.change

    def wanted(self, before: Tensor, after: Tensor) -> Tensor:
        """What the backbone should predict: the inverse of `after`; 0 for what never changes."""
        moves = self.change > 0
        return torch.where(moves, (after - before) / torch.where(moves, self.change, 1.0), 0.0)
