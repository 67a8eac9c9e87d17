"""Somebody on foot, or something that rolls: along a path, once fired."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from driving.road.lines import lengths
from driving.scene import RATE, Actor, State
from driving.traffic.behaviours import Walk
from driving.traffic.sight import WALKERS, Bodies
from driving.traffic.triggers import fires

STRIDE = 2.5
"""How fast a walker speeds up and slows down, m/s2."""
HORIZONS = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
"""Seconds ahead at which a careful walker compares its way with the vehicles'."""
ARRIVED = 0.02
"""How far from its path's end it stops, metres."""
ROOM = 0.6
"""Metres it wants between."""


@dataclass(kw_only=True, slots=True)
class Walker:
    """Where it is on its way."""

    actor: Actor
    walk: Walk
    points: np.ndarray
    """float64 (P, 2)."""
    along: np.ndarray
    s: float = 0.0
    speed: float = 0.0
    fired: bool = False

    @staticmethod
    def at_start(actor: Actor, walk: Walk) -> Walker:
        points = np.array(walk.path, float)
        return Walker(actor=actor, walk=walk, points=points, along=lengths(points))

    @property
    def state(self) -> State:
        x, y = self._at(np.array([self.s]))[0]
        i = min(int(np.searchsorted(self.along, self.s, side="right")), len(self.points) - 1)
        dx, dy = self.points[i] - self.points[i - 1]
        return State(float(x), float(y), math.atan2(dy, dx), self.speed)

    def step(self, time: float, ego: State, driven: float, bodies: Bodies, walkers: frozenset[int]) -> None:
        """One frame. `walkers`: ids of those who are not vehicles."""
        self.fired = self.fired or fires(self.walk.trigger, time, ego, driven, self.state)
        left = float(self.along[-1]) - self.s
        wish = min(self.walk.speed, math.sqrt(2 * STRIDE * max(left - ARRIVED, 0.0))) if self.fired else 0.0
        if wish and self.walk.yields and self._blocked(bodies, walkers):
            wish = 0.0
        before, dt = self.speed, 1.0 / RATE
        self.speed = min(max(wish, before - STRIDE * dt), before + STRIDE * dt)
        covered = 0.5 * (before + self.speed) * dt
        self.s += min(covered, left)

    def _at(self, s: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(s, self.along, self.points[:, k]) for k in (0, 1)], 1)

    def _blocked(self, bodies: Bodies, walkers: frozenset[int]) -> bool:
        """Whether a vehicle will be where it walks."""
        x, y = self._at(np.array([self.s]))[0]
        near = np.flatnonzero((np.abs(bodies.x - x) < 60) & (np.abs(bodies.y - y) < 60))
        near = near[~np.isin(bodies.owner[near], list(walkers))]
        mine = self._at(self.s + 0.3 + self.walk.speed * HORIZONS)
        dx = bodies.x[near] + bodies.vx[near] * HORIZONS[:, None] - mine[:, :1]
        dy = bodies.y[near] + bodies.vy[near] * HORIZONS[:, None] - mine[:, 1:]
        return bool((np.hypot(dx, dy) < bodies.radius[near] + self.actor.size[0] / 2 + ROOM).any())


def is_walker(actor: Actor) -> bool:
    return actor.category in WALKERS
