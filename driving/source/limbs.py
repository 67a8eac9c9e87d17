"""A body as parts that swing: legs and arms of who walks, legs of who rides.

Front along +x, feet and wheels on z = 0, origin in the middle of the footprint, within width, length, height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driving.scene import Actor, State
from driving.source.mesh import Colour, Mesh, turned

SKINS: tuple[Colour, ...] = ((232, 190, 160), (198, 150, 112), (142, 96, 66), (96, 64, 46))
TROUSERS: tuple[Colour, ...] = ((44, 52, 76), (60, 58, 56), (96, 84, 66), (30, 30, 34))
HEADINGS = 8
"""Distance walked is the position along the nearest of so many directions, so that a moment alone decides the pose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A mesh that swings around a level axis across the body."""

    mesh: Mesh
    pivot: tuple[float, float, float] = (0.0, 0.0, 0.0)
    swing: float = 0.0
    """Radians to either side."""
    phase: float = 0.0
    """Radians."""


@dataclass(frozen=True, slots=True)
class Body:
    """The parts of an actor and how far it goes in one period of their swing."""

    parts: tuple[Part, ...]
    period: float = 1.0

    def pose(self, state: State) -> list[np.ndarray]:
        """float64 (4, 4) part to world, one for each part."""
        base = np.eye(4)
        base[:2, :2] = [[math.cos(state.yaw), -math.sin(state.yaw)], [math.sin(state.yaw), math.cos(state.yaw)]]
        base[:2, 3] = state.x, state.y
        step = 2 * math.pi / HEADINGS
        heading = round(state.yaw / step) * step
        walked = state.x * math.cos(heading) + state.y * math.sin(heading)
        gait = min(1.0, abs(state.speed))  # legs come together when it stands
        angle = 2 * math.pi * walked / self.period
        return [base @ turned(1, gait * p.swing * math.sin(angle + p.phase), p.pivot) if p.swing else base for p in self.parts]


def pick(choices: Sequence[Colour], actor: Actor, salt: int) -> Colour:
    """One of them, another for another actor."""
    return choices[(actor.id * 7 + salt * 3 + sum(actor.colour)) % len(choices)]
