"""What a drive is asked to do next, and trajectories told along and beside its route.

A trajectory is told by two numbers a frame: how many metres further along the route the ego is than it would be at its present
speed, and how many metres further to the left of the route. Bends are then the route's affair; what is left is
to brake or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from driving.geometry import to_body, to_world
from driving.planning.candidates import HORIZON
from driving.planning.lines import place, project
from driving.planning.planner import Observation
from driving.planning.way import Way
from driving.scene import RATE, State

TIMES = np.arange(1, HORIZON + 1) / RATE
"""Seconds from now of a trajectory's frames."""
FAST, WIDE = 20.0, 5.0
"""Speeds are told in shares of this, m/s; places beside the route in shares of that, metres."""
BENDS = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
"""The route's turn is told at these many metres."""
NEAR = 10.0
"""A stop line this many metres away is told as half near."""
TOLD = 7 + len(BENDS)
"""How many numbers say what is asked."""
CREEP = 0.01
"""Who goes less far than this in a frame, metres, stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """Where the ego is and where it is to go: all that a trajectory depends on beside what the world remembers."""

    ego: State
    """In the scene's coordinates."""
    route: np.ndarray
    """float64 (M, 2) in the ego's axes: the centre of the lanes to take, from beside the ego on."""
    limit: float
    """Speed limit, m/s."""
    stop: float | None
    """Metres along the route to the line of a signal that is yellow or red; None: go."""
    elapsed: float
    """Seconds between the newest two frames that the session knows; 0 where it knows one."""

    @staticmethod
    def of(observation: Observation, elapsed: float) -> Errand:
        """As a planner is asked."""
        return Errand(
            ego=observation.ego, route=observation.route, limit=observation.limit, stop=observation.stop, elapsed=elapsed
        )

    @staticmethod
    def on(way: Way, ego: State, time: float, elapsed: float) -> Errand:
        """To follow a way, `time` seconds after the scene began."""
        along = way.along(ego)
        route = to_body(way.ahead(along), ego)
        return Errand(ego=ego, route=route, limit=way.limit(along), stop=way.stop(along, time), elapsed=elapsed)

    def moved(self, ego: State) -> Errand:
        """The same errand a frame after another, from further on; signals stay as they are."""
        gone = float(project(self.route, to_body(np.array([ego.x, ego.y]), self.ego))[0]) - self._start[0]
        stop = None if self.stop is None or self.stop < gone else self.stop - gone
        return replace(self, ego=ego, route=to_body(to_world(self.route, self.ego), ego), stop=stop, elapsed=1 / RATE)

    @property
    def told(self) -> np.ndarray:
        """float32 (TOLD,)."""
        start, left = self._start
        turns = np.unwrap(place(self.route, start + np.array([0.0, *BENDS]))[:, 2])
        light, near = (0.0, 0.0) if self.stop is None else (1.0, NEAR / (NEAR + max(self.stop, 0.0)))
        known = (self.ego.speed / FAST, self.limit / FAST, light, near, self.elapsed, left / WIDE, turns[0])
        return np.array([*known, *(turns[1:] - turns[0])], np.float32)

    def profile(self, places: np.ndarray) -> np.ndarray:
        """A trajectory (HORIZON, 2) in the ego's axes, told: float64 (HORIZON, 2)."""
        start, aside = self._start
        along, left = project(self.route, places)
        return np.stack([along - start - self.ego.speed * TIMES, left - aside], -1)

    def trajectory(self, profile: np.ndarray) -> np.ndarray:
        """The trajectory (HORIZON, 3) x, y, yaw in the ego's axes that a profile (HORIZON, 2) tells; never backwards."""
        start, aside = self._start
        gone = np.maximum.accumulate(np.maximum(profile[:, 0] + self.ego.speed * TIMES, 0.0))
        places = place(self.route, start + gone, aside + profile[:, 1])[:, :2]
        moves = np.diff(gone, prepend=0.0) > CREEP
        last = np.maximum.accumulate(np.where(moves, np.arange(1, HORIZON + 1), 0))
        places = np.concatenate([np.zeros((1, 2)), places])[last]
        step = np.diff(places, axis=0, prepend=np.zeros((1, 2)))
        yaw = np.concatenate([[0.0], np.arctan2(step[:, 1], step[:, 0])])[last]
        return np.concatenate([places, np.unwrap(yaw)[:, None]], 1)

    @property
    def _start(self) -> tuple[float, float]:
        """Metres along the route of the ego, and to the left of it."""
        along, left = project(self.route, np.zeros(2))
        return float(along), float(left)
