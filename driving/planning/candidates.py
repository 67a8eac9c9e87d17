"""Trajectories to choose from: some speeds times some places across the road."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from driving.geometry import to_world
from driving.planning.idm import along_route
from driving.planning.vehicle import follow
from driving.scene import RATE, State

HORIZON = 3 * RATE
"""Frames of a candidate."""
KEEP = "keep"
"""The candidate that goes on as before."""
PACES: tuple[tuple[str, float, float], ...] = (
    ("full brake", 0.0, 7.0),
    ("stop", 0.0, 3.0),
    ("slow", 0.5, 2.5),
    (KEEP, 1.0, 2.0),
)
"""Name, speed to reach as share of the present one (of the limit where the ego is slower than half of it), deceleration."""
PLACES: tuple[tuple[str, float], ...] = (
    ("", 0.0),
    (", left", 3.5),
    (", right", -3.5),
    (", a bit left", 1.2),
    (", a bit right", -1.2),
)
"""Name and metres left of the route."""
GATHER = 2.0
"""Acceleration, m/s^2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One thing that the ego could do."""

    name: str
    plan: np.ndarray
    """float64 (HORIZON, 3) in the ego's axes."""
    states: np.ndarray
    """float64 (HORIZON + 1, 4) in the scene's coordinates: the plan as the bicycle drives it, the first being now."""


def candidates(ego: State, route: np.ndarray, limit: float, wheel: float = 0.0) -> list[Candidate]:
    """All paces at all places; `route` (M, 2) in the ego's axes."""
    cruise = ego.speed if ego.speed > limit / 2 else limit
    named, plans = [], []
    for pace, share, deceleration in PACES:
        gone = _distance(ego.speed, share * cruise, deceleration)
        for place, beside in PLACES:
            if share == 0 and beside:
                continue  # who stops stays in the lane
            named.append(pace + place)
            plans.append(along_route(route, gone, beside))
    states, _ = follow(ego, np.stack([to_world(plan, ego) for plan in plans]), HORIZON, wheel)
    return [Candidate(name=n, plan=p, states=s) for n, p, s in zip(named, plans, states)]


def _distance(speed: float, wish: float, deceleration: float) -> np.ndarray:
    """Metres gone (HORIZON,) while speed changes evenly to what is wished."""
    time = np.arange(HORIZON + 1) / RATE
    reached = np.maximum(speed - deceleration * time, wish) if speed > wish else np.minimum(speed + GATHER * time, wish)
    return np.cumsum((reached[1:] + reached[:-1]) / 2 / RATE)
